"""The values of a run's in-memory datasets: where each is, which workers have copies, and how many consumers are left.

Runs in the parent, as a part of the scheduler, which reports events to it. `queues.py` looks up where a node's inputs are. State:
the location and remaining uses of each value. Nothing else in the parent tracks where a value is, so the module is longer than
others: each fact about a value changes here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.execution.protocol.messages import MAIN
from treadle.execution.scheduling.instructions import ReleaseValue
from treadle.execution.scheduling.states import VALUE_MOVES, NodeState, States, ValueState
from treadle.named_tuple import new_record

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from treadle.execution.protocol.placement import Placement
    from treadle.planning import Plan

_IN_A_WORKER = (ValueState.RESIDENT, ValueState.TRANSFERRING, ValueState.PINNED)


class Values:
    """The values of a run's in-memory datasets, by index.

    Args:
        plan: the run.
        emit: called with each instruction to release a value.
        reports_local: whether there is also an instruction for a value that never left the job that made it.
    """

    def __init__(self, plan: Plan, emit: Callable[[ReleaseValue], None], *, reports_local: bool = True) -> None:
        self._plan = plan
        self._inputs, self._outputs = plan.inputs, plan.outputs
        self._emit = emit
        self._reports_local = reports_local
        datasets = plan.datasets
        self.uses = plan.uses
        """How many consumers of each value are left; being a result of the run counts as one."""
        self._states = States(len(datasets), VALUE_MOVES, lambda index: f"the value of '{datasets[index].name}'")
        self._move, self._move_all, self.of = self._states.move, self._states.move_all, self._states.of
        self.pins: dict[int, int] = {}
        """The worker of each value that cannot be transferred (PINNED)."""
        self.homes: dict[int, tuple[int, int]] = {}
        """The worker of each value that can be transferred, and its size in bytes (RESIDENT and TRANSFERRING)."""
        self._copies: dict[int, set[int]] = {}  # workers that keep a copy in addition to the store or the owner
        self._retained: set[int] = set()  # values that a worker keeps once it has received them
        self._direct: set[int] = set()  # values in a worker that the others read from it
        self._local: set[int] = set()  # datasets that stay within the job that makes them
        self._may_leave: set[int] = set()  # those of them that can be transferred, should consumers be returned unstarted
        self._used_up: set[int] = set()  # values whose last consumer is assigned to the only worker that has them
        self.lost: list[int] = []
        """Datasets whose only value was lost with a worker since the last `pop_nodes_to_repeat`."""
        self._unmade: set[int] = set()  # values of up-to-date nodes, which are made if a node that runs needs them
        self._dormant: set[int] = set()  # the nodes of these values
        self._repeatable: frozenset[int] = frozenset()  # nodes that may run again: they never count as last consumers

    def keep_inputs_for(self, nodes: frozenset[int]) -> None:
        """Keep the inputs of nodes that may run again until those nodes have finished or failed."""
        self._repeatable = nodes

    # --- where values are ------------------------------------------------------------------------------------------------

    def pinned_inputs(self, node: int) -> dict[int, int]:
        """Return the pinned values among a node's inputs, each with its worker."""
        if not self.pins:
            return {}
        return {dataset: self.pins[dataset] for dataset in self._inputs[node] if dataset in self.pins}

    def has_only_copy(self, worker: int) -> bool:
        """Return whether a worker has a value that exists nowhere else."""
        return worker in self.pins.values() or any(home == worker for home, _size in self.homes.values())

    def nearest_worker(self, node: int) -> int | None:
        """Return the worker that has the most bytes of a node's inputs; None if no worker has any."""
        bytes_in: dict[int, int] = {}
        for dataset in self._inputs[node]:
            if dataset in self.homes:
                worker, size = self.homes[dataset]
                bytes_in[worker] = bytes_in.get(worker, 0) + size
        return max(bytes_in, key=lambda worker: (bytes_in[worker], -worker)) if bytes_in else None

    def place(self, dataset: int, placement: Placement, *, moved: bool = False) -> None:
        """Record the location of a value.

        If the store already has the value, or is about to receive it, the node ran again because another of its outputs was
        lost. The first value is kept, and the new one is recorded as a copy.

        Args:
            dataset: its index.
            placement: its location.
            moved: True if it was loaded or transferred, False if a node made it.
        """
        state, worker = self.of[dataset], placement.worker
        if state in (ValueState.SHARED, ValueState.RELEASED) or (
            state is ValueState.TRANSFERRING and worker is not None and not moved
        ):
            if worker is not None:
                self._copies.setdefault(dataset, set()).add(worker)
            return
        before = self._forget_place(dataset)
        if before is not None and not moved:
            self._copies.setdefault(dataset, set()).add(before)
        if worker is None:
            if placement.retained:
                self._retained.add(dataset)
            self._move(dataset, ValueState.SHARED)
            return
        if state in (ValueState.RESIDENT, ValueState.PINNED):  # the node ran again
            self._move(dataset, ValueState.ABSENT)
        if placement.movable:
            self._move(dataset, ValueState.RESIDENT)
            self.homes[dataset] = (worker, placement.size)
            if placement.direct:
                self._direct.add(dataset)
                self._retained.add(dataset)
        else:
            self._move(dataset, ValueState.PINNED)
            self.pins[dataset] = worker

    def is_expected_from(self, dataset: int, worker: int) -> bool:
        """Return whether a value is being loaded, or transferred from this worker."""
        state = self.of[dataset]
        if state is ValueState.LOADING:
            return worker == MAIN
        return state is ValueState.TRANSFERRING and self.homes[dataset][0] == worker

    def load_failed(self, dataset: int) -> None:
        """Note that a value could not be loaded from the catalog."""
        self._move(dataset, ValueState.ABSENT)

    # --- jobs ------------------------------------------------------------------------------------------------------------

    def plan_job(
        self, nodes: Sequence[int], worker: int, *, may_leave: bool = False
    ) -> tuple[tuple[int, ...], tuple[tuple[int, int], ...], tuple[int, ...]]:
        """Determine the inputs, last consumers and local datasets of a job.

        Args:
            nodes: its nodes, in order.
            worker: who runs them.
            may_leave: whether nodes may be returned unstarted that need what the others have made.

        Returns:
            Its inputs from outside the job, the last consumers among its nodes, and the datasets that stay within it, as
            `RunJob` has them.
        """
        if len(nodes) == 1:
            return self._plan_job_of_one(nodes[0], worker)
        datasets = self._plan.datasets
        made: set[int] = set()
        inputs: dict[int, None] = {}
        consumers: dict[int, int] = {}
        final: dict[int, int] = {}
        for node in nodes:
            for dataset in self._inputs[node]:
                if datasets[dataset].in_memory:
                    consumers[dataset] = consumers.get(dataset, 0) + 1
                    final[dataset] = node
                    if dataset not in made:
                        inputs[dataset] = None
            made.update(self._outputs[node])
        uses = self.uses
        last = tuple([(dataset, final[dataset]) for dataset, count in consumers.items() if uses[dataset] == count])
        if self._repeatable:
            last = tuple(pair for pair in last if pair[1] not in self._repeatable)
        local = tuple([dataset for dataset, _ in last if dataset in made])
        if self._local:
            self._local.difference_update(inputs)
        self._local.update(local)
        if may_leave:
            self._may_leave.update(local)
        self._note_used_up(last, worker)
        return tuple(inputs), last, local

    def _plan_job_of_one(self, node: int, worker: int) -> tuple[tuple[int, ...], tuple[tuple[int, int], ...], tuple[int, ...]]:
        """Plan a job of one node, the most frequent kind, in half the time of the general method."""
        datasets, uses, used = self._plan.datasets, self.uses, self._inputs[node]
        inputs = [dataset for dataset in used if datasets[dataset].in_memory]
        if len(inputs) > 1:
            inputs = list(dict.fromkeys(inputs))
        if node in self._repeatable:
            return tuple(inputs), (), ()
        if self._local:
            self._local.difference_update(inputs)  # it is a later job that takes what stayed within its own so far
        last = [(dataset, node) for dataset in inputs if uses[dataset] == used.count(dataset)]
        self._note_used_up(last, worker)
        return tuple(inputs), tuple(last), ()

    def plan_each(self, nodes: Iterable[int], worker: int) -> tuple[tuple[int, ...], tuple[tuple[int, int], ...]]:
        """Return the inputs and last consumers of nodes that share a job as if each were a job of its own."""
        inputs: list[int] = []
        last: list[tuple[int, int]] = []
        for node in nodes:
            if self._inputs[node]:
                of_node, last_of_node, _local = self._plan_job_of_one(node, worker)
                inputs += of_node
                last += last_of_node
        return tuple(dict.fromkeys(inputs)) if inputs else (), tuple(last)

    def _note_used_up(self, last: Iterable[tuple[int, int]], worker: int) -> None:
        if self.pins or self.homes:
            self._used_up.update(dataset for dataset, _ in last if self._is_only_in(dataset, worker))

    def missing(self, inputs: Iterable[int], worker: int) -> list[int]:
        """Return the inputs that a worker cannot get yet, because they must first be loaded or transferred."""
        of, shared, direct = self.of, ValueState.SHARED, self._direct
        return [
            dataset
            for dataset in inputs
            if of[dataset] is not shared and dataset not in direct and not self._is_only_in(dataset, worker)
        ]

    def are_missing(self, used: Iterable[int]) -> bool:
        """Return whether some of the datasets that a node uses cannot be sent to any worker yet."""
        datasets, of, shared, direct = self._plan.datasets, self.of, ValueState.SHARED, self._direct
        for dataset in used:  # noqa: SIM110 - a plain loop is faster, and most nodes are tiny
            if of[dataset] is not shared and datasets[dataset].in_memory and dataset not in direct:
                return True
        return False

    def request(self, dataset: int) -> int | None:
        """Mark a missing value as requested.

        Returns:
            The worker that has it, MAIN if it must be loaded from the catalog; None if it was requested already.
        """
        state = self.of[dataset]
        if state is ValueState.ABSENT:
            self._move(dataset, ValueState.LOADING)
            return MAIN
        if state is ValueState.RESIDENT:
            self._move(dataset, ValueState.TRANSFERRING)
            return self.homes[dataset][0]
        return None

    def mark_sent(self, inputs: tuple[int, ...], worker: int) -> tuple[int, ...]:
        """Return the inputs that are sent with a job, because its worker does not have them; record that it has them now."""
        if not (self._retained or self.pins or self.homes):
            return inputs
        sent = []
        for dataset in inputs:
            if self.of[dataset] is not ValueState.SHARED and (dataset not in self._direct or self._is_only_in(dataset, worker)):
                continue  # it is in that worker
            if dataset in self._retained and worker != MAIN:
                copies = self._copies.setdefault(dataset, set())
                if worker in copies:
                    continue
                copies.add(worker)
            sent.append(dataset)
        return tuple(sent)

    def cancel_job(self, nodes: Iterable[int]) -> None:
        """Note that nodes were returned unstarted."""
        for node in nodes:
            self._local.difference_update(self._outputs[node])
            self._used_up.difference_update(self._inputs[node])

    # --- uses ------------------------------------------------------------------------------------------------------------

    def outputs_made(self, outputs: Sequence[int], worker: int) -> None:
        """Note that nodes finished; outputs without a placement are in the store, or in the nodes' worker if they are local."""
        local, of, absent, uses = self._local, self.of, ValueState.ABSENT, self.uses
        for dataset in outputs if local else ():
            if dataset in local:
                self._keep_local(dataset, worker)
        self._move_all([dataset for dataset in outputs if of[dataset] is absent], ValueState.SHARED)
        for dataset in outputs:
            if uses[dataset] == 0:
                self._release(dataset)

    def node_reused(self, node: int) -> None:
        """Note that a node did not run, because it is up to date: its in-memory outputs do not exist.

        As long as one of these may be needed, so are the inputs of the node.
        """
        planned = self._plan.nodes[node]
        unmade = [dataset for dataset in planned.outputs if self._plan.datasets[dataset].in_memory and self._awaited(dataset)]
        if unmade:
            self._unmade.update(unmade)
            self._dormant.add(node)
        else:
            self.inputs_used(planned.inputs)

    def are_unmade(self, inputs: Iterable[int]) -> bool:
        """Return whether one of these values was not made, because its node is up to date."""
        return bool(self._unmade) and not self._unmade.isdisjoint(inputs)

    def require(self, inputs: Iterable[int]) -> None:
        """Note that a node will run: those of its inputs that an up-to-date node did not make count as lost, and are made."""
        if self._unmade:
            needed = self._unmade.intersection(inputs)
            self._unmade -= needed
            self.lost += sorted(needed)

    def inputs_unused(self, inputs: Sequence[int]) -> None:
        """Note that a consumer of these datasets failed or was skipped. Its job may not have taken those that stay within it."""
        self._local.difference_update(inputs)
        self.inputs_used(inputs)

    def inputs_used(self, inputs: Sequence[int]) -> None:
        """Note that a consumer of these datasets finished."""
        if self._used_up:
            self._used_up.difference_update(inputs)
        uses = self.uses
        for dataset in inputs:
            uses[dataset] -= 1
            if uses[dataset] == 0:
                self._release(dataset)
            elif self._unmade and dataset in self._unmade and not self._awaited(dataset):
                self._unmade.discard(dataset)  # a result of the run that an earlier run had
                self._release_inputs(self._plan.datasets[dataset].producer)

    # --- lost values -----------------------------------------------------------------------------------------------------

    def lose_worker(self, worker: int) -> list[int]:
        """Note that a worker is lost; return the values that only it had."""
        lost = [dataset for dataset, holder in self.pins.items() if holder == worker]
        lost += [dataset for dataset, (holder, _size) in self.homes.items() if holder == worker]
        for dataset in lost:
            if dataset in self._direct:  # the workers of queued jobs may not have read it yet, so no copy is certain
                self._copies.pop(dataset, None)
            self._forget_place(dataset)
            self._move(dataset, ValueState.ABSENT)
        for copies in self._copies.values():
            copies.discard(worker)
        self.lost += lost
        return lost

    @property
    def needs_lost(self) -> bool:
        """True if one of the lost values is still needed."""
        return bool(self.lost) and any(self.uses[dataset] for dataset in self.lost)

    def pop_nodes_to_repeat(self, states: Sequence[NodeState]) -> list[int]:
        """Forget the lost values; return the nodes that must run again to make those that are needed, with their ancestors."""
        datasets = self._plan.datasets
        pending = [datasets[dataset].producer for dataset in self.lost if self.uses[dataset]]
        self.lost = []
        again: dict[int, None] = {}
        while pending:
            node = pending.pop()
            if node is not None and node not in again and states[node] is NodeState.DONE:
                again[node] = None
                pending += self._need_inputs_again(node)
        return list(again)

    def _need_inputs_again(self, node: int) -> list[int | None]:
        """Count the inputs of a node that must run again; return the producers of those inputs that no longer exist."""
        planned = self._plan.nodes[node]
        self._local.difference_update(planned.outputs)
        is_dormant = node in self._dormant
        if is_dormant:
            self._dormant.discard(node)
            self._unmade.difference_update(planned.outputs)
        producers = []
        for dataset in planned.inputs:
            self.uses[dataset] += not is_dormant  # those of a dormant node are still counted
            if self.of[dataset] is ValueState.RELEASED or dataset in self._used_up:
                self._used_up.discard(dataset)
                self._forget_place(dataset)
                self._move(dataset, ValueState.ABSENT)
                producers.append(self._plan.datasets[dataset].producer)
            elif dataset in self._unmade:
                self._unmade.discard(dataset)
                producers.append(self._plan.datasets[dataset].producer)
        return producers

    # --- moves -----------------------------------------------------------------------------------------------------------

    def _keep_local(self, dataset: int, worker: int) -> None:
        """Note that a local value was made, perhaps again, because another output of its node was lost."""
        if self.of[dataset] in _IN_A_WORKER:
            self._forget_place(dataset)
            self._move(dataset, ValueState.ABSENT)
        if self.of[dataset] is not ValueState.ABSENT:
            return
        if dataset in self._may_leave:
            self._move(dataset, ValueState.RESIDENT)
            self.homes[dataset] = (worker, 0)
        else:
            self._move(dataset, ValueState.PINNED)
            self.pins[dataset] = worker

    def _is_only_in(self, dataset: int, worker: int) -> bool:
        return self.pins.get(dataset) == worker or (dataset in self.homes and self.homes[dataset][0] == worker)

    def _forget_place(self, dataset: int) -> int | None:
        """Forget which worker has a value; return it."""
        worker = self.pins.pop(dataset, None)
        if self._direct:
            self._direct.discard(dataset)
        if worker is None and dataset in self.homes:
            worker = self.homes.pop(dataset)[0]
        return worker

    def _release(self, dataset: int) -> None:
        if not self._plan.datasets[dataset].in_memory:
            return
        in_workers = self.pins or self.homes or self._copies or self._retained or self._unmade
        if not in_workers and self.of[dataset] is ValueState.SHARED:  # most values
            self._move(dataset, ValueState.RELEASED)
            self._emit(new_record(ReleaseValue, (dataset, (), False)))
            return
        if dataset in self._unmade:  # there is nothing to release
            self._unmade.discard(dataset)
            self._move(dataset, ValueState.RELEASED)
            self._release_inputs(self._plan.datasets[dataset].producer)
            return
        if self.of[dataset] is ValueState.ABSENT and dataset not in self._copies:
            return  # all consumers were skipped; if a node makes it after that, it is released then
        holders: Collection[int] = self._copies.pop(dataset, ()) if self._copies else ()
        worker = self.pins.pop(dataset, None)
        if worker is None and dataset in self.homes:
            worker = self.homes.pop(dataset)[0]
        is_local = worker is not None and dataset in self._local
        if worker is not None and not is_local:
            holders = {*holders, worker}
        if self._retained:
            self._retained.discard(dataset)
        if self.of[dataset] is not ValueState.RELEASED:
            self._move(dataset, ValueState.RELEASED)
        if not is_local or self._reports_local:
            self._emit(ReleaseValue(dataset, tuple(sorted(holders)) if holders else (), is_local))

    def _awaited(self, dataset: int) -> int:
        """Return how many consumers of a value are left, apart from the result of the run."""
        return self.uses[dataset] - self._plan.datasets[dataset].is_result

    def _release_inputs(self, node: int | None) -> None:
        """Release the inputs of a dormant node if none of its values can be needed any more."""
        if node in self._dormant and self._unmade.isdisjoint(self._outputs[node]):
            self._dormant.discard(node)
            self.inputs_used(self._inputs[node])
