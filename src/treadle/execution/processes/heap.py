"""Return memory that was freed to the operating system.

glibc keeps freed arrays of up to 32 MB in its heap, and pyarrow keeps freed columns, for later allocations. Where several workers
work with large values, that is memory that the other workers and the values in memory files cannot use: without this module, six
frames took up to twice their size.

Runs in workers, where nodes run. State: how much processor time the last trim took.
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

_MAX_SHARE = 0.02
"""The largest share of the time of nodes that trimming may take. Getting the memory again takes time too; that is not counted."""

MIN_TRANSFERRED_BYTES = 1 << 24
"""A worker that has transferred values of this size to other processes trims its memory when it is idle."""

IDLE_SECONDS = 0.1
"""How long no command arrives until a worker is idle. Before that, its next node would wait for the trim, and use the memory."""


class Heap:
    """The memory of this process that is free, but not returned."""

    def __init__(self) -> None:
        self._took = 0.0

    def is_due_after(self, seconds: float) -> bool:
        """Return whether a node took long enough for the time that a trim takes.

        Args:
            seconds: how long the node took.
        """
        if seconds < _MIN_SECONDS:
            return False
        if self._took <= seconds * _MAX_SHARE:
            return True
        self._took /= 2  # so that one slow trim is not the last one
        return False

    def trim(self) -> None:
        """Return freed memory to the operating system, as far as the libraries that hold it can."""
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
