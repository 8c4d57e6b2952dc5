"""Create temporary files beside the files that they will replace, and remove those that killed processes left.

The process that writes one holds a shared lock on it (flock(2)) until it has been moved into place or removed. A lock ends with
its process, so a later run recognises a file of Treadle by its name, and by the missing lock that no process is writing
it. On file systems without locks, nothing is removed. State: none. Neighbours: `storage` writes, a runner cleans up.
"""

from __future__ import annotations

import fcntl
import os
import re
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_NAME: Final = re.compile(r"\..*\.[0-9a-f]{12}\.treadle(\.[^/]*)?", re.DOTALL)
_VERSIONS: Final = 5
"""How many of the newest folders within the folder of a versioned file are looked into: a killed run's is among them."""


@contextmanager
def temporary_beside(target: Path) -> Iterator[tuple[Path, int]]:
    """Make an empty file in the folder of another one, locked by this process; it is removed where the block raises.

    Args:
        target: the file that it will replace; its suffix stays last, because compression is inferred from it.

    Yields:
        The path of the file, and a descriptor of it that can be read and written, and is closed at the end.
    """
    while True:
        path = target.with_name(f".{target.stem[:40]}.{os.urandom(6).hex()}.treadle{target.suffix[:20]}")
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        with suppress(OSError):  # this file system has no locks
            fcntl.flock(descriptor, fcntl.LOCK_SH)
        if os.fstat(descriptor).st_nlink:
            break
        os.close(descriptor)  # another process took it for a leftover before it was locked
    try:
        yield path, descriptor
    except BaseException:
        with suppress(FileNotFoundError):
            path.unlink()
        raise
    finally:
        os.close(descriptor)


def remove_leftovers(places: Iterable[str]) -> list[str]:
    """Remove the temporary files that killed processes left beside files, and within folders of versions or partitions.

    Args:
        places: local paths of files and folders that are about to be written.

    Returns:
        The paths that were removed. A folder that cannot be listed is left alone.
    """
    wanted: dict[str, set[str]] = {}
    for place in places:
        folder, _, name = place.rpartition(os.sep)
        wanted.setdefault(folder or os.sep, set()).add(name)
    removed: list[str] = []
    for folder, names in wanted.items():
        leftovers, within = _look_into(folder, names)
        removed += filter(_remove_if_dead, leftovers)
        for each in within:
            removed += _remove_within(each)
    return removed


def _remove_within(place: str) -> list[str]:
    """Remove what was left in a folder of partitions or versions, and folders of versions that have nothing else."""
    leftovers, folders = _look_into(place, None)
    removed = [*filter(_remove_if_dead, leftovers)]
    for folder in sorted(folders, reverse=True)[:_VERSIONS]:
        found = [*filter(_remove_if_dead, _look_into(folder, set())[0])]
        if found:
            with suppress(OSError):  # it holds other files
                Path(folder).rmdir()
        removed += found
    return removed


def _look_into(folder: str, names: set[str] | None) -> tuple[list[str], list[str]]:
    """Return the leftovers in a folder, and the folders in it that have one of some names (None for any)."""
    leftovers, within = [], []
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(".") and _NAME.fullmatch(entry.name):
                leftovers.append(entry.path)
            elif (names is None or entry.name in names) and entry.is_dir():
                within.append(entry.path)
    return leftovers, within


def _remove_if_dead(path: str) -> bool:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        Path(path).unlink()
    except OSError:  # it is being written, or is gone by now, or may not be removed
        return False
    finally:
        os.close(descriptor)
    return True
