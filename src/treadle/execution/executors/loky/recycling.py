"""The limits at which a worker process is replaced by a new one: a number of nodes, or an amount of memory.

State: none. Runs in the parent. Neighbours: `pool.py` checks the limits between jobs, and the loop replaces the worker when no
value would be lost with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.named_tuple import NamedTuple

if TYPE_CHECKING:
    from treadle.execution.executors.loky.slot import Slot


class Recycling(NamedTuple):
    """The limits of a worker process.

    Attributes:
        max_nodes: number of nodes that it may run; no limit if None.
        max_memory: bytes of resident memory that it may have between two nodes; no limit if None.
    """

    max_nodes: int | None = None
    max_memory: int | None = None

    def is_worn(self, slot: Slot) -> bool:
        """Return whether the process of a slot has reached a limit."""
        if not slot.ready or not slot.reported:  # replacing a process that has not run a node yet gains nothing
            return False
        if self.max_nodes is not None and slot.reported >= self.max_nodes:
            return True
        return self.max_memory is not None and _resident_memory(slot.pid) > self.max_memory


def _resident_memory(pid: int) -> int:
    """Return the resident memory of a process in bytes, 0 if it has ended."""
    import psutil

    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.NoSuchProcess:
        return 0
