"""The scheduler: the one object that may change the state of a run.

It is pure: it does no I/O and knows no process, thread, clock or file. Events go in (a worker is ready, a node finished, failed
or was returned, a value arrived, a worker was lost, a delay is over), instructions come out (`instructions.py`). The same events
in the same order give the same instructions.

Order: the ready node with the longest remaining path first, ties by plan order. A node whose sole child needs nothing else
shares a job with that child, so that the value between them never leaves the worker.

Neighbours, which are parts of this one object and which nothing else changes: `states.py` (states and legal moves), `queues.py`
(nodes that are ready), `pending.py` (jobs that wait for values), `workers.py` (what each worker holds), `values.py` (where values
are), `resources.py` (scarce resources), `policies.py` (who is tried again), `view.py` (what can be
asked), `moves.py` (the moves).
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

from treadle.execution.protocol.messages import MAIN
from treadle.execution.scheduling.instructions import (
    CancelJobs,
    DelayNode,
    RejectNode,
    RestartWorker,
    RunJob,
)
from treadle.execution.scheduling.moves import SchedulerMoves
from treadle.execution.scheduling.states import InvalidTransitionError, NodeState
from treadle.pipeline.policy import FailurePolicy

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from treadle.execution.protocol.placement import Placement
    from treadle.execution.scheduling.instructions import Instruction
    from treadle.execution.scheduling.workers import WorkerState

__all__ = ["FailurePolicy", "InvalidTransitionError", "NodeState", "Scheduler"]


class Scheduler(SchedulerMoves):
    """Decide what runs where and when.

    Args:
        plan: what to run, with the policies of its nodes.
        weights: seconds that each node is expected to take; equal where None.
        policy: what a failure means for the rest, where the node's own policy does not say.
        depth: jobs that a worker may hold at once; None lets it follow what nodes take: one, until they are known to be tiny.
        fuse: let a node share a job with its sole child.
        separate_main: True if the workers are other processes: the worker MAIN runs what needs this one, and nothing else.
        limits: how much of each resource nodes may use together; a resource without a limit is not scarce.
    """

    # --- events: nodes ---------------------------------------------------------------------------------------------------

    def expect(self, weights: Sequence[float] | None = None, main_only: Iterable[int] = ()) -> None:
        """Take in, before anything is assigned, what is known only once workers are starting.

        Args:
            weights: what each node is expected to take (any unit): priorities follow.
            main_only: nodes that turned out to need the main process.
        """
        self._weights = weights
        self._queues.main_only.update(main_only)

    def finish(self, node: int, worker: int, seconds: float | None = None) -> None:
        """A node finished; where its values are was reported before, by `value_made`, unless the store has them.

        Args:
            node: its index.
            worker: where it ran.
            seconds: how long it took, where that is known.
        """
        self._move(node, NodeState.DONE)
        if self._resources is not None:
            self._resources.give_back(node)
        self._workers.drop(node, worker)
        if seconds is not None:
            self._workers.note_seconds(seconds)
        planned = self._plan.nodes[node]
        self._unfinished -= 1
        if planned.outputs:
            self._values.outputs_made(planned.outputs, worker)
        missing = self._missing
        for child in planned.children:
            missing[child] -= 1
            if not missing[child] and self._states[child] is NodeState.WAITING:
                self._make_ready(child)
        if planned.inputs:
            self._values.inputs_used(planned.inputs)

    def retry(self, node: int, worker: int | None) -> bool:
        """An attempt at a node failed: put the node aside for the next one, if its policy grants one and the run goes on.

        Args:
            node: its index.
            worker: where it ran; None if the worker is lost.

        Returns:
            True if there is a next attempt, now or after a DelayNode; False where `fail` has to be called.
        """
        delay = None if self._stopped else self._policies.next_delay(node)
        if delay is None:
            return False
        if worker is not None:
            self._unassign(node, worker)
        self._move(node, NodeState.DELAYED)
        if delay:
            self._instructions.append(DelayNode(node, delay))
        else:
            self.wake(node)
        return True

    def wake(self, node: int) -> None:
        """The delay before a node's next attempt is over; nothing happens where it was skipped meanwhile."""
        if self._states[node] is NodeState.DELAYED:
            self._move(node, NodeState.WAITING)
            self._requeue(node)

    def fail(self, node: int, worker: int | None) -> None:
        """A node failed and is not tried again: stop the run, or skip what depends on the node.

        Args:
            node: its index.
            worker: where it ran; None if it could not even be assigned, or the worker is lost.
        """
        if worker is not None:
            self._unassign(node, worker)
        self._move(node, NodeState.FAILED)
        self._unfinished -= 1
        if self._policies.stops_the_run(node):
            self.stop()
            return
        self._values.inputs_used(self._plan.nodes[node].inputs)
        self._skip_with_descendants(self._plan.nodes[node].children)

    def return_nodes(self, nodes: Iterable[int], worker: int) -> None:
        """A worker returned nodes: they did not start. Where it still runs one, that one takes long."""
        self._return(nodes, worker)
        state = self._workers.states.get(worker)
        if state is not None and state.nodes:
            state.slow = True

    def stop(self) -> None:
        """Start nothing more: skip all that no worker has."""
        self._stopped = True
        issued = [each for each in self._instructions if isinstance(each, RunJob)]
        for job in (*issued, *self._pending.remove(lambda _job, _missing: True)):
            self._return(job.nodes, job.worker)
        for job in issued:
            self._instructions.remove(job)
        for node, state in enumerate(self._states):
            if state in (NodeState.WAITING, NodeState.READY, NodeState.DELAYED):
                self._skip(node)
        self._queues.clear()
        self._instructions.extend(CancelJobs(worker) for worker, state in self._workers.states.items() if state.nodes)

    # --- events: workers -------------------------------------------------------------------------------------------------

    def add_worker(self, worker: int) -> None:
        """A worker is ready for jobs."""
        self._workers.add(worker)

    def lose_worker(self, worker: int, culprit: int | None) -> None:
        """A worker is gone: what it held can run elsewhere, but for the culprit, which stays assigned until `fail` or `retry`.

        Values that only it had are made again, where they are still needed, when jobs are next assigned.

        Args:
            worker: the worker.
            culprit: the node that it was running.
        """
        self._pending.remove(lambda job, _missing: job.worker == worker)
        for issued in [each for each in self._instructions if isinstance(each, RunJob) and each.worker == worker]:
            self._instructions.remove(issued)
        for node in self._workers.lose(worker):
            if self._resources is not None:
                self._resources.give_back(node)
            if node != culprit:
                self._attempts[node] -= 1
                self._move(node, NodeState.WAITING)
                self._values.cancel_job((node,))
                self._requeue(node)
        lost = set(self._values.lose_worker(worker))
        self._queues.lose_worker(worker)
        if self._pending:
            self._return_pending(lambda _job, missing: not lost.isdisjoint(missing))
        self._instructions.append(RestartWorker(worker))

    # --- events: values --------------------------------------------------------------------------------------------------

    def value_made(self, dataset: int, placement: Placement) -> None:
        """A node that is about to be reported as finished made a value; needed only where the store does not have it."""
        self._values.place(dataset, placement)
        if placement.worker is None:
            self._run_complete_jobs(dataset)
        elif not placement.movable:
            self._queues.put_again(self._plan.datasets[dataset].consumers)

    def value_arrived(self, dataset: int, placement: Placement, source: int = MAIN) -> None:
        """A value was loaded from the catalog, or a worker answered a TransferValue; ignored where it is not expected any more.

        Args:
            dataset: its index.
            placement: where it is now: in the store, or in the one worker that it cannot leave.
            source: the worker that answered; MAIN for a value from the catalog.
        """
        if not self._values.is_expected_from(dataset, source):
            return
        self._values.place(dataset, placement, moved=True)
        if placement.worker is not None:
            self._return_pending(lambda job, missing: dataset in missing and job.worker != placement.worker)
            self._queues.put_again(self._plan.datasets[dataset].consumers)
        self._run_complete_jobs(dataset)

    def load_failed(self, dataset: int, node: int) -> bool:
        """A free input could not be loaded.

        Args:
            dataset: its index.
            node: the node of the LoadValue.

        Returns:
            True if the node has to be failed now; False where other nodes of its job run first.
        """
        self._values.give_up_loading(dataset)
        returned = self._return_pending(lambda _job, missing: dataset in missing)
        self._apart.add(node)
        return any(job.nodes[0] == node for job in returned)

    # --- decisions -------------------------------------------------------------------------------------------------------

    def next_instruction(self) -> Instruction | None:
        """Return the next instruction, None if there is none."""
        while self._instructions:
            instruction = self._instructions.popleft()
            if isinstance(instruction, RejectNode) and self._states[instruction.node] is not NodeState.READY:
                continue  # it was skipped meanwhile
            return instruction
        return None

    def assign(self) -> bool:
        """Assign jobs to the workers that have room, most urgent first, one a worker at a time.

        Returns:
            True if there are instructions.
        """
        if not self._queues.priority:  # nothing is ready before the first call: until then more may be expected
            self._begin()
        self._repeat_lost()
        depth = self._workers.depth
        room = self._workers.with_room(depth)
        heapify(room)  # the worker that holds least comes first
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
                self._assign_job(chosen.entry[1], worker, state)
                state.slow = True
            elif best:
                self._assign_job(heappop(best)[1], worker, state)
                if not state.slow and state.jobs < depth:
                    heappush(room, (state.jobs, order, worker, state))
        for left in scarce:
            self._queues.put(left.entry[1])
        while (node := self._queues.pop_unplaceable()) is not None:
            self._instructions.append(RejectNode(node))
        return bool(self._instructions)

    def _assign_job(self, first: int, worker: int, state: WorkerState) -> None:
        nodes = [first]
        self._move(first, NodeState.ASSIGNED)
        if self._fuse and first not in self._alone:
            while (successor := self._sole_successor(nodes[-1], worker)) is not None:
                self._move(successor, NodeState.ASSIGNED)
                nodes.append(successor)
        for node in nodes:
            self._attempts[node] += 1
        self._workers.hold(nodes, state)
        values = self._values
        inputs, last, local = values.plan_job(nodes, worker)
        if inputs and (missing := values.missing(inputs, worker)):
            job = RunJob(worker, tuple(nodes), inputs, last, local)
            self._pending.add(job, missing)
            for dataset in missing:
                self._request(dataset, job)
        else:
            sent = values.to_send(inputs, worker) if inputs else ()
            self._instructions.append(RunJob(worker, tuple(nodes), sent, last, local))

    def _sole_successor(self, node: int, worker: int) -> int | None:
        """Return the child that can share a node's job: its only one, which waits for nothing else."""
        children = self._plan.nodes[node].children
        if len(children) != 1:
            return None
        child = children[0]
        if self._missing[child] != 1 or self._states[child] is not NodeState.WAITING or child in self._apart:
            return None
        required = self._queues.required_worker(child)
        if any(holder != required for holder in self._values.pinned_inputs(child).values()):
            return None  # no worker can run it, which is found out when it is ready
        return child if self._queues.may_run(worker, required) else None
