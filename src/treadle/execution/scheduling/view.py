"""The queries of the scheduler, which change nothing. Runs in the parent. State: that of `moves.py`."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from treadle.execution.scheduling.states import NodeState

if TYPE_CHECKING:
    from collections import deque

    from treadle.execution.scheduling.instructions import Instruction
    from treadle.execution.scheduling.pending import PendingJobs
    from treadle.execution.scheduling.queues import ReadyQueues
    from treadle.execution.scheduling.resources import Resources
    from treadle.execution.scheduling.values import Values
    from treadle.execution.scheduling.workers import Workers


class SchedulerView:
    """The queries; `Scheduler` adds the events and the decisions."""

    _states: list[NodeState]
    _attempts: list[int]
    _queues: ReadyQueues
    _resources: Resources | None
    _workers: Workers
    _values: Values
    _pending: PendingJobs
    _instructions: deque[Instruction]
    _unfinished: int
    _stopped: bool

    @property
    def has_instructions(self) -> bool:
        """True if instructions are left to carry out."""
        return bool(self._instructions)

    def is_finished(self) -> bool:
        """True if no node is running and no node will run, including nodes that must run again because their value was lost."""
        return self._unfinished == 0 and (self._stopped or not self._values.needs_lost)

    @property
    def unfinished(self) -> int:
        """How many nodes have not finished, failed or been skipped."""
        return self._unfinished

    def is_stopped(self) -> bool:
        """True if no more nodes are started."""
        return self._stopped

    def state(self, node: int) -> NodeState:
        """Return the state of a node."""
        return self._states[node]

    def attempt(self, node: int) -> int:
        """Return the number of the node's attempt, from 1; 0 if it has not started."""
        return self._attempts[node]

    def done(self) -> frozenset[int]:
        """Return the nodes that finished."""
        return frozenset(index for index, state in enumerate(self._states) if state is NodeState.DONE)

    def waiting(self, most: int) -> list[int]:
        """Return nodes that further workers could run now, in plan order.

        Args:
            most: how many to return at most.
        """
        main_only, resources = self._queues.main_only, self._resources
        free = dict(resources.free) if resources is not None else {}
        ready = (
            node
            for node, state in enumerate(self._states)
            if state is NodeState.READY and node not in main_only and (resources is None or resources.take_from(free, node))
        )
        return list(islice(ready, most))

    def has_values(self, worker: int) -> bool:
        """Return whether a worker has values that exist nowhere else."""
        return self._values.has_only_copy(worker)

    def assigned(self, worker: int) -> tuple[int, ...]:
        """Return the nodes that were sent to a worker, in that order; not those that still wait for values."""
        state = self._workers.states.get(worker)
        if state is None:
            return ()
        return tuple(node for node in state.nodes if node not in self._pending) if self._pending else tuple(state.nodes)

    def holds(self, worker: int, node: int) -> bool:
        """Return whether a worker holds a node that it has not reported."""
        state = self._workers.states.get(worker)
        return state is not None and node in state.nodes

    def uses(self, dataset: int) -> int:
        """Return how many consumers of a dataset are left."""
        return self._values.uses[dataset]
