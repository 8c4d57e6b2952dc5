"""What each worker holds, as the scheduler knows it.

State: the workers, their nodes, and which nodes are one job. Neighbours: `scheduler.py` hands jobs out and takes nodes back.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


_WAITING_SECONDS = 0.005
"""How much work may wait in a worker: enough that it never idles between jobs, little enough that priorities hold."""

_MOST_WAITING = 64
_NEWS_WEIGHT = 0.2
"""Weight of the latest node in the mean of recent durations."""


@dataclass
class WorkerState:
    """What a worker holds."""

    nodes: dict[int, None] = field(default_factory=dict)  # assigned and not yet reported, in order
    jobs: int = 0
    slow: bool = False  # in a node that takes long: nothing is put behind it


class Workers:
    """The workers of a run, in the order in which they came.

    Args:
        depth: jobs that a worker may hold at once; None lets it follow what nodes take.
    """

    def __init__(self, depth: int | None) -> None:
        self._fixed_depth = depth
        self._mean_seconds: float | None = None  # of recent nodes
        self.states: dict[int, WorkerState] = {}
        self._job_of: dict[int, int] = {}  # assigned node -> the first node of its job, which names the job
        self._job_size: dict[int, int] = {}  # job -> nodes of it that are not reported yet

    @property
    def depth(self) -> int:
        """How many jobs a worker may hold now."""
        if self._fixed_depth is not None:
            return self._fixed_depth
        if self._mean_seconds is None:
            return 1
        return max(1, min(_MOST_WAITING, int(_WAITING_SECONDS / max(self._mean_seconds, 1e-6))))

    def note_seconds(self, seconds: float) -> None:
        """A node took so long."""
        mean = self._mean_seconds
        self._mean_seconds = seconds if mean is None else mean + (seconds - mean) * _NEWS_WEIGHT

    def add(self, worker: int) -> None:
        """A worker is there."""
        self.states[worker] = WorkerState()

    def with_room(self, depth: int) -> list[tuple[int, int, int, WorkerState]]:
        """Return those that may hold one more job, as (jobs, order, worker, what it holds)."""
        return [
            (state.jobs, order, worker, state)
            for order, (worker, state) in enumerate(self.states.items())
            if state.jobs < (1 if state.slow else depth)
        ]

    def hold(self, nodes: Sequence[int], state: WorkerState) -> None:
        """A worker gets a job."""
        first = nodes[0]
        for node in nodes:
            state.nodes[node] = None
            self._job_of[node] = first
        state.jobs += 1
        self._job_size[first] = len(nodes)

    def drop(self, node: int, worker: int) -> None:
        """A worker holds a node no more; nothing happens where the worker was lost, and what it held with it."""
        state = self.states.get(worker)
        if state is None:
            return
        del state.nodes[node]
        state.slow = False
        job = self._job_of.pop(node)
        left = self._job_size[job] = self._job_size[job] - 1
        if not left:
            del self._job_size[job]
            state.jobs -= 1

    def lose(self, worker: int) -> tuple[int, ...]:
        """A worker is gone; return what it held, in order."""
        nodes = tuple(self.states[worker].nodes)
        for node in nodes:
            self.drop(node, worker)
        del self.states[worker]
        return nodes
