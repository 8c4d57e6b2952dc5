"""Checks and context managers that prepare this process for the start of a worker, so that it works in every environment.

State: none. Runs in the parent. Neighbours: `slot.py` starts processes, one at a time.
"""

from __future__ import annotations

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

    from treadle.execution.processes.scratch import Scratch


@contextmanager
def daemons_may_have_children() -> Iterator[None]:
    """Allow a daemonic process (a worker of Celery or dask) to start processes, which multiprocessing refuses.

    It refuses because a daemon that is terminated cannot stop its children; Treadle's workers exit when their parent does.
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
    """Start Python with the flags of this process (-W, -X, -I, -bb, -O …), which loky omits."""
    if method is not StartMethod.LOKY:
        yield
        return
    flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]  # noqa: SLF001 - the function that multiprocessing uses
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
def flushable_streams() -> Iterator[None]:
    """Replace standard streams that cannot be flushed while a process is started, which flushes them.

    A stream may be missing or closed, its disk may be full, or the program that reads it may have ended. What it has buffered is
    written later if that becomes possible.
    """
    with ExitStack() as restored:
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if not _can_be_flushed(stream):
                restored.callback(setattr, sys, name, stream)
                setattr(sys, name, io.StringIO())
        yield


def _can_be_flushed(stream: Any) -> bool:
    try:
        stream.flush()
    except (AttributeError, OSError, ValueError):  # it is missing, cannot be written or is closed
        return False
    return True


def open_standard_descriptors() -> None:
    """Open closed standard descriptors (0 to 2) on /dev/null.

    Otherwise files that are opened later, such as pipes, get these numbers, and printed output goes into them.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)  # noqa: FBT003 - positional-only in the os module
    os.close(descriptor)


def check_scratch(scratch: Scratch, number: int) -> None:
    """Raise if the scratch directory of a pool was removed, because a new process could not use it.

    Args:
        scratch: the directory.
        number: the number of the worker whose process is to be started.

    Raises:
        RunnerError: it was removed.
    """
    if not os.path.exists(scratch.blackboard):
        msg = (
            f"Worker worker-{number} cannot be started, because the directory that the workers of this pool share, "
            f"{scratch.path}, was removed: probably by a program that cleans up temporary files. Exclude treadle-* "
            "from the cleanup, or point TMPDIR at another directory."
        )
        raise RunnerError(msg, name="TMPDIR")


@contextmanager
def forkserver_needed(method: StartMethod, number: int) -> Iterator[None]:
    """Explain the error if the forkserver, or the new process, ends while the process is started.

    The pipe that the new process reads from breaks if either has ended. What this process reads, it reads from the forkserver.

    Args:
        method: how processes are started.
        number: the number of the worker whose process is started inside the block.

    Raises:
        RunnerError: one of the two has ended.
    """
    try:
        yield
    except (EOFError, ConnectionError) as exc:
        if method is not StartMethod.FORKSERVER:
            raise
        ended = "the forkserver, the process that starts workers, has ended"
        if isinstance(exc, BrokenPipeError):
            ended = "its new process has ended, or the forkserver, the process that starts workers"
        msg = (
            f"Worker worker-{number} cannot be started, because {ended}. Probably it was killed, for example by the system "
            "because memory ran out, or the limit of processes was reached. Run again, or use another start method."
        )
        raise RunnerError(msg, name="start_method") from exc
