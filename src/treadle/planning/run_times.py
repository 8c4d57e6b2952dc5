"""How long earlier runs took, from which the next run's runner is chosen, and which of them are used for it. State: none.

Neighbours: the store returns these for recorded runs; `treadle.execution.runners.estimates` compares runners with them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import TypeVar

    _Run = TypeVar("_Run")

ENOUGH_RUNS = 3
"""A runner that has run the same nodes so often is judged by these runs alone."""

OLD_RUNS = 20
"""A runner that has not run the nodes for this many runs may be tried again: the data or the machine may have changed."""


class RunTimes(NamedTuple):
    """How long one run took. All times are in seconds.

    Attributes:
        runner: name of the runner that ran it: `"sequential"`, `"thread"` or `"parallel"`.
        workers: its number of workers.
        seconds: from its start, before workers were started, to its end.
        start_up: from its start to the start of its first node.
        nodes: how long each node took, by name; without the nodes that did not run.
    """

    runner: str
    workers: int
    seconds: float
    start_up: float
    nodes: Mapping[str, float]


def remembered(runs: Iterable[_Run], runner_of: Callable[[_Run], str]) -> Iterator[_Run]:
    """Yield the runs from which a runner is chosen: the latest ones, and the latest ones of each runner.

    Without the second, a runner that has lost would count as not tried once its runs are not among the latest ones.

    Args:
        runs: earlier runs, the latest first.
        runner_of: returns the name of a run's runner.
    """
    of_runner: dict[str, int] = {}
    for number, run in enumerate(runs):
        runner = runner_of(run)
        of_runner[runner] = of_runner.get(runner, 0) + 1
        if number < OLD_RUNS or of_runner[runner] <= ENOUGH_RUNS:
            yield run
