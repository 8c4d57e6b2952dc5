"""How long an earlier run took, from which the next run's runner is chosen. State: none.

Neighbours: the store returns these for recorded runs; `treadle.execution.runners.estimates` compares runners with them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


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
