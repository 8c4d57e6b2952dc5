"""Return memory that was freed to the operating system.

glibc keeps freed arrays of up to 32 MB in its heap, and pyarrow keeps freed columns, for later allocations. Where several workers
work with large values, that is memory that the other workers and the values in memory files cannot use: without this module, six
frames took up to twice their size.

A worker trims its memory when it is idle. One that is never idle does it rarely, because its next node would use the memory
again: frames of strings took up to an eighth longer when each node was followed by a trim.

Runs in workers, where nodes run. State: how much processor time the last trim took, and what has happened since.
"""

from __future__ import annotations

import functools
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_MIN_SECONDS = 0.005
"""After shorter nodes nothing is trimmed: they are tiny, or most of their memory is used again by the next one."""

_MIN_WORK_SECONDS = 1.0
"""How long a worker that is never idle runs nodes before it trims: mostly, the next node uses the memory again."""

_WORK_PER_TRIM = 100
"""How many times as long as the last trim a worker that is never idle runs nodes before the next one. To get the memory again
takes 5 times as long as to return it, and 12 times in pyarrow (measured with 64 MB): up to an eighth of the time is lost."""

IDLE_SECONDS = 0.01
"""How long no command arrives until a worker is idle. Before that, its next node would wait for the trim, and use the memory."""

MIN_TRANSFERRED_BYTES = 1 << 24
"""A worker that has transferred values of this size to other processes has freed memory that is worth a trim."""


class Heap:
    """The memory of this process that is free, but not returned."""

    def __init__(self) -> None:
        self._took = 0.0  # the last trim, in seconds
        self._worked = 0.0  # seconds of nodes since then
        self._transferred = 0  # bytes of values that other processes got since then

    @property
    def has_transferred(self) -> bool:
        """Whether the values that other processes got since the last trim were large."""
        return self._transferred >= MIN_TRANSFERRED_BYTES

    @property
    def is_due_when_idle(self) -> bool:
        """Whether there may be much free memory."""
        return self._worked > 0 or self.has_transferred

    def value_transferred(self, size: int) -> None:
        """Note that other processes got a value of this process.

        Args:
            size: its size in bytes.
        """
        self._transferred += size

    def node_ended(self, seconds: float) -> bool:
        """Note that a node ended; return whether a trim is due, although the worker is not idle.

        Args:
            seconds: how long the node took.
        """
        if seconds < _MIN_SECONDS:
            return False
        self._worked += seconds
        return self._worked >= max(_MIN_WORK_SECONDS, _WORK_PER_TRIM * self._took)

    def trim(self) -> None:
        """Return freed memory to the operating system, as far as the libraries that hold it can."""
        self._worked, self._transferred = 0.0, 0
        if "numpy" not in sys.modules:
            return  # there are no large values
        started = time.thread_time()  # on a busy machine, other processes run in between
        if (pyarrow := sys.modules.get("pyarrow")) is not None and hasattr(pyarrow, "default_memory_pool"):
            pyarrow.default_memory_pool().release_unused()
        if (malloc_trim := _malloc_trim()) is not None:
            malloc_trim(0)
        self._took = time.thread_time() - started


@functools.cache
def _malloc_trim() -> Callable[[int], Any] | None:
    """Return glibc's function; None on systems with another C library."""
    import ctypes  # numpy has imported it

    return getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
