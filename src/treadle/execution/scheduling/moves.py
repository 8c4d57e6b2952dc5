"""The state of a scheduler, and the state changes that its events and decisions consist of.

Runs in the parent. `view.py` has the queries, `scheduler.py` the events and decisions. State: the whole state of the scheduler.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from treadle.execution.protocol.messages import MAIN
from treadle.execution.scheduling.instructions import DecideNode, LoadValue, RunJob, SkipNode, TransferValue
from treadle.execution.scheduling.pending import PendingJobs
from treadle.execution.scheduling.policies import Policies
from treadle.execution.scheduling.queues import ReadyQueues
from treadle.execution.scheduling.states import NODE_MOVES, NodeState, States
from treadle.execution.scheduling.tiny_graphs import tiny_graph
from treadle.execution.scheduling.values import Values
from treadle.execution.scheduling.view import SchedulerView
from treadle.execution.scheduling.workers import Workers
from treadle.pipeline.policy import FailurePolicy
from treadle.planning.priority import longest_remaining_paths

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from treadle.execution.scheduling.instructions import Instruction
    from treadle.execution.scheduling.resources import Resources
    from treadle.planning import Plan


class SchedulerMoves(SchedulerView):
    """The state of a scheduler and its changes; `Scheduler` documents the arguments."""

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
        reports_local: bool = True,
    ) -> None:
        self._plan = plan
        self._inputs, self._outputs, self._children = plan.inputs, plan.outputs, plan.children
        self._fuse = fuse
        self._fuses_tiny = False  # whether the weights are seconds, and a node may share a job with tiny descendants
        count = len(plan.nodes)
        nodes = States(count, NODE_MOVES, lambda index: f"node '{plan.nodes[index].name}'")
        self._move, self._move_all, self._states = nodes.move, nodes.move_all, nodes.of
        self._attempts = [0] * count
        self._missing = list(map(len, plan.parents))
        self._instructions: deque[Instruction] = deque()
        self._values = Values(plan, self._instructions.append, reports_local=reports_local)
        self._pending = PendingJobs()
        self._policies = Policies(plan, policy)
        self._values.keep_inputs_for(self._policies.retried)
        self._resources = _resources(plan, limits) if limits else None
        scarce = self._resources.nodes if self._resources is not None else frozenset()
        self._single_node_jobs = self._policies.retried | self._policies.limited | scarce  # nodes that never share a job
        self._not_fusable = set(self._single_node_jobs)  # nodes that do not share a job with their parent
        self._weights = weights
        self._queues = ReadyQueues(plan, self._states, self._values, self._resources, separate_main=separate_main)
        self._workers = Workers(depth)
        self._unfinished = count
        self._stopped = False
        self._reuses = False  # whether nodes of this run may be up to date
        self._undecided: set[int] = set()  # those for which this is not decided yet

    def _begin(self) -> None:
        """Compute the priorities, and make the nodes without parents ready."""
        self._queues.priority = longest_remaining_paths(self._children, self._weights)
        states, waiting = self._states, NodeState.WAITING
        self._make_ready([node for node, missing in enumerate(self._missing) if not missing and states[node] is waiting])

    def _make_ready(self, nodes: Sequence[int]) -> None:
        """Queue waiting nodes whose parents are done, unless the run has stopped or they may be up to date."""
        if self._stopped:
            for node in nodes:
                self._skip(node)
            return
        if self._reuses:
            undecided = self._undecided
            self._instructions.extend([DecideNode(node) for node in nodes if node in undecided])
            nodes = [node for node in nodes if node not in undecided]
            for node in nodes:
                self._values.require(self._inputs[node])
        self._move_all(nodes, NodeState.READY)
        self._queues.put_all(nodes)

    def _parents_done(self, children: Iterable[int]) -> None:
        """Make nodes ready that wait for no other parent; each is listed once for each parent of it that is done now."""
        missing, states, waiting = self._missing, self._states, NodeState.WAITING
        ready = []
        for child in children:
            missing[child] -= 1
            if not missing[child] and states[child] is waiting:
                ready.append(child)
        if ready:
            self._make_ready(ready)

    def _return(self, nodes: Iterable[int], worker: int) -> None:
        """Queue nodes again that were assigned to a worker and did not start."""
        for node in nodes:
            self._unassign(node, worker)
            self._attempts[node] -= 1
            self._move(node, NodeState.WAITING)
            self._values.cancel_job((node,))
            self._requeue(node)

    def _requeue(self, node: int) -> None:
        """Make a waiting node ready, leave it waiting for its parents, or skip it, depending on the state of the run."""
        if self._stopped:
            self._skip(node)
        elif not self._missing[node]:
            self._make_ready((node,))
        elif any(self._states[parent] in (NodeState.FAILED, NodeState.SKIPPED) for parent in self._plan.nodes[node].parents):
            # A parent ran again, because another of its values was lost, and failed.
            self._skip_with_descendants([node])

    def _skip_with_descendants(self, nodes: Iterable[int]) -> None:
        """Skip nodes and their descendants, except those that are assigned."""
        frontier = list(nodes)
        while frontier:
            node = frontier.pop()
            if self._states[node] in (NodeState.WAITING, NodeState.READY, NodeState.DELAYED):
                self._skip(node)
                self._values.inputs_unused(self._inputs[node])
                frontier += self._children[node]

    def _skip(self, node: int) -> None:
        self._move(node, NodeState.SKIPPED)
        self._instructions.append(SkipNode(node))
        self._unfinished -= 1

    def _unassign(self, node: int, worker: int) -> None:
        if self._resources is not None:
            self._resources.free_for(node)
        self._workers.drop((node,), worker)

    def _repeat_lost(self) -> None:
        """Queue the nodes again whose lost values are still needed, and their ancestors whose values were released."""
        if self._stopped:
            return
        again = self._values.pop_nodes_to_repeat(self._states)
        for node in again:
            self._move(node, NodeState.WAITING)
            self._unfinished += 1
            for child in self._children[node]:
                self._missing[child] += 1
                if self._states[child] is NodeState.READY:
                    self._move(child, NodeState.WAITING)
        for node in again:
            self._requeue(node)

    # --- jobs and their values -----------------------------------------------------------------------------------------

    def _issue(self, job: RunJob) -> None:
        worker, nodes, inputs, last, local, independent, returnable = job  # `_replace` takes twice as long
        sent = self._values.mark_sent(inputs, worker)
        self._instructions.append(RunJob(worker, nodes, sent, last, local, independent, returnable))

    def _request(self, dataset: int, job: RunJob) -> None:
        """Issue the instruction to load or transfer a missing value, unless it was issued already."""
        source = self._values.request(dataset)
        if source is None:
            return
        if source == MAIN and self._plan.datasets[dataset].producer is None:
            consumer = next(node for node in job.nodes if dataset in self._inputs[node])
            self._instructions.append(LoadValue(dataset, consumer))
        else:
            self._instructions.append(TransferValue(dataset, source))

    def _run_complete_jobs(self, dataset: int) -> None:
        if self._pending:
            for job in self._pending.value_arrived(dataset):
                self._issue(job)

    def _return_pending(self, condition: Callable[[RunJob, Collection[int]], bool]) -> list[RunJob]:
        """Return the pending jobs for which a condition holds to the queues."""
        returned = self._pending.remove(condition)
        for job in returned:
            self._return(job.nodes, job.worker)
        return returned

    def _chain_from(self, first: int, worker: int) -> list[int]:
        """Return a node, its only child, that one's only child and so on, as long as each waits for no other node."""
        inputs, children_of, values = self._inputs, self._children, self._values
        any_worker_may = not values.pins and not self._queues.main_only
        chain = [first]
        while len(children := children_of[chain[-1]]) == 1:
            child = children[0]
            if not self._may_join(child):
                break
            if values.are_unmade(inputs[child]) or not (any_worker_may or self._may_follow(child, worker)):
                break
            chain.append(child)
        return chain

    def _tiny_graph_from(self, chain: list[int], worker: int, seconds: Sequence[float]) -> list[int]:
        """Return a chain and the tiny nodes that may share its job."""
        values, inputs, states, waiting = self._values, self._inputs, self._states, NodeState.WAITING
        any_worker_may = not values.pins and not self._queues.main_only

        def may_join(node: int) -> bool:
            if states[node] is not waiting or node in self._not_fusable or values.are_unmade(inputs[node]):
                return False
            return any_worker_may or self._may_follow(node, worker)

        return tiny_graph(chain, self._plan, seconds, self._missing, may_join)

    def _may_join(self, child: int) -> bool:
        """Return whether a node may share a job with its only parent that is not done."""
        return (
            self._fuse
            and self._missing[child] == 1
            and self._states[child] is NodeState.WAITING
            and child not in self._not_fusable
        )

    def _may_follow(self, node: int, worker: int) -> bool:
        """Return whether a worker may run a node, with the values that cannot leave a worker."""
        required = self._queues.required_worker(node)
        if any(holder != required for holder in self._values.pinned_inputs(node).values()):
            return False  # no worker can run it; it is rejected when it is ready
        return self._queues.may_run(worker, required)


def _resources(plan: Plan, limits: Mapping[str, int]) -> Resources:
    from treadle.execution.scheduling.resources import Resources  # imported late: few plans request any

    return Resources(plan, limits)
