"""What the scheduler knows of in-memory values: how many takers are to come, and where each value is.

State: use counts, and the one worker that has a value, where only one has it. Neighbours: `scheduler.py` tells it what happened
and asks what nobody needs any more; `queues.py` asks where a node's values are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.execution.scheduling.states import NodeState

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from treadle.planning import Plan


class Values:
    """The values of a run's in-memory datasets, by index."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.uses = [dataset.uses for dataset in plan.datasets]
        self._released = [False] * len(plan.datasets)
        self.pins: dict[int, int] = {}  # dataset -> the only worker that has its value, for good
        self.homes: dict[int, tuple[int, int]] = {}  # dataset -> the worker that has its value, and its bytes
        self.local: set[int] = set()  # datasets that stay within the job that makes them
        self._spent: set[int] = set()  # datasets whose last taker is at work, in the one worker that had them
        self._lost: list[int] = []  # datasets whose only value went with a lost worker
        self._keep: set[int] = set()  # nodes that may need their inputs once more: they are never the last taker of one

    def keep_inputs_of(self, nodes: Iterable[int]) -> None:
        """Nodes may run again: their inputs stay until they are through."""
        self._keep.update(nodes)

    def holders(self, node: int) -> dict[int, int]:
        """Return the datasets among a node's inputs that only one worker has, each with that worker."""
        if not self.pins:
            return {}
        return {dataset: self.pins[dataset] for dataset in self._plan.nodes[node].inputs if dataset in self.pins}

    def nearest(self, node: int) -> int | None:
        """Return the worker that has most of a node's data, None where no worker has any."""
        bytes_in: dict[int, int] = {}
        for dataset in self._plan.nodes[node].inputs:
            if dataset in self.homes:
                worker, size = self.homes[dataset]
                bytes_in[worker] = bytes_in.get(worker, 0) + size
        return max(bytes_in, key=lambda worker: (bytes_in[worker], -worker)) if bytes_in else None

    def hand_out(self, nodes: Sequence[int], worker: int) -> tuple[tuple[int, ...], tuple[tuple[int, int], ...], tuple[int, ...]]:
        """Nodes go to a worker as one job.

        Returns:
            What an Assignment says of its data: inputs from outside, last takers, and what stays within the job.
        """
        if len(nodes) == 1 and not self._plan.nodes[nodes[0]].inputs:
            return (), (), ()
        datasets = self._plan.datasets
        made: set[int] = set()
        inputs: dict[int, None] = {}
        takers: dict[int, int] = {}
        final: dict[int, int] = {}
        for node in nodes:
            planned = self._plan.nodes[node]
            for dataset in planned.inputs:
                if datasets[dataset].in_memory:
                    takers[dataset] = takers.get(dataset, 0) + 1
                    final[dataset] = node
                    if dataset not in made:
                        inputs[dataset] = None
            made.update(planned.outputs)
        uses = self.uses
        last = tuple([(dataset, final[dataset]) for dataset, count in takers.items() if uses[dataset] == count])
        if self._keep:
            last = tuple(pair for pair in last if pair[1] not in self._keep)
        local = tuple([dataset for dataset, _ in last if dataset in made])
        self.local.update(local)
        if self.pins or self.homes:
            self._spent.update(dataset for dataset, _ in last if self._is_only_in(dataset, worker))
        return tuple(inputs), last, local

    def made(self, outputs: Sequence[int], worker: int) -> list[int]:
        """A node's outputs are there; return those that nobody takes."""
        released = []
        for dataset in outputs:
            if dataset in self.local:
                self.pins[dataset] = worker
            if self.uses[dataset] == 0 and self._release(dataset):
                released.append(dataset)
        return released

    def let_go(self, inputs: Sequence[int]) -> list[int]:
        """A taker is through; return what nobody needs any more."""
        released = []
        self._spent.difference_update(inputs)
        for dataset in inputs:
            self.uses[dataset] -= 1
            if self.uses[dataset] == 0 and self._release(dataset):
                released.append(dataset)
        return released

    def give_back(self, node: int) -> None:
        """A node that was handed out did not begin."""
        planned = self._plan.nodes[node]
        self.local.difference_update(planned.outputs)
        self._spent.difference_update(planned.inputs)

    def lose_worker(self, worker: int) -> None:
        """A worker is gone, and the values that only it had."""
        lost = [dataset for dataset, holder in self.pins.items() if holder == worker]
        lost += [dataset for dataset, (holder, _size) in self.homes.items() if holder == worker]
        for dataset in lost:
            self.pins.pop(dataset, None)
            self.homes.pop(dataset, None)
            self._lost.append(dataset)

    def take_lost(self, states: Sequence[NodeState]) -> list[int]:
        """Return the nodes that have to run again, because values of theirs were lost and are needed, with those before them."""
        datasets = self._plan.datasets
        pending = [datasets[dataset].producer for dataset in self._lost if self.uses[dataset]]
        self._lost = []
        again: dict[int, None] = {}
        while pending:
            node = pending.pop()
            if node is not None and node not in again and states[node] is NodeState.DONE:
                again[node] = None
                pending += self._need_again(node)
        return list(again)

    @property
    def any_lost(self) -> bool:
        """True where a worker took values along since they were last taken."""
        return bool(self._lost)

    @property
    def misses_any(self) -> bool:
        """True where something still needs one of those."""
        return bool(self._lost) and any(self.uses[dataset] for dataset in self._lost)

    def _need_again(self, node: int) -> list[int | None]:
        """A node that was through has to run again; return the makers of those of its inputs that are gone."""
        planned = self._plan.nodes[node]
        self.local.difference_update(planned.outputs)
        makers = []
        for dataset in planned.inputs:
            self.uses[dataset] += 1
            if self._released[dataset] or dataset in self._spent:
                self._released[dataset] = False
                self._spent.discard(dataset)
                self.pins.pop(dataset, None)
                self.homes.pop(dataset, None)
                makers.append(self._plan.datasets[dataset].producer)
        return makers

    def _is_only_in(self, dataset: int, worker: int) -> bool:
        return self.pins.get(dataset) == worker or (dataset in self.homes and self.homes[dataset][0] == worker)

    def _release(self, dataset: int) -> bool:
        if not self._plan.datasets[dataset].in_memory:
            return False
        self._released[dataset] = True
        self.pins.pop(dataset, None)
        self.homes.pop(dataset, None)
        return True
