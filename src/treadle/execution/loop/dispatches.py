"""Note when each job is sent to its worker, and since when it waited for values, for the events of its nodes.

Runs in the parent, in the loop's thread. State: the jobs that were sent and have not ended, and the values that jobs wait for.
Neighbours: `loop.py` reports what it does, `failure_handler.py` takes the entry of an attempt that failed.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from treadle.events import Dispatch

if TYPE_CHECKING:
    from treadle.execution.scheduling.instructions import RunJob


class Dispatches:
    """The dispatch of each node that is in flight."""

    def __init__(self) -> None:
        self._sent: dict[int, Dispatch] = {}
        self._requested: dict[int, float] = {}  # when each dataset was requested that jobs wait for
        self._delayed_until: dict[int, float] = {}
        self._arrived: list[int] = []

    def of(self, node: int) -> Dispatch | None:
        """Return the dispatch of a node; None if it is not in flight."""
        return self._sent.get(node)

    def requested(self, dataset: int) -> None:
        """A value was requested: jobs wait for it."""
        self._requested.setdefault(dataset, time.time())

    def arrived(self, dataset: int) -> None:
        """A value has arrived; the jobs that waited for it are sent before `sent_all` is called."""
        self._arrived.append(dataset)

    def sent_all(self) -> None:
        """All jobs have been sent that waited for the values that have arrived."""
        while self._arrived:
            self._requested.pop(self._arrived.pop(), None)

    def delayed(self, node: int, seconds: float) -> None:
        """A node is attempted again after a delay."""
        self._delayed_until[node] = time.time() + seconds

    def sent(self, job: RunJob) -> None:
        """A job is being sent."""
        assigned = delayed = None
        if requested := self._requested:
            assigned = min((requested[each] for each in job.inputs if each in requested), default=None)
        if self._delayed_until:  # a node with retries is a job of its own
            delayed = self._delayed_until.pop(job.nodes[0], None)
        dispatch = Dispatch(time.time(), assigned, delayed)
        for node in job.nodes:
            self._sent[node] = dispatch

    def take(self, node: int) -> Dispatch | None:
        """Return the dispatch of a node whose attempt has ended, and forget it."""
        return self._sent.pop(node, None)
