"""The scheduler: the one object that may change the state of a run.

It is pure: it does no I/O and knows no process, thread, clock or file. Facts go in (a worker is there, a node finished,
failed, was given back, a worker is lost), decisions come out (assignments, datasets to release, nodes to skip). The same
facts in the same order give the same decisions.

States of a node, and the legal moves::

    WAITING ──► READY ──► ASSIGNED ──► DONE        the usual way; a child that goes along is assigned while it waits
    READY ──► WAITING                              a value it needs was lost with a worker
    ASSIGNED ──► WAITING                           given back, or its worker was lost before it began
    DONE ──► WAITING                               its own value was lost with a worker, and is needed again
    ASSIGNED, READY ──► FAILED                     READY: it could not even be handed out
    WAITING, READY ──► SKIPPED                     something before it failed, or the run stopped

Order: the ready node with the longest remaining path first, ties by plan order. A node whose sole child needs nothing
else any more takes that child along in the same job, so that the value between them never leaves the worker.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

from treadle.execution.job import MAIN
from treadle.planning.priority import longest_remaining_paths

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from treadle.planning import Plan


class NodeState(IntEnum):
    """Where a node stands; integers, because every move of every node looks one up."""

    WAITING = 0
    READY = 1
    ASSIGNED = 2
    DONE = 3
    FAILED = 4
    SKIPPED = 5


_MOVES: tuple[frozenset[int], ...] = (
    frozenset({NodeState.READY, NodeState.ASSIGNED, NodeState.SKIPPED}),  # from WAITING
    frozenset({NodeState.ASSIGNED, NodeState.SKIPPED, NodeState.WAITING, NodeState.FAILED}),  # from READY
    frozenset({NodeState.DONE, NodeState.FAILED, NodeState.WAITING}),  # from ASSIGNED
    frozenset({NodeState.WAITING}),  # from DONE
    frozenset(),  # from FAILED
    frozenset(),  # from SKIPPED
)


_WAITING_SECONDS = 0.005
"""How much work may wait in a worker: enough that it never idles between jobs, little enough that priorities hold."""

_MOST_WAITING = 64
_NEWS_WEIGHT = 0.2
"""Weight of the latest node in the mean of recent durations."""


class FailurePolicy(Enum):
    """What a failed node means for the rest of the run."""

    STOP = "stop"
    """Start nothing more; what is running may finish."""
    CONTINUE = "continue"
    """Skip what depends on it, go on with the rest."""


class InvalidTransitionError(RuntimeError):
    """A fact arrived that cannot be true: a bug of the engine; the text tells how the node came there."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """A job for a worker: nodes to run in order, what travels with them, what stays between them."""

    worker: int
    nodes: tuple[int, ...]
    inputs: tuple[int, ...]
    """In-memory datasets that the job takes from outside."""
    last: tuple[tuple[int, int], ...]
    """(dataset, node) where the node is the dataset's last taker: after it nobody needs the value."""
    local: tuple[int, ...]
    """Datasets that are made and used up within the job."""


@dataclass
class _WorkerState:
    nodes: dict[int, None] = field(default_factory=dict)  # assigned and not yet reported, in order
    jobs: int = 0
    slow: bool = False  # in a node that takes long: nothing is put behind it


