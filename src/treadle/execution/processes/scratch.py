"""The run-time directory of a pool: its socket, its blackboard, its spilled values; private to the user.

Everybody who uses it (the parent and each worker) holds a shared lock on one file in it. The parent removes the
directory when it closes the pool; where the parent is gone, the worker that finds no other holder does; where all were
killed, the next pool's sweep does. Facts: flock(2) belongs to the open file, and ends with its last descriptor.
"""

from __future__ import annotations

import errno
import fcntl
import multiprocessing
import os
import shutil
import tempfile
from contextlib import suppress
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Any

_PREFIX = "treadle-"
_LOCK = "lock"
_ALONG = "along"
_SOCKET_PATH_BYTES = 90
"""Of the 104 (macOS) to 108 (Linux) that a local socket's path may have (unix(7)), less the name of the socket."""


class Scratch:
    """A run-time directory, and this process's hold on it.

    Args:
        path: a directory that `create` made.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._directory = -1
        self._lock = os.open(os.path.join(path, _LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_SH)

    @classmethod
    def create(cls) -> Scratch:
        """Make a new directory that only this user can enter, and sweep those that killed pools left behind."""
        base = tempfile.gettempdir()
        if len(os.fsencode(base)) > _SOCKET_PATH_BYTES - 40:
            base = "/tmp"  # noqa: S108 - the name is made unguessable and private by mkdtemp
        sweep(base)
        while True:
            path = tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getuid()}-", dir=base)
            try:
                scratch = cls(path)
            except OSError:  # it may open no more files: without a lock, no sweep would ever take it
                os.rmdir(path)
                raise
            if os.path.exists(os.path.join(scratch.path, _LOCK)):
                scratch._guard()
                return scratch
            scratch.let_go()  # another pool's sweep came between the directory and the lock, and took it for a leftover

    def _guard(self) -> None:
        """Lock the directory itself: systemd-tmpfiles leaves what is locked alone, however old (tmpfiles.d(5))."""
        with suppress(OSError):  # no file descriptor is left for it, or the file system does not lock directories
            self._directory = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(self._directory, fcntl.LOCK_SH)

    @property
    def socket(self) -> str:
        """Path of the socket that workers connect to."""
        return os.path.join(self.path, "socket")

    @property
    def blackboard(self) -> str:
        """Path of the blackboard's file."""
        return os.path.join(self.path, "blackboard")

    def take_along(self, folder: str) -> None:
        """Name a directory of the owner's that is to go with this one, where the owner was killed and cannot remove it."""
        Path(self.path, _ALONG).write_text(folder, encoding="utf-8", errors="surrogateescape")

    def remove(self) -> None:
        """Remove the directory: for its owner."""
        Path(self.path, _ALONG).unlink(missing_ok=True)  # the owner lives: where no file can be opened, a sweep does the rest
        shutil.rmtree(self.path, ignore_errors=True)  # a worker that outlives the parent may be at it too
        self.let_go()

    def let_go(self) -> None:
        """Give up this process's hold, and no more: what a forked child does with the one it inherited."""
        for fd in (self._lock, self._directory):
            if fd >= 0:
                os.close(fd)
        self._lock = self._directory = -1

    def remove_if_last(self) -> None:
        """Give up the hold and remove the directory if nobody else has one: for a worker whose parent is gone."""
        fcntl.flock(self._lock, fcntl.LOCK_UN)
        if _is_free(self._lock):
            remove_leftover(self.path)
        self.let_go()


def adopt_multiprocessing_folder() -> None:
    """Give multiprocessing a run-time directory, before it makes one of its own for the socket of a forkserver.

    Its own is removed when the process ends, but stays for ever where the process is killed; this one a sweep takes then. In a
    child process nothing is done: it has the directory of its parent. A directory that multiprocessing has already stays,
    unless it was removed.
    """
    config: dict[str, Any] = vars(multiprocessing.current_process())["_config"]
    folder = config.get("tempdir")
    if (folder is None or not os.path.isdir(folder)) and multiprocessing.parent_process() is None:
        scratch = Scratch.create()
        config["tempdir"] = scratch.path
        Finalize(None, _return_multiprocessing_folder, args=(scratch, config), exitpriority=-100)  # as multiprocessing does


def _return_multiprocessing_folder(scratch: Scratch, config: dict[str, Any]) -> None:
    scratch.remove()
    config["tempdir"] = None


def reserve(fd: int, size: int) -> None:
    """Make a file so long, with the space for it: a write to a map of one that has holes kills the process on a full disk.

    Args:
        fd: an open file.
        size: bytes.

    Raises:
        OSError: there is no space for it.
    """
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(fd, 0, size)
        except OSError as exc:
            if exc.errno not in (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS):
                raise
        else:
            return
    rest = memoryview(bytes(size))
    while rest:
        rest = rest[os.write(fd, rest) :]


def sweep(base: str) -> list[str]:
    """Remove the directories of this user's pools that nobody holds any more.

    Args:
        base: the directory they are in.

    Returns:
        The paths that were removed.
    """
    removed = []
    for path in Path(base).glob(f"{_PREFIX}{os.getuid()}-*"):
        try:
            if path.is_symlink() or path.stat().st_uid != os.getuid():
                continue
            fd = os.open(path / _LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            continue  # just being made, or just being removed: not ours to sweep now
        try:
            if _is_free(fd):
                remove_leftover(path)
                removed.append(str(path))
        finally:
            os.close(fd)
    return removed


def remove_leftover(path: str | Path) -> None:
    """Remove the directory of a pool whose owner was killed, and the directory that it names as to be removed with it.

    Args:
        path: the directory.
    """
    try:
        along = Path(path, _ALONG).read_text(encoding="utf-8", errors="surrogateescape")
    except FileNotFoundError:
        along = ""
    if along:
        shutil.rmtree(along, ignore_errors=True)
    shutil.rmtree(path, ignore_errors=True)


def _is_free(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
