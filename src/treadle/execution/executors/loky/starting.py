"""What holds in this process while it starts a worker: it may have children, and the child has its flags and its streams.

State: none. Neighbour: `slot.py` starts processes, one at a time.
"""

from __future__ import annotations

import errno
import io
import multiprocessing
import os
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from treadle.errors import RunnerError
from treadle.execution.processes.start_method import StartMethod

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def daemons_may_have_children() -> Iterator[None]:
    """Let a daemonic process (a worker of Celery or dask) start processes, which multiprocessing refuses.

    It refuses because a daemon that is terminated cannot end its children; these watch their parent and end with it.
    """
    config: dict[str, Any] = multiprocessing.current_process()._config  # type: ignore[attr-defined]  # noqa: SLF001 - no public way
    daemon = config.pop("daemon", None)
    try:
        yield
    finally:
        if daemon is not None:
            config["daemon"] = daemon


@contextmanager
def interpreter_flags(method: StartMethod) -> Iterator[None]:
    """Start Python with the flags of this one (-W, -X, -I, -bb, -O …), which loky leaves out."""
    flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]  # noqa: SLF001 - what multiprocessing uses
    if method is not StartMethod.LOKY or not flags:
        yield
        return
    from loky.backend import fork_exec

    original = fork_exec.fork_exec

    def with_flags(command: list[str], *args: Any, **kwargs: Any) -> Any:
        return original([command[0], *flags, *command[1:]], *args, **kwargs)

    fork_exec.fork_exec = with_flags
    try:
        yield
    finally:
        fork_exec.fork_exec = original


@contextmanager
def flushable_streams(method: StartMethod) -> Iterator[None]:
    """Have standard streams while loky starts a process: it flushes them, also in a program that has none."""
    if method is not StartMethod.LOKY:
        yield
        return
    with ExitStack() as restored:
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if stream is None or getattr(stream, "closed", False):
                restored.callback(setattr, sys, name, stream)
                setattr(sys, name, io.StringIO())
        yield


@contextmanager
def naming_missing_semaphores() -> Iterator[None]:
    """Raise the error of a system on which no semaphore can be made as one that says so.

    Raises:
        RunnerError: /dev/shm is missing, or cannot be written.
    """
    try:
        yield
    except OSError as exc:
        if exc.errno not in (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOSYS):
            raise
        msg = (
            f"No worker process can be started: the semaphores that they need cannot be made ({exc.strerror}). On Linux these "
            "are files in the directory /dev/shm, which is probably missing or read-only here. Mount it writable, or use a "
            "runner without worker processes (sequential or thread)."
        )
        raise RunnerError(msg, name="parallel") from exc


def open_standard_descriptors() -> None:
    """Open the standard descriptors that are closed, on /dev/null.

    Otherwise the next files that are opened, such as pipes between processes, get their numbers, and what is printed goes there.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)  # noqa: FBT003 - the function's own signature
    os.close(descriptor)