class Scheduler:
    """Decide what runs where and when.

    Args:
        plan: what to run.
        weights: seconds that each node is expected to take; equal where None.
        policy: what a failure means for the rest.
        depth: jobs that a worker may hold at once: one runs, the others wait in it. None lets it follow what nodes take:
            one, until they are known to be tiny.
        fuse: let a node take its sole child along.
        separate_main: True where the workers are other processes, so that nodes whose data may not leave the main process
            go to the worker MAIN, which takes nothing else.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        weights: Sequence[float] | None = None,
        policy: FailurePolicy = FailurePolicy.STOP,
        depth: int | None = None,
        fuse: bool = True,
        separate_main: bool = False,
    ) -> None:
        self._plan = plan
        self._policy = policy
        self._fuse = fuse
        self._separate_main = separate_main
        self._fixed_depth = depth
        self._mean_seconds: float | None = None  # of recent nodes
        count = len(plan.nodes)
        self._states = [NodeState.WAITING] * count
        self._attempts = [0] * count
        self._missing = [len(node.parents) for node in plan.nodes]
        self._uses = [dataset.uses for dataset in plan.datasets]
        self._released = [False] * len(plan.datasets)
        self._pins: dict[int, int] = {}  # dataset -> the only worker that has its value
        self._priority = longest_remaining_paths([node.children for node in plan.nodes], weights)
        self._homes: dict[int, tuple[int, int]] = {}  # dataset -> the worker that has its value, and its bytes
        self._near: dict[int, list[tuple[float, int]]] = {}  # ready nodes by the worker that has most of their data
        self._ready: dict[int | None, list[tuple[float, int]]] = {None: []}  # by required worker; None: any but main
        self._workers: dict[int, _WorkerState] = {}
        self._job_of: dict[int, int] = {}  # assigned node -> the first node of its job, which names the job
        self._job_size: dict[int, int] = {}  # job -> nodes of it that are not reported yet
        self._torn: deque[int] = deque()
        self._apart: set[int] = set()  # nodes that do not go along with their parent
        self._local: set[int] = set()  # datasets that stay within the job that makes them
        self._spent: set[int] = set()  # datasets whose last taker is at work, in the one worker that had them
        self._lost: list[int] = []  # datasets whose only value went with a lost worker
        self._main_only = {index for index, node in enumerate(plan.nodes) if node.main_only}
        self._unfinished = count
        self._stopped = False
        self._skipped: list[int] = []
        self._story: deque[tuple[int, NodeState, NodeState]] = deque(maxlen=10_000)
        for index in range(count):
            if not self._missing[index]:
                self._make_ready(index)

    # --- what it says ----------------------------------------------------------------------------------------------------

    def is_finished(self) -> bool:
        """True where nothing runs and nothing will."""
        return self._unfinished == 0

    def is_stopped(self) -> bool:
        """True where nothing more is to be started."""
        return self._stopped

    def state(self, node: int) -> NodeState:
        """Return where a node stands."""
        return self._states[node]

    def attempt(self, node: int) -> int:
        """Return the number of the node's attempt, from 1; 0 where it has not begun."""
        return self._attempts[node]

    def done(self) -> frozenset[int]:
        """Return the nodes that finished."""
        return frozenset(index for index, state in enumerate(self._states) if state is NodeState.DONE)

    def assigned(self, worker: int) -> tuple[int, ...]:
        """Return what a worker holds, in the order in which it runs it."""
        return tuple(self._workers[worker].nodes) if worker in self._workers else ()

    def holds(self, worker: int, node: int) -> bool:
        """Say whether a worker holds a node that it has not reported."""
        return worker in self._workers and node in self._workers[worker].nodes

    def uses(self, dataset: int) -> int:
        """Return how many takers of a dataset are still to come."""
        return self._uses[dataset]

    def holder(self, dataset: int) -> int | None:
        """Return the only worker that has a value, None where any can have it."""
        return self._pins.get(dataset)

    def take_skipped(self) -> list[int]:
        """Return the nodes that were skipped since the last call."""
        skipped, self._skipped = self._skipped, []
        return skipped

    # --- facts -----------------------------------------------------------------------------------------------------------

    def add_main_only(self, nodes: Iterable[int]) -> None:
        """Nodes that turned out to need the main process, told before anything is assigned."""
        nodes = tuple(nodes)
        self._main_only.update(nodes)
        self._requeue(nodes)

    def keep_apart(self, node: int) -> None:
        """A node cannot be handed out before its parents are done: it is never taken along."""
        self._apart.add(node)

    def expect(self, weights: Sequence[float]) -> None:
        """Nodes are expected to take so long (any unit), told before anything is assigned: priorities follow."""
        self._priority = longest_remaining_paths([node.children for node in self._plan.nodes], weights)
        ready = sorted({node for queue in (*self._ready.values(), *self._near.values()) for _priority, node in queue})
        self._ready, self._near = {None: []}, {}
        for node in ready:
            self._enqueue(node)

    def add_worker(self, worker: int) -> None:
        """A worker is there and takes jobs."""
        self._workers[worker] = _WorkerState()

    def finish(self, node: int, worker: int, seconds: float | None = None) -> list[int]:
        """A node finished.

        Args:
            node: its index.
            worker: where it ran.
            seconds: how long it took, where that is known.

        Returns:
            The in-memory datasets that nobody needs any more.
        """
        self._move(node, NodeState.DONE)
        self._unassign(node, worker)
        if seconds is not None:
            mean = self._mean_seconds
            self._mean_seconds = seconds if mean is None else mean + (seconds - mean) * _NEWS_WEIGHT
        planned = self._plan.nodes[node]
        self._unfinished -= 1
        for dataset in planned.outputs:
            if dataset in self._local:
                self._pins[dataset] = worker
        for child in planned.children:
            self._missing[child] -= 1
            if not self._missing[child] and self._states[child] is NodeState.WAITING:
                self._make_ready(child)
        released = [dataset for dataset in planned.outputs if self._uses[dataset] == 0 and self._release(dataset)]
        released += self._let_go(planned.inputs)
        return released

    def fail(self, node: int, worker: int | None) -> list[int]:
        """A node failed for good: stop the run, or skip what depends on it.

        Args:
            node: its index.
            worker: where it ran; None where it could not even be handed out.

        Returns:
            The in-memory datasets that nobody needs any more.
        """
        if worker is not None:
            self._unassign(node, worker)
        self._move(node, NodeState.FAILED)
        self._unfinished -= 1
        if self._policy is FailurePolicy.STOP:
            self.stop()
            return []
        released = self._let_go(self._plan.nodes[node].inputs)
        frontier = list(self._plan.nodes[node].children)
        while frontier:
            child = frontier.pop()
            if self._states[child] in (NodeState.WAITING, NodeState.READY):
                self._skip(child)
                released += self._let_go(self._plan.nodes[child].inputs)
                frontier += self._plan.nodes[child].children
        return released

    def give_back(self, nodes: Iterable[int], worker: int) -> None:
        """A worker gave nodes back: they did not begin. Where it still runs one, that one takes long."""
        for node in nodes:
            self._unassign(node, worker)
            self._attempts[node] -= 1
            self._return(node)
        state = self._workers.get(worker)
        if state is not None and state.nodes:
            state.slow = True

    def lose_worker(self, worker: int, culprit: int | None) -> None:
        """A worker is gone: what it held is free again but for the culprit, which stays assigned until it is failed.

        Values that lived only there are made again where something still needs them when jobs are next handed out.

        Args:
            worker: the worker.
            culprit: the node that it was running.
        """
        state = self._workers.pop(worker)
        for node in state.nodes:
            self._close_share(node)
            if node != culprit:
                self._attempts[node] -= 1
                self._return(node)
        lost = [dataset for dataset, holder in self._pins.items() if holder == worker]
        lost += [dataset for dataset, (holder, _size) in self._homes.items() if holder == worker]
        for _priority, node in self._near.pop(worker, ()):
            if self._states[node] is NodeState.READY:
                heappush(self._ready[None], (-self._priority[node], node))
        for dataset in lost:
            self._pins.pop(dataset, None)
            self._homes.pop(dataset, None)
            self._lost.append(dataset)

    def reside(self, dataset: int, worker: int, size: int) -> None:
        """A large value is in one worker, and can be had from there: its takers had better run there too."""
        self._homes[dataset] = (worker, size)

    def leave_home(self, dataset: int) -> None:
        """A value that was in one worker can now be had anywhere."""
        self._homes.pop(dataset, None)

    def pin(self, dataset: int, worker: int) -> None:
        """Only one worker has a value: its takers must run there."""
        self._pins[dataset] = worker
        self._requeue(self._plan.datasets[dataset].consumers)

    def stop(self) -> None:
        """Start nothing more: skip all that is not assigned."""
        self._stopped = True
        for node, state in enumerate(self._states):
            if state in (NodeState.WAITING, NodeState.READY):
                self._skip(node)
        self._ready = {None: []}
        self._near = {}

    # --- decisions -------------------------------------------------------------------------------------------------------

    def assign(self) -> list[Assignment]:
        """Return jobs for the workers that have room, most urgent first, one a worker at a time."""
        self._make_again()
        assignments: list[Assignment] = []
        depth = self.depth
        room = [
            (state.jobs, order, worker, state)
            for order, (worker, state) in enumerate(self._workers.items())
            if state.jobs < (1 if state.slow else depth)
        ]
        heapify(room)  # whoever holds least is served first
        while room:
            _jobs, order, worker, state = heappop(room)
            first = self._next_for(worker)
            if first is None:
                continue
            assignments.append(self._hand_out(first, worker, state))
            if not state.slow and state.jobs < depth:
                heappush(room, (state.jobs, order, worker, state))
        return assignments

    @property
    def depth(self) -> int:
        """How many jobs a worker may hold now."""
        if self._fixed_depth is not None:
            return self._fixed_depth
        if self._mean_seconds is None:
            return 1
        return max(1, min(_MOST_WAITING, int(_WAITING_SECONDS / max(self._mean_seconds, 1e-6))))

    def take_torn(self) -> int | None:
        """Return a ready node that no worker can run, because values that cannot leave their workers pull it apart."""
        while self._torn:
            node = self._torn.popleft()
            if self._states[node] is NodeState.READY:
                return node
        return None

    def _holders(self, node: int) -> dict[int, int]:
        if not self._pins:
            return {}
        return {dataset: self._pins[dataset] for dataset in self._plan.nodes[node].inputs if dataset in self._pins}

    def _required_worker(self, node: int) -> int | None:
        if self._separate_main and node in self._main_only:
            return MAIN
        return next(iter(self._holders(node).values()), None)

    def _may_take_any(self, worker: int) -> bool:
        return worker != MAIN or not self._separate_main

    def _enqueue(self, node: int) -> None:
        """Put a ready node where its worker finds it."""
        entry = (-self._priority[node], node)
        if self._pins or self._main_only:
            required = self._required_worker(node)
            if required is not None:
                if any(holder != required for holder in self._holders(node).values()):
                    self._torn.append(node)
                else:
                    heappush(self._ready.setdefault(required, []), entry)
                return
        near = self._nearest(node) if self._homes else None
        heappush(self._ready[None] if near is None else self._near.setdefault(near, []), entry)

    def _nearest(self, node: int) -> int | None:
        """Return the worker that has most of a node's data, None where no worker has any."""
        bytes_in: dict[int, int] = {}
        for dataset in self._plan.nodes[node].inputs:
            if dataset in self._homes:
                worker, size = self._homes[dataset]
                bytes_in[worker] = bytes_in.get(worker, 0) + size
        return max(bytes_in, key=lambda worker: (bytes_in[worker], -worker)) if bytes_in else None

    def _requeue(self, nodes: Iterable[int]) -> None:
        """Put nodes that are ready where they belong now; what is left of them in another queue is dropped there."""
        for node in nodes:
            if self._states[node] is NodeState.READY:
                self._enqueue(node)

    def _next_for(self, worker: int) -> int | None:
        """Take the most urgent ready node that this worker may run.

        Of equally urgent ones, those come first that only it can run, then those whose data it has. Where it has nothing
        else to do, it takes a node whose data another worker has: no slot idles while work is ready.
        """
        queues = [self._ready[worker]] if worker in self._ready else []
        if self._may_take_any(worker):
            if worker in self._near:
                queues.append(self._near[worker])
            queues.append(self._ready[None])
        best = self._most_urgent(queues, worker)
        if best is None and self._near and self._may_take_any(worker):
            best = self._most_urgent(list(self._near.values()), worker)
        return heappop(best)[1] if best else None

    def _most_urgent(self, queues: list[list[tuple[float, int]]], worker: int) -> list[tuple[float, int]] | None:
        best: list[tuple[float, int]] | None = None
        for queue in queues:
            self._settle(queue, worker)
            if queue and (best is None or queue[0][0] < best[0][0]):
                best = queue
        return best

    def _settle(self, queue: list[tuple[float, int]], worker: int) -> None:
        """Drop stale heads of a queue: nodes that moved on, or that were pinned elsewhere since they were put in."""
        while queue:
            node = queue[0][1]
            if self._states[node] is NodeState.READY:
                if not self._pins and not self._main_only:
                    return
                if self._required_worker(node) in (worker, None):
                    return
                heappop(queue)
                self._enqueue(node)
            else:
                heappop(queue)

    def _hand_out(self, first: int, worker: int, state: _WorkerState) -> Assignment:
        nodes = [first]
        self._move(first, NodeState.ASSIGNED)
        while self._fuse and (successor := self._sole_successor(nodes[-1], worker)) is not None:
            self._move(successor, NodeState.ASSIGNED)
            nodes.append(successor)
        made: set[int] = set()
        inputs: dict[int, None] = {}
        takers: dict[int, int] = {}
        final: dict[int, int] = {}
        for node in nodes:
            self._attempts[node] += 1
            state.nodes[node] = None
            for dataset in self._plan.nodes[node].inputs:
                if self._plan.datasets[dataset].in_memory:
                    takers[dataset] = takers.get(dataset, 0) + 1
                    final[dataset] = node
                    if dataset not in made:
                        inputs[dataset] = None
            made.update(self._plan.nodes[node].outputs)
        state.jobs += 1
        self._job_of.update(dict.fromkeys(nodes, first))
        self._job_size[first] = len(nodes)
        last = tuple((dataset, final[dataset]) for dataset, count in takers.items() if self._uses[dataset] == count)
        local = tuple(dataset for dataset, _ in last if dataset in made)
        self._local.update(local)
        if self._pins or self._homes:
            self._spent.update(dataset for dataset, _ in last if self._is_only_in(dataset, worker))
        return Assignment(worker, tuple(nodes), tuple(inputs), last, local)

    def _is_only_in(self, dataset: int, worker: int) -> bool:
        return self._pins.get(dataset) == worker or (dataset in self._homes and self._homes[dataset][0] == worker)

    def _sole_successor(self, node: int, worker: int) -> int | None:
        """Return the child that can go along: the node's only one, which waits for nothing else."""
        children = self._plan.nodes[node].children
        if len(children) != 1:
            return None
        child = children[0]
        if self._missing[child] != 1 or self._states[child] is not NodeState.WAITING or child in self._apart:
            return None
        required = self._required_worker(child)
        if any(holder != required for holder in self._holders(child).values()):
            return None  # it is torn, which is found out when it is ready
        if required == worker or (required is None and self._may_take_any(worker)):
            return child
        return None

    # --- moves -----------------------------------------------------------------------------------------------------------

    def _move(self, node: int, state: NodeState) -> None:
        before = self._states[node]
        if state not in _MOVES[before]:
            steps = [f"{old.name} -> {new.name}" for index, old, new in self._story if index == node]
            name = self._plan.nodes[node].name
            msg = f"node '{name}' cannot go from {before.name} to {state.name}; so far: {', '.join(steps) or 'nothing'}"
            raise InvalidTransitionError(msg)
        self._states[node] = state
        self._story.append((node, before, state))

    def _make_ready(self, node: int) -> None:
        if self._stopped:
            self._skip(node)
            return
        self._move(node, NodeState.READY)
        self._enqueue(node)

    def _return(self, node: int) -> None:
        """An assigned node is free again."""
        self._move(node, NodeState.WAITING)
        self._local.difference_update(self._plan.nodes[node].outputs)
        self._spent.difference_update(self._plan.nodes[node].inputs)
        if self._stopped:
            self._skip(node)
        elif not self._missing[node]:
            self._make_ready(node)

    def _skip(self, node: int) -> None:
        self._move(node, NodeState.SKIPPED)
        self._skipped.append(node)
        self._unfinished -= 1

    def _unassign(self, node: int, worker: int) -> None:
        state = self._workers.get(worker)
        if state is None:
            return  # the worker was lost, and what it held with it
        del state.nodes[node]
        state.slow = False
        if self._close_share(node):
            state.jobs -= 1

    def _close_share(self, node: int) -> bool:
        """Take a node out of its job; True where it was the last of it."""
        job = self._job_of.pop(node)
        self._job_size[job] -= 1
        if self._job_size[job]:
            return False
        del self._job_size[job]
        return True

    def _let_go(self, inputs: Sequence[int]) -> list[int]:
        released = []
        self._spent.difference_update(inputs)
        for dataset in inputs:
            self._uses[dataset] -= 1
            if self._uses[dataset] == 0 and self._release(dataset):
                released.append(dataset)
        return released

    def _release(self, dataset: int) -> bool:
        if not self._plan.datasets[dataset].in_memory:
            return False
        self._released[dataset] = True
        self._pins.pop(dataset, None)
        self._homes.pop(dataset, None)
        return True

    def _make_again(self) -> None:
        """Put the nodes back whose values were lost and are needed, and those before them whose values are gone too."""
        if self._stopped or not self._lost:
            return
        pending = [self._plan.datasets[dataset].producer for dataset in self._lost if self._uses[dataset]]
        self._lost = []
        again: list[int] = []
        while pending:
            node = pending.pop()
            if node is None or self._states[node] is not NodeState.DONE:
                continue
            self._move(node, NodeState.WAITING)
            self._unfinished += 1
            again.append(node)
            planned = self._plan.nodes[node]
            self._local.difference_update(planned.outputs)
            for child in planned.children:
                self._missing[child] += 1
                if self._states[child] is NodeState.READY:
                    self._move(child, NodeState.WAITING)
            for dataset in planned.inputs:
                self._uses[dataset] += 1
                if self._released[dataset] or dataset in self._spent:
                    self._released[dataset] = False
                    self._spent.discard(dataset)
                    self._pins.pop(dataset, None)
                    self._homes.pop(dataset, None)
                    pending.append(self._plan.datasets[dataset].producer)
        for node in again:
            if not self._missing[node]:
                self._make_ready(node)
