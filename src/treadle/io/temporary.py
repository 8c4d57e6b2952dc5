"""Create temporary files and folders beside the files that they will replace, and remove those that killed processes left.

The process that writes a temporary file or folder holds a shared lock on it (flock(2)) until it has been moved or removed. A lock
ends with its process. So a later run recognises Treadle's files by their name, and those that no process is writing by the
missing lock. On file systems without locks, nothing is removed. State: none. Neighbours: `storage` writes the files, `staging`
the folders, a runner removes leftovers.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import stat
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from typing_extensions import Self

_NEW_FILE: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_FOLDER: Final = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC
"""With O_PATH (Linux), no permission to list the folder is needed."""
_NAME: Final = r"\..*\.[0-9a-f]{12}\.treadle(\.[^/]*)?"
_NEWEST_VERSIONS: Final = 5
"""Number of version folders that are searched, the newest first; the one of a killed run is among them."""


def file_to_replace(path: str) -> tuple[str, int | None]:
    """Return the file that a save replaces, and its mode; None if it does not exist.

    A symbolic link stays one: the file that it points to is replaced.

    Args:
        path: the path of the file.
    """
    try:
        mode = os.lstat(path).st_mode
        if not stat.S_ISLNK(mode):
            return path, mode
        path = os.path.realpath(path)
        return path, os.stat(path).st_mode  # noqa: PTH116 - a path object takes several times as long
    except FileNotFoundError:
        return path, None


class TemporaryFile:
    """An empty, locked file in the folder of another file, which it replaces on request; removed if the block raises.

    The folder is held open: it stays the same one if a link that leads to it is changed while the file is written.

    Args:
        target: the file to replace; not a symbolic link. Missing folders are created. The name of the temporary file has the same
            suffix, because compression is inferred from it.

    Attributes:
        descriptor: for reading and writing it; closed at the end of the block.
        mode: its permissions, those of a new file.
    """

    __slots__ = ("_folder", "_name", "_place", "_target", "descriptor", "mode")

    def __init__(self, target: str) -> None:
        self._place, self._target = os.path.split(target)
        stem, suffix = os.path.splitext(self._target)  # noqa: PTH122 - a path object takes several times as long
        self._folder = _open_folder(self._place or os.curdir)
        try:
            while True:
                self._name = f".{stem[:40]}.{os.urandom(6).hex()}.treadle{suffix[:20]}"
                self.descriptor = os.open(self._name, _NEW_FILE, 0o666, dir_fd=self._folder)
                with suppress(OSError):  # this file system has no locks
                    fcntl.flock(self.descriptor, fcntl.LOCK_SH)
                status = os.fstat(self.descriptor)
                if status.st_nlink:
                    break
                os.close(self.descriptor)  # another process removed it as a leftover before it was locked
        except BaseException as exc:
            os.close(self._folder)
            if isinstance(exc, OSError):
                exc.filename = self.path  # the system knows only the name in the folder
            raise
        self.mode = stat.S_IMODE(status.st_mode)

    def __enter__(self) -> Self:
        return self

    @property
    def path(self) -> str:
        """The path of the temporary file."""
        return os.path.join(self._place, self._name)  # noqa: PTH118 - as above

    def replace_target(self) -> None:
        """Move the file to its target."""
        try:
            os.replace(self._name, self._target, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        except OSError as exc:
            exc.filename, exc.filename2 = self.path, os.path.join(self._place, self._target)  # noqa: PTH118 - as above
            raise

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is not None:
                with suppress(FileNotFoundError):
                    os.unlink(self._name, dir_fd=self._folder)
        finally:
            os.close(self.descriptor)
            os.close(self._folder)


def _open_folder(path: str) -> int:
    """Open a folder to create files in it; create it if it does not exist, also where a symbolic link leads to."""
    with suppress(FileNotFoundError):
        return os.open(path, _FOLDER)
    os.makedirs(os.path.realpath(path), exist_ok=True)  # noqa: PTH103 - as above
    return os.open(path, _FOLDER)


@contextmanager
def temporary_folder_in(folder: Path) -> Iterator[Path]:
    """Create an empty, locked folder inside another one; at the end of the block, remove it with everything that is still in it.

    Args:
        folder: an existing folder.

    Yields:
        The path of the new folder.
    """
    while True:
        path = folder / f".{folder.stem[:40]}.{os.urandom(6).hex()}.treadle"
        path.mkdir()
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue  # another process removed it as a leftover before it was opened
        except OSError:  # no more open files allowed
            path.rmdir()
            raise
        with suppress(OSError):  # this file system has no locks for folders
            fcntl.flock(descriptor, fcntl.LOCK_SH)
        if path.exists():
            break
        os.close(descriptor)  # another process removed it as a leftover before it was locked
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)  # what cannot be removed now is a leftover for a later run
        os.close(descriptor)


def remove_leftovers(paths: Iterable[str]) -> list[str]:
    """Remove the temporary files that killed processes left beside files, and in folders of versions or partitions.

    Args:
        paths: local paths of files and folders that are about to be written.

    Returns:
        The paths that were removed. A folder that cannot be listed is skipped.
    """
    wanted: dict[str, set[str]] = {}
    for path in paths:
        folder, _, name = path.rpartition(os.sep)
        wanted.setdefault(folder or os.sep, set()).add(name)
    removed: list[str] = []
    for folder, names in wanted.items():
        leftovers, within = _scan(folder, names)
        removed += filter(_remove_if_dead, leftovers)
        for each in within:
            removed += _remove_within(each)
    return removed


def _remove_within(folder: str) -> list[str]:
    """Remove the leftovers in a folder of partitions or versions, and version folders that have no other files."""
    leftovers, folders = _scan(folder, None)
    removed = [*filter(_remove_if_dead, leftovers)]
    for subfolder in sorted(folders, reverse=True)[:_NEWEST_VERSIONS]:
        found = [*filter(_remove_if_dead, _scan(subfolder, set())[0])]
        if found:
            with suppress(OSError):  # the folder has other files
                Path(subfolder).rmdir()
        removed += found
    return removed


def _scan(folder: str, names: set[str] | None) -> tuple[list[str], list[str]]:
    """Return the leftovers in a folder, and its subfolders with one of the names (None for all)."""
    leftovers, within = [], []
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(".") and re.fullmatch(_NAME, entry.name, re.DOTALL):
                leftovers.append(entry.path)
            elif (names is None or entry.name in names) and entry.is_dir():
                within.append(entry.path)
    return leftovers, within


def _remove_if_dead(path: str) -> bool:
    is_folder = Path(path).is_dir()
    access = os.O_RDONLY | os.O_DIRECTORY if is_folder else os.O_RDWR
    try:
        descriptor = os.open(path, access | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if is_folder:
            shutil.rmtree(path)
        else:
            Path(path).unlink()
    except OSError:  # a process is writing it, or it is already removed, or removing is not permitted
        return False
    finally:
        os.close(descriptor)
    return True
