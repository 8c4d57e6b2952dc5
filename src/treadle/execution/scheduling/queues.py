"""The scheduler's ready nodes: the most urgent first, each where a worker that may run it finds it.

State: the queues, and what binds nodes to workers. Neighbours: `scheduler.py` puts nodes in and takes them out,
`values.py` says where their data is, `resources.py` keeps those that wait for what is scarce.
"""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush
from typing import TYPE_CHECKING

from treadle.execution.protocol.messages import MAIN
from treadle.execution.scheduling.states import NodeState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from treadle.execution.scheduling.resources import Resources
    from treadle.execution.scheduling.states import Entry
    from treadle.execution.scheduling.values import Values
    from treadle.planning import Plan


class ReadyQueues:
    """Ready nodes.

    Args:
        plan: the nodes.
        states: where each stands; the scheduler's own list, read here.
        values: where values are.
        resources: takes the nodes that need what is scarce; None if nothing is.
        separate_main: True if nodes that need the main process go to the worker MAIN, and no others.
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
        """How urgent each node is: set before the first is put in."""
        self._resources = resources
        self._separate_main = separate_main
        self.main_only = {index for index, node in enumerate(plan.nodes) if node.main_only}
        self._near: dict[int, list[Entry]] = {}  # ready nodes by the worker that has most of their data
        self._ready: dict[int | None, list[Entry]] = {None: []}  # by required worker; None: any but main
        self._unplaceable: deque[int] = deque()

    def put(self, node: int) -> None:
        """Put a ready node where its worker finds it."""
        values = self._values
        required = None
        if values.pins or self.main_only:
            required = self.required_worker(node)
            if required is not None and any(holder != required for holder in values.pinned_inputs(node).values()):
                self._unplaceable.append(node)
                return
        entry = (-self.priority[node], node)
        if self._resources is not None and self._resources.are_needed_by(node):
            self._resources.put(entry, required)
        elif required is not None:
            heappush(self._ready.setdefault(required, []), entry)
        else:
            near = values.nearest_worker(node) if values.homes else None
            heappush(self._ready[None] if near is None else self._near.setdefault(near, []), entry)

    def put_again(self, nodes: Iterable[int]) -> None:
        """Put nodes that are ready where they belong now; what is left of them in another queue is dropped there."""
        for node in nodes:
            if self._states[node] is NodeState.READY:
                self.put(node)

    def clear(self) -> None:
        """Forget every node."""
        self._ready, self._near = {None: []}, {}
        if self._resources is not None:
            self._resources.clear()

    def lose_worker(self, worker: int) -> None:
        """A worker is gone: what was near it is near nobody."""
        for _priority, node in self._near.pop(worker, ()):
            if self._states[node] is NodeState.READY:
                heappush(self._ready[None], (-self.priority[node], node))

    def pop_unplaceable(self) -> int | None:
        """Remove and return a ready node that no worker can run, None if there is none."""
        while self._unplaceable:
            node = self._unplaceable.popleft()
            if self._states[node] is NodeState.READY:
                return node
        return None

    def required_worker(self, node: int) -> int | None:
        """Return the worker that a node must run in, None if any will do."""
        if self._separate_main and node in self.main_only:
            return MAIN
        return next(iter(self._values.pinned_inputs(node).values()), None)

    def may_run(self, worker: int, required: int | None) -> bool:
        """Say whether a worker may run a node that requires one."""
        return required == worker or (required is None and (worker != MAIN or not self._separate_main))

    def is_current(self, node: int, required: int | None) -> bool:
        """Say whether a node is ready still, and requires the same worker."""
        return self._states[node] is NodeState.READY and self.required_worker(node) == required

    def best(self, worker: int) -> list[Entry] | None:
        """Return the queue whose head is the most urgent ready node that this worker may run.

        Of equally urgent ones, those come first that only it can run, then those whose data it has. Where it has nothing
        else to do, it takes a node whose data another worker has: no slot idles while work is ready.
        """
        queues = [self._ready[worker]] if worker in self._ready else []
        if worker == MAIN and self._separate_main:
            return self._most_urgent(queues, worker)
        if worker in self._near:
            queues.append(self._near[worker])
        queues.append(self._ready[None])
        best = self._most_urgent(queues, worker)
        if best is None and self._near:
            best = self._most_urgent(list(self._near.values()), worker)
        return best

    def _most_urgent(self, queues: list[list[Entry]], worker: int) -> list[Entry] | None:
        best: list[Entry] | None = None
        for queue in queues:
            self._drop_stale_heads(queue, worker)
            if queue and (best is None or queue[0][0] < best[0][0]):
                best = queue
        return best

    def _drop_stale_heads(self, queue: list[Entry], worker: int) -> None:
        """Drop stale heads of a queue: nodes that moved on, or that were pinned elsewhere since they were put in."""
        while queue:
            node = queue[0][1]
            if self._states[node] is NodeState.READY:
                if not self._values.pins and not self.main_only:
                    return
                if self.required_worker(node) in (worker, None):
                    return
                heappop(queue)
                self.put(node)
            else:
                heappop(queue)
