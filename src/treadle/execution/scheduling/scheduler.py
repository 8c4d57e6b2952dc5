"""The scheduler: the one object that may change the state of a run.

It is pure: it does no I/O and knows no process, thread, clock or file. Facts go in (a worker is there, a node finished,
failed, was given back, a worker is lost), decisions come out (assignments, datasets to release, nodes to skip or to try
again). The same facts in the same order give the same decisions.

Order: the ready node with the longest remaining path first, ties by plan order. A node whose sole child needs nothing
else any more takes that child along in the same job, so that the value between them never leaves the worker.

Neighbours, which are parts of this one object and which nobody else changes: `states.py` (where nodes stand),
`queues.py` (those that are ready), `workers.py` (who holds what), `values.py` (where values are),
`resources.py` (what is scarce), `policies.py` (who is tried again), `view.py` (what can be asked).
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

from treadle.execution.scheduling.policies import Policies
from treadle.execution.scheduling.queues import ReadyQueues
from treadle.execution.scheduling.resources import Resources
from treadle.execution.scheduling.states import Assignment, InvalidTransitionError, NodeState, NodeStates
from treadle.execution.scheduling.values import Values
from treadle.execution.scheduling.view import SchedulerView
from treadle.execution.scheduling.workers import Workers
from treadle.pipeline.policy import FailurePolicy
from treadle.planning.priority import longest_remaining_paths

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from treadle.execution.scheduling.workers import WorkerState
    from treadle.planning import Plan

__all__ = ["Assignment", "FailurePolicy", "InvalidTransitionError", "NodeState", "Scheduler"]


class Scheduler(SchedulerView):
    """Decide what runs where and when.

    Args:
        plan: what to run, with the policies of its nodes.
        weights: seconds that each node is expected to take; equal where None.
        policy: what a failure means for the rest, where the node's own policy does not say.
        depth: jobs that a worker may hold at once; None lets it follow what nodes take: one, until they are known to be tiny.
        fuse: let a node take its sole child along.
        separate_main: True where the workers are other processes: the worker MAIN takes what needs this one, and nothing else.
        limits: how much there is of each resource that nodes need; what has no limit here is not scarce.
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
        limits: Mapping[str, int] | None = None,
    ) -> None:
        self._plan = plan
        self._fuse = fuse
        count = len(plan.nodes)
        self._moves = NodeStates(plan)
        self._move, self._states = self._moves.move, self._moves.of
        self._attempts = [0] * count
        self._missing = [len(node.parents) for node in plan.nodes]
        self._values = Values(plan)
        self._policies = Policies(plan, policy)
        self._values.keep_inputs_of(self._policies.retried)
        self._resources = Resources(plan, limits) if limits else None
        scarce = self._resources.nodes if self._resources is not None else frozenset()
        self._alone = self._policies.retried | self._policies.limited | scarce  # each of them is a job by itself
        self._apart = set(self._alone)  # nodes that do not go along with their parent
        self._weights = weights
        self._queues = ReadyQueues(plan, self._states, self._values, self._resources, separate_main=separate_main)
        self._workers = Workers(depth)
        self._unfinished = count
        self._stopped = False
        self._skipped: list[int] = []

    # --- facts -----------------------------------------------------------------------------------------------------------

    def expect(self, weights: Sequence[float] | None = None, main_only: Iterable[int] = ()) -> None:
        """Take in, before anything is assigned, what is known only once workers are on their way.

        Args:
            weights: what each node is expected to take (any unit): priorities follow.
            main_only: nodes that turned out to need the main process.
        """
        self._weights = weights
        self._queues.main_only.update(main_only)

    def keep_apart(self, node: int) -> None:
        """A node cannot be handed out before its parents are done: it is never taken along."""
        self._apart.add(node)

    def add_worker(self, worker: int) -> None:
        """A worker is there and takes jobs."""
        self._workers.add(worker)

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
        if self._resources is not None:
            self._resources.give_back(node)
        self._workers.drop(node, worker)
        if seconds is not None:
            self._workers.note_seconds(seconds)
        planned = self._plan.nodes[node]
        self._unfinished -= 1
        released = self._values.made(planned.outputs, worker)
        missing = self._missing
        for child in planned.children:
            missing[child] -= 1
            if not missing[child] and self._states[child] is NodeState.WAITING:
                self._make_ready(child)
        return released + self._values.let_go(planned.inputs)

    def retry(self, node: int, worker: int | None) -> float | None:
        """An attempt at a node failed: put the node aside for the next one, where its policy grants one and the run goes on.

        Args:
            node: its index.
            worker: where it ran; None where the worker is lost.

        Returns:
            Seconds after which `wake` is to be called; None where this failure is for good, and `fail` is to be called.
        """
        delay = None if self._stopped else self._policies.next_delay(node)
        if delay is not None:
            if worker is not None:
                self._unassign(node, worker)
            self._move(node, NodeState.DELAYED)
        return delay

    def wake(self, node: int) -> None:
        """The next attempt at a node is due; nothing happens where it was skipped meanwhile."""
        if self._states[node] is NodeState.DELAYED:
            self._move(node, NodeState.WAITING)
            self._settle(node)

    def fail(self, node: int, worker: int | None) -> list[int]:
        """A node failed for good: stop the run, or skip what depends on it.

        Args:
            node: its index.
            worker: where it ran; None where it could not even be handed out, or the worker is lost.

        Returns:
            The in-memory datasets that nobody needs any more.
        """
        if worker is not None:
            self._unassign(node, worker)
        self._move(node, NodeState.FAILED)
        self._unfinished -= 1
        if self._policies.stops_the_run(node):
            self.stop()
            return []
        return self._values.let_go(self._plan.nodes[node].inputs) + self._cut_off(self._plan.nodes[node].children)

    def give_back(self, nodes: Iterable[int], worker: int) -> None:
        """A worker gave nodes back: they did not begin. Where it still runs one, that one takes long."""
        for node in nodes:
            self._unassign(node, worker)
            self._attempts[node] -= 1
            self._return(node)
        state = self._workers.states.get(worker)
        if state is not None and state.nodes:
            state.slow = True

    def lose_worker(self, worker: int, culprit: int | None) -> None:
        """A worker is gone: what it held is free again but for the culprit, which stays assigned until it is failed or retried.

        Values that lived only there are made again where something still needs them when jobs are next handed out.

        Args:
            worker: the worker.
            culprit: the node that it was running.
        """
        for node in self._workers.lose(worker):
            if self._resources is not None:
                self._resources.give_back(node)
            if node != culprit:
                self._attempts[node] -= 1
                self._return(node)
        self._values.lose_worker(worker)
        self._queues.lose_worker(worker)

    def reside(self, dataset: int, worker: int, size: int) -> None:
        """A large value is in one worker, and can be had from there: its takers had better run there too."""
        self._values.homes[dataset] = (worker, size)

    def leave_home(self, dataset: int) -> None:
        """A value that was in one worker can now be had anywhere."""
        self._values.homes.pop(dataset, None)

    def pin(self, dataset: int, worker: int) -> None:
        """Only one worker has a value: its takers must run there."""
        self._values.pins[dataset] = worker
        self._queues.put_again(self._plan.datasets[dataset].consumers)

    def stop(self) -> None:
        """Start nothing more: skip all that is not assigned."""
        self._stopped = True
        for node, state in enumerate(self._states):
            if state in (NodeState.WAITING, NodeState.READY, NodeState.DELAYED):
                self._skip(node)
        self._queues.clear()

    # --- decisions -------------------------------------------------------------------------------------------------------

    def assign(self) -> list[Assignment]:
        """Return jobs for the workers that have room, most urgent first, one a worker at a time."""
        if not self._queues.priority:  # nothing is ready before something is to be handed out: until then more may be told
            self._begin()
        self._make_again()
        assignments: list[Assignment] = []
        depth = self._workers.depth
        room = self._workers.with_room(depth)
        heapify(room)  # whoever holds least is served first
        queues, resources = self._queues, self._resources
        scarce = resources.candidates(len(room), queues.is_current) if resources is not None and resources.are_awaited else []
        while room:
            _jobs, order, worker, state = heappop(room)
            best = queues.best(worker)
            chosen = next((each for each in scarce if queues.may_run(worker, each.required)), None) if scarce else None
            if chosen is not None and resources is not None and (best is None or chosen.entry < best[0]):
                scarce.remove(chosen)
                if state.jobs:  # it gets nothing more until it is free for that node
                    resources.put(*chosen)
                    continue
                resources.take(chosen.entry[1])
                assignments.append(self._hand_out(chosen.entry[1], worker, state))
                state.slow = True
            elif best:
                assignments.append(self._hand_out(heappop(best)[1], worker, state))
                if not state.slow and state.jobs < depth:
                    heappush(room, (state.jobs, order, worker, state))
        for left in scarce:
            self._queues.put(left.entry[1])
        return assignments

    def take_skipped(self) -> list[int]:
        """Return the nodes that were skipped since the last call."""
        skipped, self._skipped = self._skipped, []
        return skipped

    def take_torn(self) -> int | None:
        """Return a ready node that no worker can run, because values that cannot leave their workers pull it apart."""
        return self._queues.take_torn()

    def _hand_out(self, first: int, worker: int, state: WorkerState) -> Assignment:
        nodes = [first]
        self._move(first, NodeState.ASSIGNED)
        if self._fuse and first not in self._alone:
            while (successor := self._sole_successor(nodes[-1], worker)) is not None:
                self._move(successor, NodeState.ASSIGNED)
                nodes.append(successor)
        for node in nodes:
            self._attempts[node] += 1
        self._workers.hold(nodes, state)
        return Assignment(worker, tuple(nodes), *self._values.hand_out(nodes, worker))

    def _sole_successor(self, node: int, worker: int) -> int | None:
        """Return the child that can go along: the node's only one, which waits for nothing else."""
        children = self._plan.nodes[node].children
        if len(children) != 1:
            return None
        child = children[0]
        if self._missing[child] != 1 or self._states[child] is not NodeState.WAITING or child in self._apart:
            return None
        required = self._queues.required_worker(child)
        if any(holder != required for holder in self._values.holders(child).values()):
            return None  # it is torn, which is found out when it is ready
        return child if self._queues.may_run(worker, required) else None

    # --- moves -----------------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        """Make ready what waits for nothing, by the priorities that are known by now."""
        self._queues.priority = longest_remaining_paths([node.children for node in self._plan.nodes], self._weights)
        for node, missing in enumerate(self._missing):
            if not missing and self._states[node] is NodeState.WAITING:
                self._make_ready(node)

    def _make_ready(self, node: int) -> None:
        if self._stopped:
            self._skip(node)
            return
        self._move(node, NodeState.READY)
        self._queues.put(node)

    def _return(self, node: int) -> None:
        """An assigned node is free again."""
        self._move(node, NodeState.WAITING)
        self._values.give_back(node)
        self._settle(node)

    def _settle(self, node: int) -> None:
        """A node waits again: find out whether that has an end."""
        if self._stopped:
            self._skip(node)
        elif not self._missing[node]:
            self._make_ready(node)
        elif any(self._states[parent] in (NodeState.FAILED, NodeState.SKIPPED) for parent in self._plan.nodes[node].parents):
            # A parent had to run again for another value that was lost, and failed. What is let go here stays till the end.
            self._cut_off([node])

    def _cut_off(self, nodes: Iterable[int]) -> list[int]:
        """Skip nodes and what depends on them, but what runs; return the datasets that nobody needs any more."""
        released, frontier = [], list(nodes)
        while frontier:
            node = frontier.pop()
            if self._states[node] in (NodeState.WAITING, NodeState.READY, NodeState.DELAYED):
                self._skip(node)
                released += self._values.let_go(self._plan.nodes[node].inputs)
                frontier += self._plan.nodes[node].children
        return released

    def _skip(self, node: int) -> None:
        self._move(node, NodeState.SKIPPED)
        self._skipped.append(node)
        self._unfinished -= 1

    def _unassign(self, node: int, worker: int) -> None:
        if self._resources is not None:
            self._resources.give_back(node)
        self._workers.drop(node, worker)

    def _make_again(self) -> None:
        """Put the nodes back whose values were lost and are needed, and those before them whose values are gone too."""
        if self._stopped or not self._values.any_lost:
            return
        again = self._values.take_lost(self._states)
        for node in again:
            self._move(node, NodeState.WAITING)
            self._unfinished += 1
            for child in self._plan.nodes[node].children:
                self._missing[child] += 1
                if self._states[child] is NodeState.READY:
                    self._move(child, NodeState.WAITING)
        for node in again:
            self._settle(node)
