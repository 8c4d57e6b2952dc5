"""Watch the parent process from a worker, so that the worker ends when the parent does, even if the parent was killed.

Runs in the worker, in a daemon thread. On Linux it waits on the parent's pidfd (pidfd_open(2)), elsewhere it asks psutil. Between
waits it samples the worker's peak memory, which the error message about a killed worker contains. State: the thread.
"""

from __future__ import annotations

import os
import resource
import select
import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

SAMPLE_SECONDS = 0.2
"""Time between two samples of the peak memory."""


def watch_parent(parent_pid: int, *, on_exit: Callable[[], None], on_sample: Callable[[int], None]) -> None:
    """Start the watching thread.

    Args:
        parent_pid: the process to watch: the parent of this process or its grandparent.
        on_exit: called once in the watching thread when the parent has ended. It does not return.
        on_sample: called with the peak memory of this process in bytes every `SAMPLE_SECONDS`.
    """
    wait = _exit_waiter(parent_pid)

    def watch() -> None:
        while not wait(SAMPLE_SECONDS):
            on_sample(peak_memory())
        on_exit()

    threading.Thread(target=watch, name="treadle-watch-parent", daemon=True).start()


def peak_memory() -> int:
    """Return the peak resident memory of this process, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _exit_waiter(pid: int) -> Callable[[float], bool]:
    """Return a function that waits up to a number of seconds for a process to end and returns whether it has ended."""
    if hasattr(os, "pidfd_open"):
        try:
            fd = os.pidfd_open(pid)
        except ProcessLookupError:
            return lambda _seconds: True
        except OSError:
            pass  # an old kernel or a sandbox without this call: use psutil below
        else:
            poll = select.poll()
            poll.register(fd, select.POLLIN)
            return lambda seconds: bool(poll.poll(seconds * 1000))
    import psutil

    try:
        process = psutil.Process(pid)
    except psutil.NoSuchProcess:
        return lambda _seconds: True

    pause = threading.Event()  # never set; used to sleep

    def wait(seconds: float) -> bool:
        pause.wait(seconds)
        try:
            return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    return wait
