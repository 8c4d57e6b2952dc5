"""The scheduler: the only object that may change the state of a run.

It is pure: it does no I/O and knows no process, thread, clock or file. Events go in (a worker is ready, a node finished, failed
or was returned, a value arrived, a worker was lost, a delay is over), instructions come out (`instructions.py`). The same events
in the same order give the same instructions.

The ready node with the longest remaining path runs first; plan order breaks ties. A node and its only child share a job if the
child has no other parent, so that the value between them never leaves the worker. So do a node and the tiny nodes behind it that
need nothing else, and tiny nodes that need nothing of each other, because a job costs the parent as much time as a tiny node its
worker.

Runs in the parent. State: that of one run. These modules are parts of the scheduler, and only the scheduler changes their state:
`states.py` (states and legal moves), `queues.py` (ready nodes), `pending.py` (jobs that wait for values), `workers.py` (the nodes
that each worker holds), `values.py` (where values are), `resources.py` (limited resources), `policies.py` (retries), `view.py`
(queries), `moves.py` (state changes). The module is long because each event is a method that documents its arguments.
"""

from __future__ import annotations

from heapq import heapify, heappop, heapreplace
from typing import TYPE_CHECKING

from treadle.execution.protocol.messages import MAIN
from treadle.execution.scheduling.instructions import (
    CancelJobs,
    DecideNode,
    DelayNode,
    LoadValue,
    RejectNode,
    RestartWorker,
    RunJob,
)
from treadle.execution.scheduling.moves import SchedulerMoves
from treadle.execution.scheduling.states import InvalidTransitionError, NodeState
from treadle.execution.scheduling.tiny_graphs import TINY_SECONDS
from treadle.named_tuple import new_record
from treadle.pipeline.policy import FailurePolicy

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from treadle.execution.protocol.placement import Placement
    from treadle.execution.scheduling.instructions import Instruction
    from treadle.execution.scheduling.priority_queue import PriorityQueue
    from treadle.execution.scheduling.workers import WorkerState

__all__ = ["FailurePolicy", "InvalidTransitionError", "NodeState", "Scheduler"]

_TAKEN_TOGETHER = 32
"""Number of nodes that are taken from a queue at once: those behind one that needs a job of its own are put back."""


