"""What a lost worker had finished and not reported: the facts that the blackboard has in place of its own.

State: that of one run. Neighbours: `pool.py` reads the blackboard, `loky.py` reports what is believed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.execution.protocol.handles import RemoteValue
from treadle.execution.protocol.messages import Finished

if TYPE_CHECKING:
    from collections.abc import Iterable

    from treadle.execution.processes.blackboard import Done
    from treadle.planning import Plan


class UnreportedResults:
    """Makes facts of what lost workers wrote down.

    Such a node is done, but for its values in memory, which went with the worker; that is believed once. One whose values are
    lost so again counts as not finished: it may be what its worker died of each time, and then comes to be the one at fault.
    """

    def __init__(self) -> None:
        self._run = 0
        self._plan: Plan | None = None
        self._believed: set[int] = set()

    def begin(self, run: int, plan: Plan) -> None:
        """Begin with a run."""
        self._run, self._plan = run, plan
        self._believed.clear()

    def facts(self, worker: int, written: Iterable[Done]) -> list[Finished]:
        """Return what is believed.

        Args:
            worker: the lost worker.
            written: what it finished and had not told, in order.
        """
        facts, doubted = [], False
        for done in written:
            if self._plan is None or done.run != self._run:
                continue
            made = self._plan.nodes[done.node].outputs
            outputs = tuple([(dataset, RemoteValue(worker, 0)) for dataset in made if self._plan.datasets[dataset].in_memory])
            doubted = doubted or done.node in self._believed
            if doubted and outputs:
                continue  # nor is one behind it, which may have taken what it made: were it to fail, that one would wait for ever
            self._believed.add(done.node)
            seconds = done.at - done.started
            facts.append(Finished(done.run, done.node, done.started, done.at, 0.0, seconds, 0.0, outputs))
        return facts
