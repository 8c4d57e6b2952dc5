"""Write the files of a folder together: in a temporary folder inside it first, from which they are moved when all are complete.

A failure or a kill before the move changes nothing in the folder. The temporary folder is locked by its process, as temporary
files are, so a later run removes the one of a killed process. State: none. Neighbours: `temporary` creates and removes temporary
files and folders, `datasets.partitioned` saves partitions with it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import stat
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from treadle.io.contents import note_moved
from treadle.io.temporary import TemporaryFile, file_to_replace, temporary_folder_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


@contextmanager
def staged_files(folder: str, obsolete: Callable[[], Iterable[str]] = tuple) -> Iterator[Path]:
    """Create a temporary folder, and move all files in it to another folder if the block does not raise.

    Of two processes that do this at the same time, one moves all its files after the other.

    Args:
        folder: the folder in which the files will be, at the same relative paths; created if necessary.
        obsolete: returns the files to remove when the new ones are in their places.

    Yields:
        The temporary folder.
    """
    target = Path(folder)
    os.makedirs(os.path.realpath(folder), exist_ok=True)  # noqa: PTH103 - also where a symbolic link leads to
    with temporary_folder_in(target) as temporary:
        yield temporary
        with _locked(target):
            for parent, _, names in os.walk(temporary):
                place = os.path.normpath(target / os.path.relpath(parent, temporary))
                # Strings, here and below: there may be thousands of files.
                os.makedirs(os.path.realpath(place), exist_ok=True)  # noqa: PTH103
                for name in names:
                    _move(f"{parent}/{name}", f"{place}/{name}")
            for path in obsolete():
                Path(path).unlink(missing_ok=True)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(OSError):  # this file system has no locks for folders
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _move(file: str, target: str) -> None:
    """Move a file to its place. As with every save, the file there keeps its mode, and a link stays a link."""
    note_moved(file, target)
    resolved, mode = file_to_replace(target)
    if mode is not None and stat.S_ISREG(mode) and mode != os.lstat(file).st_mode:
        os.chmod(file, stat.S_IMODE(mode))  # noqa: PTH101
    try:
        os.replace(file, resolved)  # noqa: PTH105
    except OSError as exc:
        if exc.errno != errno.EXDEV:
            raise
        with TemporaryFile(os.path.realpath(resolved)) as beside:  # a link leads to another file system
            shutil.copyfile(file, beside.path)
            shutil.copymode(file, beside.path)
            beside.replace_target()
