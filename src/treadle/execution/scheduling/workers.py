"""The nodes that each worker holds.

Runs in the parent, as a part of the scheduler, which assigns jobs and removes nodes. State: the workers, their nodes, and which
nodes form a job.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


_QUEUED_SECONDS = 0.005
"""How much work may be queued in a worker: enough to avoid idle time between jobs, but not enough to defeat priorities."""

_MAX_QUEUED = 256
"""How many jobs may be queued in a worker, unless very many are ready: the last ones should be spread over all workers."""

_MAX_QUEUED_OF_MANY = 1024
"""How many may be queued if very many are ready: fewer and larger messages take a sixth less of the parent's time."""

_LATEST_WEIGHT = 0.2
"""Weight of the latest node in the mean of recent durations."""


class WorkerState:
    """The nodes and jobs of a worker.

    Args:
        order: its position in the order in which the workers became ready.
    """

    __slots__ = ("jobs", "leaving", "nodes", "order", "slow")

    def __init__(self, order: int) -> None:
        self.order = order
        self.nodes: dict[int, None] = {}  # assigned and not yet reported, in order
        self.jobs = 0
        self.slow = False  # it is running a long node: no job is queued behind that node
        self.leaving = False  # it gets no jobs but those that no other worker can run


class Workers:
    """The workers of a run, in the order in which they became ready.

    Args:
        depth: jobs that a worker may hold at once; None adapts it to the durations of nodes.
    """

    def __init__(self, depth: int | None) -> None:
        self._fixed_depth = depth
        self._mean_seconds: float | None = None  # of recent nodes
        self.states: dict[int, WorkerState] = {}
        self._added = 0
        # The workers that may have room: those that changed since they were last found to have none at this depth.
        self._changed: dict[int, WorkerState] = {}
        self._depth_of_changed = 0
        # For jobs of more than one node: assigned node -> the first node of its job, which identifies the job.
        self._job_of: dict[int, int] = {}
        self._job_size: dict[int, int] = {}  # job -> nodes of it that are not reported yet

    def depth(self, ready: int) -> int:
        """Return how many jobs a worker may hold now.

        Args:
            ready: the number of ready nodes.
        """
        if self._fixed_depth is not None:
            return self._fixed_depth
        if self._mean_seconds is None:
            return 1
        most = min(max(_MAX_QUEUED, ready // (2 * max(1, len(self.states)))), _MAX_QUEUED_OF_MANY)
        return max(1, min(most, int(_QUEUED_SECONDS / max(self._mean_seconds, 1e-6))))

    def note_seconds(self, seconds: Iterable[float]) -> None:
        """Update the mean duration with those of finished nodes, in their order."""
        mean = self._mean_seconds
        for each in seconds:
            mean = each if mean is None else mean + (each - mean) * _LATEST_WEIGHT
        self._mean_seconds = mean

    def add(self, worker: int) -> None:
        """Add a worker that is ready."""
        self._added += 1
        self.states[worker] = self._changed[worker] = WorkerState(self._added)

    def set_leaving(self, worker: int, *, is_leaving: bool) -> None:
        """Note whether a worker will be shut down soon, so that it gets no jobs but those that no other worker can run."""
        if (state := self.states.get(worker)) is not None:
            state.leaving = is_leaving
            self._changed[worker] = state

    def with_room(self, depth: int) -> list[tuple[int, int, int, WorkerState]]:
        """Return the workers that may hold another job, as (number of jobs, order, worker, state)."""
        if depth != self._depth_of_changed:
            self._changed, self._depth_of_changed = dict(self.states), depth
        room = [
            (state.jobs, state.order, worker, state)
            for worker, state in self._changed.items()
            if state.jobs < (1 if state.slow else depth)
        ]
        if len(room) < len(self._changed):
            self._changed = {worker: state for _jobs, _order, worker, state in room}
        return room

    def hold(self, nodes: Sequence[int], state: WorkerState) -> None:
        """Add a job to a worker."""
        state.jobs += 1
        first = nodes[0]
        if len(nodes) == 1:
            state.nodes[first] = None
            return
        for node in nodes:
            state.nodes[node] = None
            self._job_of[node] = first
        self._job_size[first] = len(nodes)

    def hold_each(self, nodes: Sequence[int], state: WorkerState) -> None:
        """Add nodes to a worker, each as a job of its own."""
        state.jobs += len(nodes)
        state.nodes.update(dict.fromkeys(nodes))

    def drop(self, nodes: Sequence[int], worker: int) -> None:
        """Remove nodes from a worker; does nothing if the worker was lost."""
        state = self.states.get(worker)
        if state is None:
            return
        state.slow = False
        self._changed[worker] = state
        held, job_of, sizes = state.nodes, self._job_of, self._job_size
        if not job_of:
            for node in nodes:
                del held[node]
            state.jobs -= len(nodes)
            return
        for node in nodes:
            del held[node]
            if node not in job_of:
                state.jobs -= 1
                continue
            job = job_of.pop(node)
            sizes[job] -= 1
            if not sizes[job]:
                del sizes[job]
                state.jobs -= 1

    def lose(self, worker: int) -> tuple[int, ...]:
        """Remove a lost worker; return its nodes, in order."""
        nodes = tuple(self.states[worker].nodes)
        self.drop(nodes, worker)
        del self.states[worker]
        self._changed.pop(worker, None)
        return nodes
