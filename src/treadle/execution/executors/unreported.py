"""The nodes that a worker has finished and not reported: their facts are restored from the blackboard.

Needed when a worker is lost, and when a run is interrupted. State: the nodes of the current run that lost workers had finished.
Runs in the parent. Neighbours: the pools of loky and dask workers, which read the blackboard and report the facts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.execution.protocol.handles import RemoteValue
from treadle.execution.protocol.messages import Finished

if TYPE_CHECKING:
    from collections.abc import Iterable

    from treadle.execution.processes.blackboard import FinishedNode
    from treadle.planning import Plan


class UnreportedResults:
    """Restore the facts of nodes from the blackboard entries of workers.

    A node of a lost worker is finished, but its in-memory values were lost with the worker. It is accepted as finished only once:
    if its values are lost like this again, it counts as unfinished, because the node may be the cause of each loss, and must then
    be reported as failed.
    """

    def __init__(self) -> None:
        self._run = 0
        self._plan: Plan | None = None
        self._accepted: set[int] = set()

    def begin(self, run: int, plan: Plan) -> None:
        """Start a run."""
        self._run, self._plan = run, plan
        self._accepted.clear()

    def facts(self, worker: int, written: Iterable[FinishedNode]) -> list[Finished]:
        """Return the facts of the nodes that are accepted as finished.

        Args:
            worker: the lost worker.
            written: the nodes that it finished and had not reported, in order.
        """
        facts, rejected = [], False
        for fact in self.restored(worker, written):
            rejected = rejected or fact.node in self._accepted
            if rejected and fact.outputs:
                continue  # later nodes may have consumed its value, and would wait for it forever if the node fails
            self._accepted.add(fact.node)
            facts.append(fact)
        return facts

    def restored(self, worker: int, written: Iterable[FinishedNode]) -> list[Finished]:
        """Return the facts of nodes of this run, without accepting them as finished.

        Args:
            worker: the worker that finished them.
            written: the nodes, as the blackboard has them.
        """
        if (plan := self._plan) is None:
            return []
        facts = []
        for done in written:
            if done.run == self._run:
                in_memory = [dataset for dataset in plan.nodes[done.node].outputs if plan.datasets[dataset].in_memory]
                outputs = tuple([(dataset, RemoteValue(worker, 0)) for dataset in in_memory])
                seconds = done.at - done.started
                facts.append(Finished(done.run, done.node, done.started, done.at, 0.0, seconds, 0.0, outputs))
        return facts