class Scheduler(SchedulerMoves):
    """Decide when and where each node runs.

    Args:
        plan: the nodes, with their policies.
        weights: seconds that each node is expected to take; None if all are equal.
        policy: whether a failure stops the run, for nodes whose own policy does not set it.
        depth: jobs that a worker may hold at once; None adapts it to the durations of nodes, starting with one.
        fuse: whether a node may share a job with its sole child.
        separate_main: True if the workers are other processes: the worker MAIN runs only nodes that need the main process.
        limits: the total of each resource that running nodes may use; a resource without a limit is ignored.
        reports_local: whether the release of a value that never left its job is an instruction, which only observers need.
    """

    # --- events: nodes ---------------------------------------------------------------------------------------------------

    def prepare(
        self,
        weights: Sequence[float] | None = None,
        main_only: Iterable[int] = (),
        undecided: Iterable[int] = (),
        *,
        fuse_tiny: bool = False,
    ) -> None:
        """Set what is known once the workers are starting. Called before any node is assigned.

        Args:
            weights: the expected duration of each node, in any unit, which determines the priorities.
            main_only: nodes that need the main process, in addition to those of the plan.
            undecided: nodes that may be up to date: each of them gets a DecideNode once its parents are done.
            fuse_tiny: whether the weights are seconds, and a node may share a job with tiny descendants. The workers must return
                the rest of such a job if a node takes long after all, and pass on what stayed within it.
        """
        self._weights = weights
        self._fuses_tiny = fuse_tiny and self._fuse
        self._queues.main_only.update(main_only)
        self._undecided.update(undecided)
        self._reuses = bool(self._undecided)
        self._not_fusable.update(undecided)

    def reuse(self, node: int) -> None:
        """A node is up to date: its outputs from an earlier run are used. Its in-memory outputs are made only if needed.

        Args:
            node: its index, from a DecideNode.
        """
        self._undecided.discard(node)
        self._move(node, NodeState.DONE)
        self._unfinished -= 1
        self._values.node_reused(node)
        self._parents_done(self._children[node])

    def require(self, node: int) -> None:
        """A node is not up to date, so it must run.

        Args:
            node: its index, from a DecideNode.
        """
        self._undecided.discard(node)
        self._requeue(node)

    def finish(self, node: int, worker: int, seconds: float | None = None) -> None:
        """A node finished; `value_made` has reported the placement of its values before, unless they are in the store.

        Args:
            node: its index.
            worker: where it ran.
            seconds: how long it took, if known.
        """
        self.finish_all((node,), worker, () if seconds is None else (seconds,))

    def finish_all(self, nodes: Sequence[int], worker: int, seconds: Iterable[float]) -> None:
        """Nodes finished, in this order; `value_made` has reported the placements of their values before, as for `finish`.

        Args:
            nodes: their indices.
            worker: where they ran.
            seconds: how long each took.
        """
        self._workers.drop(nodes, worker)  # first: after an interrupt, `holds` says which nodes have finished
        self._move_all(nodes, NodeState.DONE)
        self._unfinished -= len(nodes)
        self._workers.note_seconds(seconds)
        inputs, outputs, children = self._inputs, self._outputs, self._children
        self._values.outputs_made([dataset for node in nodes for dataset in outputs[node]], worker)
        if self._resources is not None:
            for node in nodes:
                self._resources.free_for(node)
        self._parents_done([child for node in nodes for child in children[node]])
        self._values.inputs_used([dataset for node in nodes for dataset in inputs[node]])

    def retry(self, node: int, worker: int | None) -> bool:
        """An attempt at a node failed: delay the node for its next attempt, if its policy allows one and the run continues.

        Args:
            node: its index.
            worker: where it ran; None if the worker is lost.

        Returns:
            True if there is a next attempt, now or after a DelayNode; False if the caller must call `fail`.
        """
        delay = None if self._stopped else self._policies.use_retry(node)
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
        """The delay before a node's next attempt is over; does nothing if it was skipped meanwhile."""
        if self._states[node] is NodeState.DELAYED:
            self._move(node, NodeState.WAITING)
            self._requeue(node)

    def fail(self, node: int, worker: int | None) -> None:
        """A node failed and is not attempted again: stop the run, or skip the descendants of the node.

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
        self._values.inputs_unused(self._inputs[node])
        self._skip_with_descendants(self._children[node])

    def return_nodes(self, nodes: Iterable[int], worker: int) -> None:
        """A worker returned nodes that did not start. If it still runs a node, that node takes long."""
        self._return(nodes, worker)
        state = self._workers.states.get(worker)
        if state is not None and state.nodes:
            state.slow = True

    def stop(self) -> None:
        """Stop the run: skip all nodes that are not assigned to a worker."""
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

    def leave_worker(self, worker: int, *, is_leaving: bool) -> None:
        """A worker will be shut down soon; or it stays after all.

        It gets no jobs but those that use a value that cannot leave it: it stays until its values were used.

        Args:
            worker: the worker.
            is_leaving: False if it stays.
        """
        self._workers.set_leaving(worker, is_leaving=is_leaving)
        if is_leaving and self._pending:
            self._return_pending(lambda job, _missing: job.worker == worker)

    def lose_worker(self, worker: int, culprit: int | None) -> None:
        """A worker is lost: its nodes can run elsewhere, except the culprit, which stays assigned until `fail` or `retry`.

        Values that only this worker had and that are still needed are made again when jobs are next assigned.

        Args:
            worker: the worker.
            culprit: the node that it was running.
        """
        self._pending.remove(lambda job, _missing: job.worker == worker)
        for issued in [each for each in self._instructions if isinstance(each, RunJob) and each.worker == worker]:
            self._instructions.remove(issued)
        for node in self._workers.lose(worker):
            if self._resources is not None:
                self._resources.free_for(node)
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
        """A node made a value, and is about to be reported as finished; called only if the value is not in the store."""
        self._values.place(dataset, placement)
        if placement.worker is None:
            self._run_complete_jobs(dataset)
        elif not placement.movable:
            self._queues.requeue(self._plan.datasets[dataset].consumers)

    def value_arrived(self, dataset: int, placement: Placement, source: int = MAIN) -> None:
        """A value was loaded from the catalog, or a worker answered a TransferValue; ignored if it is no longer expected.

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
            self._queues.requeue(self._plan.datasets[dataset].consumers)
        self._run_complete_jobs(dataset)

    def load_failed(self, dataset: int, node: int) -> bool:
        """A free input could not be loaded.

        Args:
            dataset: its index.
            node: the node of the LoadValue.

        Returns:
            True if the node must be failed now; False if other nodes of its job run first.
        """
        self._values.load_failed(dataset)
        returned = self._return_pending(lambda _job, missing: dataset in missing)
        self._not_fusable.add(node)
        return any(job.nodes[0] == node for job in returned)

    # --- decisions -------------------------------------------------------------------------------------------------------

    def next_instruction(self) -> Instruction | None:
        """Return the next instruction, None if there is none."""
        while self._instructions:
            instruction = self._instructions.popleft()
            kind = type(instruction)
            if kind is RejectNode or kind is DecideNode:
                expected = NodeState.READY if kind is RejectNode else NodeState.WAITING
                if self._states[instruction.node] is not expected:  # type: ignore[union-attr]  # both kinds have a node
                    continue  # it was skipped meanwhile
            elif kind is LoadValue and not self._values.is_expected_from(instruction.dataset, MAIN):  # type: ignore[union-attr]
                continue  # another input of its last consumer could not be loaded
            return instruction
        return None

    def assign(self) -> bool:
        """Assign jobs to the workers that have room, the most urgent first, in rounds of one job per worker.

        Returns:
            True if there are instructions.
        """
        if not self._queues.priority:  # the first call: `prepare` may change the weights until then
            self._begin()
        if self._values.lost:
            self._repeat_lost()
        depth = self._workers.depth(self._queues.count)
        if room := self._workers.with_room(depth):
            self._assign_rounds(room, depth)
        while (node := self._queues.pop_unplaceable()) is not None:
            self._instructions.append(RejectNode(node))
        return bool(self._instructions)

    def _assign_rounds(self, room: list[tuple[int, int, int, WorkerState]], depth: int) -> None:
        heapify(room)  # the worker with the fewest jobs comes first
        queues, resources = self._queues, self._resources
        scarce = resources.candidates(len(room), queues.is_current) if resources is not None and resources.are_awaited else []
        while room:
            _jobs, order, worker, state = room[0]
            best = queues.required_queue(worker) if state.leaving else queues.best_queue(worker)
            chosen = next((each for each in scarce if self._may_take(worker, state, each.required)), None) if scarce else None
            if (
                chosen is not None
                and resources is not None
                and (best is None or (head := best.head()) is None or chosen.entry < head)
            ):
                heappop(room)
                scarce.remove(chosen)
                if state.jobs:  # the worker gets no other job until it is idle and can run this node
                    resources.put(*chosen)
                    continue
                resources.acquire(chosen.entry[1])
                self._assign_job(chosen.entry[1], worker, state)
                state.slow = True
                continue
            if best is None:
                heappop(room)
                continue
            may_share = depth > 1 and resources is None
            if may_share and queues.all_are_in(best) and self._assign_independent(best, room, depth):
                continue
            self._assign_job(best.pop()[1], worker, state)
            if not state.slow and state.jobs < depth:
                heapreplace(room, (state.jobs, order, worker, state))
            else:
                heappop(room)
        for left in scarce:
            queues.put(left.entry[1])

    def _may_take(self, worker: int, state: WorkerState, required: int | None) -> bool:
        """Return whether a worker may get a node with this required worker now."""
        return required == worker or (not state.leaving and self._queues.may_run(worker, required))

    def _assign_independent(self, queue: PriorityQueue, room: list[tuple[int, int, int, WorkerState]], depth: int) -> bool:
        """Assign the most urgent nodes of a queue in rounds, up to the first that needs a job of its own.

        Each worker gets its nodes as one job, which saves time where nodes are tiny; otherwise it is as if each node were a job
        of its own. A node whose child may join it, or whose values are missing, needs its own.

        Args:
            queue: all ready nodes, which any worker may run.
            room: the workers that may hold another job, as a heap; those that are full afterwards are removed.
            depth: jobs that a worker may hold at once.

        Returns:
            False if the first node needs a job of its own.
        """
        head = queue.head()
        if head is None or self._needs_own_job(head[1]):
            return False
        room[:] = sorted([each for each in room if self._may_take(each[2], each[3], None)])
        nodes = self._take_independent(queue, sum([depth - jobs for jobs, _order, _worker, _state in room]))
        shares = _deal(nodes, room, depth)
        self._start_attempts(nodes)
        for _jobs, order, worker, state in room:
            if share := shares[order]:
                self._workers.hold_each(share, state)
                inputs, last = self._values.plan_each(share, worker)
                sent = self._values.mark_sent(inputs, worker) if inputs else ()
                self._instructions.append(new_record(RunJob, (worker, tuple(share), sent, last, (), len(share) > 1, False)))
        room[:] = [(state.jobs, order, worker, state) for _jobs, order, worker, state in room if state.jobs < depth]
        heapify(room)
        return True

    def _take_independent(self, queue: PriorityQueue, count: int) -> list[int]:
        """Remove and return the most urgent nodes of a queue, up to the first that needs a job of its own.

        Args:
            queue: ready nodes, and stale entries, which are removed.
            count: the largest number of nodes.
        """
        states, ready = self._states, NodeState.READY
        inputs, children, single = self._inputs, self._children, self._single_node_jobs
        taken: dict[int, None] = {}
        while len(taken) < count and (entries := queue.take(min(_TAKEN_TOGETHER, count - len(taken)))):
            for place, (_priority, node) in enumerate(entries):
                if states[node] is not ready or node in taken:
                    continue
                if (inputs[node] or len(children[node]) == 1 or node in single) and self._needs_own_job(node):
                    queue.put_back(entries[place:])
                    return list(taken)
                taken[node] = None
        return list(taken)

    def _needs_own_job(self, node: int) -> bool:
        """Return whether a ready node may not share a job with others: its child may join it, or its values are missing."""
        inputs, children = self._inputs[node], self._children[node]
        if node in self._single_node_jobs or (len(children) == 1 and self._may_join(children[0])):
            return True
        return bool(inputs) and self._values.are_missing(inputs)

    def _assign_job(self, first: int, worker: int, state: WorkerState) -> None:
        children = self._children[first]
        if not children and not self._inputs[first]:  # the most frequent job of a run with very many nodes
            self._start_attempts((first,))
            self._workers.hold((first,), state)
            self._instructions.append(new_record(RunJob, (worker, (first,), (), (), (), False, False)))
            return
        nodes: Sequence[int] = (first,)
        returnable = False
        if children and self._fuse and first not in self._single_node_jobs and not state.leaving:
            nodes = chain = self._chain_from(first, worker) if len(children) == 1 else [first]
            seconds = self._weights if self._fuses_tiny else None
            if seconds is not None and seconds[first] < TINY_SECONDS and len(self._children[chain[-1]]) > 1:
                nodes = self._tiny_graph_from(chain, worker, seconds)
                returnable = len(nodes) > len(chain)
        self._start_attempts(nodes)
        self._workers.hold(nodes, state)
        values = self._values
        inputs, last, local = values.plan_job(nodes, worker, may_leave=returnable)
        if inputs and (missing := values.missing(inputs, worker)):
            job = RunJob(worker, tuple(nodes), inputs, last, local, returnable=returnable)
            self._pending.add(job, missing)
            for dataset in missing:
                self._request(dataset, job)
        else:
            sent = values.mark_sent(inputs, worker) if inputs else ()
            self._instructions.append(new_record(RunJob, (worker, tuple(nodes), sent, last, local, False, returnable)))

    def _start_attempts(self, nodes: Sequence[int]) -> None:
        self._move_all(nodes, NodeState.ASSIGNED)
        attempts = self._attempts
        for node in nodes:
            attempts[node] += 1


def _deal(nodes: list[int], room: list[tuple[int, int, int, WorkerState]], depth: int) -> dict[int, list[int]]:
    """Deal nodes out to workers, one by one, the next one always to the worker with the fewest jobs.

    Args:
        nodes: at most as many as the workers may hold.
        room: the workers, as (number of jobs, order, worker, state).
        depth: jobs that a worker may hold at once.

    Returns:
        The nodes of each worker, by its order.
    """
    if len(room) == 1:
        return {room[0][1]: nodes}
    most = len(nodes)  # for one worker
    turns = sorted([(level, order) for jobs, order, _worker, _state in room for level in range(jobs, min(depth, jobs + most))])
    shares: dict[int, list[int]] = {order: [] for _jobs, order, _worker, _state in room}
    for node, (_level, order) in zip(nodes, turns, strict=False):  # the last turns may stay without a node
        shares[order].append(node)
    return shares
