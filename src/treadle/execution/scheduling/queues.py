"""The scheduler's ready nodes, by priority: one queue for each worker that nodes must or should run on, one for all others.

Runs in the parent, as a part of the scheduler, which adds and removes nodes. `values.py` knows where their inputs are,
`resources.py` has the nodes that wait for limited resources. State: the queues, and the nodes that must run in the main process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from treadle.execution.protocol.messages import MAIN
from treadle.execution.scheduling.priority_queue import PriorityQueue
from treadle.execution.scheduling.states import NodeState

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from treadle.execution.scheduling.resources import Resources
    from treadle.execution.scheduling.values import Values
    from treadle.planning import Plan


class ReadyQueues:
    """The queues of ready nodes.

    Args:
        plan: the nodes.
        states: the state of each node; the scheduler's own list, which is only read here.
        values: the location of each value.
        resources: queues the nodes that need a limited resource; None if there are no limits.
        separate_main: True if the worker MAIN runs the nodes that need the main process, and no others.
    """

    def __init__(
        self,
        plan: Plan,
        states: list[NodeState],
        values: Values,
        resources: Resources | None,
        *,
        separate_main: bool,
    ) -> None:
        self._states = states
        self._values = values
        self.priority: list[float] = []
        """The priority of each node; set before the first node is added."""
        self._resources = resources
        self._separate_main = separate_main
        self.main_only = {index for index, node in enumerate(plan.nodes) if node.main_only}
        self._preferred: dict[int, PriorityQueue] = {}  # ready nodes by the worker that has most bytes of their inputs
        self._ready: dict[int | None, PriorityQueue] = {None: PriorityQueue()}  # by required worker; None: any but main
        self._unplaceable: dict[int, None] = {}

    @property
    def count(self) -> int:
        """How many nodes are ready for any worker; a few of them may be counted twice, or not be ready any more."""
        return len(self._ready[None])

    def put(self, node: int) -> None:
        """Add a ready node to the queue of its worker."""
        values = self._values
        required = None
        if values.pins or self.main_only:
            required = self.required_worker(node)
            if self._is_unplaceable(node, required):
                self._unplaceable[node] = None
                return
        entry = (-self.priority[node], node)
        if self._resources is not None and self._resources.are_needed_by(node):
            self._resources.put(entry, required)
        elif required is not None:
            _queue_of(required, self._ready).push(entry)
        else:
            near = values.nearest_worker(node) if values.homes else None
            (self._ready[None] if near is None else _queue_of(near, self._preferred)).push(entry)

    def put_all(self, nodes: Sequence[int]) -> None:
        """Add ready nodes to the queues of their workers; the first nodes of a run may be all of its nodes."""
        values, priority = self._values, self.priority
        if values.pins or values.homes or self.main_only or self._resources is not None:
            for node in nodes:
                self.put(node)
        else:
            self._ready[None].push_all([(-priority[node], node) for node in nodes])

    def requeue(self, nodes: Iterable[int]) -> None:
        """Add ready nodes to the queues that they belong to now; their entries in other queues become stale."""
        for node in nodes:
            if self._states[node] is NodeState.READY:
                self.put(node)

    def clear(self) -> None:
        """Remove all nodes."""
        self._ready, self._preferred = {None: PriorityQueue()}, {}
        if self._resources is not None:
            self._resources.clear()

    def lose_worker(self, worker: int) -> None:
        """Move the nodes whose inputs were, all or mostly, in a lost worker to the queues that they belong to now."""
        for queue in (self._preferred.pop(worker, None), self._ready.pop(worker, None)):
            while queue:
                node = queue.pop()[1]
                if self._states[node] is NodeState.READY:
                    self.put(node)

    def pop_unplaceable(self) -> int | None:
        """Remove and return a ready node that no worker can run, None if there is none."""
        while self._unplaceable:
            node = next(iter(self._unplaceable))
            del self._unplaceable[node]
            if self._states[node] is NodeState.READY:
                return node
        return None

    def required_worker(self, node: int) -> int | None:
        """Return the worker that a node must run on; None if it can run on any."""
        if self._separate_main and node in self.main_only:
            return MAIN
        return next(iter(self._values.pinned_inputs(node).values()), None)

    def required_queue(self, worker: int) -> PriorityQueue | None:
        """Return the queue of the ready nodes that only this worker can run, None if there are none."""
        queue = self._ready.get(worker)
        while queue is not None and (head := queue.head()) is not None:
            if self.is_current(head[1], worker):
                return queue
            queue.pop()
            if self._states[head[1]] is NodeState.READY:
                self.put(head[1])
        return None

    def may_run(self, worker: int, required: int | None) -> bool:
        """Return whether a worker may run a node with this required worker."""
        return required == worker or (required is None and (worker != MAIN or not self._separate_main))

    def is_current(self, node: int, required: int | None) -> bool:
        """Return whether a node is still ready, requires the same worker, and can run there."""
        if self._states[node] is not NodeState.READY or self.required_worker(node) != required:
            return False
        return not self._is_unplaceable(node, required)

    def _is_unplaceable(self, node: int, required: int | None) -> bool:
        """Return whether inputs of a node cannot leave two different workers, so that no worker can run it."""
        return required is not None and any(holder != required for holder in self._values.pinned_inputs(node).values())

    def all_are_in(self, queue: PriorityQueue) -> bool:
        """Return whether a queue has all ready nodes except those that need a resource, and any worker may run each of them."""
        if queue is not self._ready[None] or self._values.pins or self.main_only:
            return False
        return not any(self._preferred.values())

    def best_queue(self, worker: int) -> PriorityQueue | None:
        """Return the queue whose head is the most urgent ready node that this worker may run.

        Among equally urgent nodes, those that only this worker can run come first, then those whose inputs it has. A worker with
        no such nodes gets a node whose inputs another worker has, so that no worker is idle while nodes are ready.
        """
        if not self._preferred and len(self._ready) == 1 and not (worker == MAIN and self._separate_main):
            common = self._ready[None]  # all ready nodes are here
            head = common.head()
            if head is None or (self._states[head[1]] is NodeState.READY and not self._values.pins and not self.main_only):
                return common if head is not None else None
            self._drop_stale_heads(common, worker)
            return common or None
        queues = [self._ready[worker]] if worker in self._ready else []
        if worker == MAIN and self._separate_main:
            return self._most_urgent(queues, worker)
        if worker in self._preferred:
            queues.append(self._preferred[worker])
        queues.append(self._ready[None])
        best = self._most_urgent(queues, worker)
        if best is None and self._preferred:
            best = self._most_urgent(list(self._preferred.values()), worker)
        return best

    def _most_urgent(self, queues: list[PriorityQueue], worker: int) -> PriorityQueue | None:
        best: PriorityQueue | None = None
        urgency = 0.0
        for queue in queues:
            self._drop_stale_heads(queue, worker)
            if (head := queue.head()) is not None and (best is None or head[0] < urgency):
                best, urgency = queue, head[0]
        return best

    def _drop_stale_heads(self, queue: PriorityQueue, worker: int) -> None:
        """Drop stale heads of a queue: nodes that are no longer ready, or that this worker can no longer run."""
        while (head := queue.head()) is not None:
            node = head[1]
            if self._states[node] is NodeState.READY:
                if not self._values.pins and not self.main_only:
                    return
                required = self.required_worker(node)
                if required in (worker, None) and not self._is_unplaceable(node, required):
                    return
                queue.pop()
                self.put(node)
            else:
                queue.pop()


def _queue_of(worker: int, queues: dict[Any, PriorityQueue]) -> PriorityQueue:
    if (queue := queues.get(worker)) is None:
        queue = queues[worker] = PriorityQueue()
    return queue
