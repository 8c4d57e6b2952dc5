"""The timers of a run: when a delayed node may be attempted again, and when running attempts are ended.

An attempt is ended because it reaches its timeout, or because its run is cancelled. Runs in the parent. `loop.py` waits for
events until the next deadline at most; `failure_handler.py` handles the deadlines that are due. State: the pending deadlines, on
the monotonic clock.
"""

from __future__ import annotations

import time
from heapq import heappop, heappush
from typing import TYPE_CHECKING, TypeAlias

from treadle.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable


class Wake(NamedTuple):
    """The next attempt at a node is due."""

    node: int


class TimeoutCheck(NamedTuple):
    """An attempt may have reached its timeout; whether it has depends on when the worker started it."""

    node: int
    worker: int
    attempt: int
    timeout: float


class EndRunning(NamedTuple):
    """The nodes of a cancelled run that are still running are ended now."""

    end: Callable[[], None]


Deadline: TypeAlias = "Wake | TimeoutCheck | EndRunning"


class Deadlines:
    """The pending deadlines, in the order in which they are due."""

    def __init__(self) -> None:
        self.queue: list[tuple[float, int, Deadline]] = []
        """The pending deadlines as a heap; usually empty, which the loop checks without a call."""
        self._count = 0  # breaks ties in the order of `add`

    def add(self, seconds: float, what: Deadline) -> None:
        """Add a deadline that is due in `seconds`."""
        self._count += 1
        heappush(self.queue, (time.monotonic() + seconds, self._count, what))

    def seconds_left(self) -> float | None:
        """Return the seconds until the next deadline, None if there is none."""
        return max(0.0, self.queue[0][0] - time.monotonic()) if self.queue else None

    def pop_due(self) -> list[Deadline]:
        """Remove and return the deadlines that are due by now."""
        now = time.monotonic()
        due = []
        while self.queue and self.queue[0][0] <= now:
            due.append(heappop(self.queue)[2])
        return due
