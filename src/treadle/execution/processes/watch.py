"""A worker's watch over its parent: the worker ends when the parent does, however that was.

One daemon thread. On Linux it waits on the parent's pidfd (pidfd_open(2)), elsewhere it asks psutil; between waits it
notes the worker's peak memory, so that the verdict on a killed worker can say it.
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

NOTE_SECONDS = 0.2
"""How often the peak memory is noted."""


def watch_parent(parent_pid: int, *, gone: Callable[[], None], note: Callable[[int], None]) -> None:
    """Start the watch.

    Args:
        parent_pid: the process to watch, this one's parent or grandparent.
        gone: called once when it is gone, from the watching thread; it does not return.
        note: called with the peak memory of this process in bytes every `NOTE_SECONDS`.
    """
    wait = _waiter(parent_pid)

    def watch() -> None:
        while not wait(NOTE_SECONDS):
            note(peak_memory())
        gone()

    threading.Thread(target=watch, name="treadle-watch-parent", daemon=True).start()


def peak_memory() -> int:
    """Return the peak resident memory of this process, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _waiter(pid: int) -> Callable[[float], bool]:
    """Return a function that waits up to some seconds and says whether the process is gone."""
    if hasattr(os, "pidfd_open"):
        try:
            fd = os.pidfd_open(pid)
        except ProcessLookupError:
            return lambda _seconds: True
        except OSError:
            pass  # an old kernel, or a sandbox without the call: psutil below does it
        else:
            poll = select.poll()
            poll.register(fd, select.POLLIN)
            return lambda seconds: bool(poll.poll(seconds * 1000))
    import psutil

    try:
        process = psutil.Process(pid)
    except psutil.NoSuchProcess:
        return lambda _seconds: True

    pause = threading.Event()  # never set: to wait a while

    def wait(seconds: float) -> bool:
        pause.wait(seconds)
        try:
            return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    return wait
