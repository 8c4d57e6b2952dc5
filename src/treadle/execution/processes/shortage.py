"""Explain errors of a system that has run out of memory, open files, disk space, processes or threads.

Runs in the parent: `runners/` runs the loop and starts the workers inside `explaining_shortages`. State: none.
"""

from __future__ import annotations

import errno
import resource
from contextlib import suppress

from treadle.errors import RunnerError
from treadle.execution.processes.sizes import format_bytes

_FULL_BYTES = 1 << 20
"""A directory with less free space than this is reported as full."""


class explaining_shortages:  # noqa: N801 - a context manager, entered in every run: a generator would cost more
    """Turn an error of a system that has run out of a resource into one that names the resource and says what to do.

    Raises:
        RunnerError: this process may use no more memory, open no more files, write no larger ones, or start no more threads or
            processes, or a disk is full.
    """

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, exc: BaseException | None, traceback: object) -> None:
        if isinstance(exc, OSError):
            if (described := _describe(exc)) is not None:
                name, msg = described
                raise RunnerError(msg, name=name) from exc
        elif isinstance(exc, MemoryError):
            raise RunnerError(_no_more_memory(), name="max_workers") from exc
        elif isinstance(exc, RuntimeError) and "can't start new thread" in str(exc):
            raise RunnerError(_no_more_processes("threads", str(exc)), name="max_workers") from exc


def _describe(exc: OSError) -> tuple[str, str] | None:
    """Return the argument or setting to change and the message; None if the error has another cause."""
    if exc.errno in (errno.EMFILE, errno.ENFILE):
        limit, _most = resource.getrlimit(resource.RLIMIT_NOFILE)
        return "max_workers", (
            "The workers, and the values that pass between them, need more open files than this process may have (its limit is "
            f"{limit}). Raise the limit (`ulimit -n`), or run with fewer workers."
        )
    if exc.errno in (errno.ENOSPC, errno.EDQUOT):
        return "TMPDIR", (
            f"There is no space left for the files that the workers need ({exc.strerror}): {_full_directories()}. Free some "
            "space, or point TMPDIR at another directory."
        )
    if exc.errno == errno.EFBIG:
        limit, _most = resource.getrlimit(resource.RLIMIT_FSIZE)
        return "RLIMIT_FSIZE", (
            f"The files that the workers need are larger than this process may write (its limit is {format_bytes(limit)} for a "
            "file). Raise the limit (`ulimit -f`)."
        )
    if exc.errno == errno.ENOENT and "No usable temporary directory" in str(exc):
        return "TMPDIR", f"{exc.strerror}. The workers need one: free some space in one of these, or point TMPDIR at another."
    if exc.errno in (errno.EAGAIN, errno.ENOMEM):
        return "max_workers", _no_more_processes("processes", exc.strerror or str(exc))
    return None


def _no_more_memory() -> str:
    limit, _most = resource.getrlimit(resource.RLIMIT_AS)
    limited = "" if limit == resource.RLIM_INFINITY else f" (it may use {format_bytes(limit)}, `ulimit -v`)"
    return (
        f"This process could not get the memory that it needs to run the nodes and to pass their values on{limited}. Free some "
        "memory, raise the limit of this process or of the container, or run with fewer workers."
    )


def _no_more_processes(what: str, reason: str) -> str:
    limit, _most = resource.getrlimit(resource.RLIMIT_NPROC)
    limited = "" if limit == resource.RLIM_INFINITY else f" (the limit of this user's processes and threads is {limit})"
    return (
        f"The system does not let this process start more {what}: {reason}{limited}. Raise the limit (`ulimit -u`, or that of "
        "the container), free some memory, or run with fewer workers."
    )


def _full_directories() -> str:
    import shutil  # for this error only, as they take milliseconds
    import tempfile

    free = {}
    for directory in dict.fromkeys((tempfile.gettempdir(), "/dev/shm")):  # noqa: S108 - where semaphores are
        with suppress(OSError):
            free[directory] = shutil.disk_usage(directory).free
    full = {directory: size for directory, size in free.items() if size < _FULL_BYTES} or free
    return ", ".join(f"{directory} has {format_bytes(size)} free" for directory, size in full.items())
