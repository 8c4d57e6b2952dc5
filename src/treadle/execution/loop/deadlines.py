"""What a run waits for besides its workers: the next attempt at a node, and the moment an attempt has taken too long.

State: what is due when, on the monotonic clock. Neighbours: `loop.py` waits no longer than until the next of these.
"""

from __future__ import annotations

import time
from heapq import heappop, heappush
from typing import NamedTuple


class Wake(NamedTuple):
    """The next attempt at a node is due."""

    node: int


class Late(NamedTuple):
    """An attempt may have taken too long: whether it has depends on when the worker began it."""

    node: int
    worker: int
    attempt: int
    limit: float


class Deadlines:
    """What is due, in its order."""

    def __init__(self) -> None:
        self.queue: list[tuple[float, int, Wake | Late]] = []
        """What is to come; empty in most runs, which the loop sees without a call."""
        self._count = 0  # ties are kept in the order in which they came

    def add(self, seconds: float, what: Wake | Late) -> None:
        """Something is due in so many seconds."""
        self._count += 1
        heappush(self.queue, (time.monotonic() + seconds, self._count, what))

    def seconds_left(self) -> float | None:
        """Return how long it is until something is due, None where nothing is to come."""
        return max(0.0, self.queue[0][0] - time.monotonic()) if self.queue else None

    def take_due(self) -> list[Wake | Late]:
        """Return what is due by now."""
        now = time.monotonic()
        due = []
        while self.queue and self.queue[0][0] <= now:
            due.append(heappop(self.queue)[2])
        return due
