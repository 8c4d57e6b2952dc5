"""The scratch directory of a pool, private to the user: it holds the blackboard and spilled values.

Used by the parent and the workers. Each of these processes holds a shared lock on one file in the directory, so that a
directory in use can be told from a leftover. The parent removes the directory when it closes the pool. If the parent was killed,
the last worker removes it. If all processes were killed, the sweep of the next pool does, or that of a forkserver that exits. A
lock taken with flock(2) belongs to the open file description and is released when its last descriptor is closed.
"""

from __future__ import annotations

import atexit
import errno
import fcntl
import multiprocessing
import os
import sys
from contextlib import suppress
from multiprocessing.util import Finalize
from typing import Any

_PREFIX = "treadle-"
_LOCK = "lock"
_REMOVE_TOO = "remove-too"
_SOCKET_PATH_BYTES = 90
"""Maximum length of the directory's path: a socket's path may have 104 (macOS) or 108 bytes (Linux, unix(7))."""


class Scratch:
    """A scratch directory and this process's lock on it.

    Args:
        path: a directory that `create` made.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._directory = -1
        self._lock = os.open(os.path.join(path, _LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_SH)
        except BaseException:  # a file system without locks
            os.close(self._lock)
            raise

    @classmethod
    def create(cls) -> Scratch:
        """Create a directory that only this user can enter, and remove the leftover directories of killed pools."""
        base = _base_folder()
        sweep(base)
        while True:
            path = os.path.join(base, f"{_PREFIX}{os.getuid()}-{os.urandom(5).hex()}")
            try:
                os.mkdir(path, 0o700)
            except FileExistsError:
                continue
            try:
                scratch = cls(path)
            except OSError:  # no more open files allowed, for example; a sweep never removes a directory without a lock file
                _remove_folder(path)
                raise
            if os.path.exists(os.path.join(scratch.path, _LOCK)):
                scratch._lock_directory()
                return scratch
            scratch.unlock()  # another pool's sweep removed the directory before this process locked it

    def _lock_directory(self) -> None:
        """Lock the directory itself, so that systemd-tmpfiles never removes it as old (tmpfiles.d(5))."""
        with suppress(OSError):  # no more open files allowed, or the file system cannot lock directories
            self._directory = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(self._directory, fcntl.LOCK_SH)

    @property
    def blackboard(self) -> str:
        """Path of the blackboard's file."""
        return os.path.join(self.path, "blackboard")

    def remove_together_with(self, folder: str) -> None:
        """Record a directory of the parent that is to be removed with this one if the parent is killed."""
        with open(os.path.join(self.path, _REMOVE_TOO), "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(folder)

    def remove(self) -> None:
        """Remove the directory. Called by the parent, which created it."""
        # If the parent may not open more files, this fails and a later sweep removes the directory. That sweep must not remove
        # the other directory, which the parent still uses.
        with suppress(FileNotFoundError):
            os.unlink(os.path.join(self.path, _REMOVE_TOO))
        _remove_folder(self.path)
        self.unlock()

    def unlock(self) -> None:
        """Release this process's lock and leave the directory: for a forked child's inherited copy."""
        for fd in (self._lock, self._directory):
            if fd >= 0:
                os.close(fd)
        self._lock = self._directory = -1

    def remove_if_last(self) -> None:
        """Release the lock, and remove the directory if no other process holds one: for a worker whose parent has ended."""
        fcntl.flock(self._lock, fcntl.LOCK_UN)
        if _is_free(self._lock):
            remove_leftover(self.path)
        self.unlock()


def sweep_at_exit() -> None:
    """Sweep when this process exits, but not when a child that it forks does: for a forkserver, which may outlive its parent."""
    process = os.getpid()

    def sweep_here() -> None:
        if os.getpid() == process:
            with suppress(OSError):  # no directory for temporary files can be used any more
                sweep(_base_folder())

    atexit.register(sweep_here)


def _base_folder() -> str:
    """Return the directory in which scratch directories are created."""
    base = _temporary_folder()
    return base if len(os.fsencode(base)) <= _SOCKET_PATH_BYTES - 40 else "/tmp"  # noqa: S108 - what is created there is private


def _temporary_folder() -> str:
    """Return `tempfile.gettempdir()`, if possible without the import of tempfile, which takes 4 ms of a small run."""
    folder = next(filter(None, map(os.environ.get, ("TMPDIR", "TEMP", "TMP"))), "/tmp")  # noqa: S108 - as tempfile does
    if "tempfile" not in sys.modules and os.path.isabs(folder) and os.access(folder, os.W_OK | os.X_OK):
        with suppress(OSError):
            if os.path.isdir(folder) and os.statvfs(folder).f_bavail > 0:  # tempfile takes the next one if a disk is full
                return os.path.abspath(folder)
    import tempfile

    return tempfile.gettempdir()


def _remove_folder(path: str) -> None:
    """Remove a directory, as far as possible; another process may be removing it at the same time.

    The lock file goes last: if this process is killed meanwhile, a sweep still recognises the rest as a leftover.
    """
    try:
        with os.scandir(path) as entries:
            names = [entry.name for entry in entries if entry.name != _LOCK]
        for name in (*names, _LOCK):
            _remove(os.path.join(path, name))
        os.rmdir(path)
    except FileNotFoundError:
        pass
    except OSError:  # something was added, or may not be removed
        import shutil  # takes 2 ms

        shutil.rmtree(path, ignore_errors=True)


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    except OSError:  # a directory, which is rare
        import shutil

        shutil.rmtree(path, ignore_errors=True)


def is_in_scratch(path: str) -> bool:
    """Return whether a file belongs to a scratch directory of this user, or is one."""
    return f"{os.sep}{_PREFIX}{os.getuid()}-" in path


def adopt_multiprocessing_folder() -> None:
    """Give multiprocessing a scratch directory as its temporary directory, which holds the socket of a forkserver.

    The directory that multiprocessing creates itself is never removed if the process is killed; a scratch directory is removed by
    a later sweep, such as that of the forkserver when it exits. Does nothing in a child process, which uses the directory of its
    parent, and nothing if multiprocessing has an existing directory already.
    """
    config: dict[str, Any] = vars(multiprocessing.current_process())["_config"]
    folder = config.get("tempdir")
    if (folder is None or not os.path.isdir(folder)) and multiprocessing.parent_process() is None:
        scratch = Scratch.create()
        config["tempdir"] = scratch.path
        Finalize(None, _remove_multiprocessing_folder, args=(scratch, config), exitpriority=-100)  # as multiprocessing does


def _remove_multiprocessing_folder(scratch: Scratch, config: dict[str, Any]) -> None:
    scratch.remove()
    config["tempdir"] = None


def reserve(fd: int, size: int) -> None:
    """Extend a file to a size and allocate its disk space.

    Without allocated space, a write to a memory map of the file kills the process with SIGBUS when the disk is full.

    Args:
        fd: descriptor of an open file.
        size: size in bytes.

    Raises:
        OSError: the disk does not have enough space.
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
    """Remove this user's scratch directories that no process has locked.

    Args:
        base: the directory that contains them.

    Returns:
        The removed paths.
    """
    removed: list[str] = []
    try:
        names = os.listdir(base)
    except OSError:
        return removed
    prefix = f"{_PREFIX}{os.getuid()}-"
    for path in [os.path.join(base, name) for name in names if name.startswith(prefix)]:
        try:
            if os.path.islink(path) or os.stat(path).st_uid != os.getuid():
                continue
            fd = os.open(os.path.join(path, _LOCK), os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            continue  # another process is creating or removing it
        try:
            if _is_free(fd):
                remove_leftover(path)
                removed.append(path)
        finally:
            os.close(fd)
    return removed


def remove_leftover(path: str) -> None:
    """Remove the scratch directory of a pool whose parent was killed, and the directory recorded by `remove_together_with`.

    Args:
        path: the scratch directory.
    """
    try:
        with open(os.path.join(path, _REMOVE_TOO), encoding="utf-8", errors="surrogateescape") as file:
            remove_too = file.read()
    except FileNotFoundError:
        remove_too = ""
    if remove_too:
        _remove_folder(remove_too)
    _remove_folder(path)


def _is_free(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
