"""When a worker process is worn out, so that a fresh one takes its place: after so many nodes, or with so much memory.

State: none. Neighbours: `loky.py` asks between jobs, and the loop has the worker replaced where no value would be lost with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from treadle.execution.executors.loky.slot import Slot


@dataclass(frozen=True, slots=True)
class Recycling:
    """The limits of a worker process.

    Attributes:
        max_nodes: nodes that it runs; no limit where None.
        max_memory: bytes of resident memory that it may have between two nodes; no limit where None.
    """

    max_nodes: int | None = None
    max_memory: int | None = None

    def is_worn(self, slot: Slot) -> bool:
        """Say whether the process of a slot has reached a limit."""
        if not slot.ready or not slot.told:  # one that has run nothing yet is as good as its replacement
            return False
        if self.max_nodes is not None and slot.told >= self.max_nodes:
            return True
        return self.max_memory is not None and _resident_memory(slot.pid) > self.max_memory


def _resident_memory(pid: int) -> int:
    """Return the resident memory of a process in bytes, 0 if it is gone."""
    import psutil

    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.NoSuchProcess:
        return 0
