"""How long each node is expected to take, from what earlier runs took. Pure functions over a plan."""

from __future__ import annotations

from statistics import fmean, median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from treadle.planning.plan import Plan


def expected_seconds(plan: Plan, known: Mapping[str, float]) -> list[float] | None:
    """Return how long each node of a plan is expected to take.

    Args:
        plan: the plan.
        known: seconds by node name, from earlier runs; names of other nodes do no harm.

    Returns:
        Seconds by node index: what is known of the node itself, else the mean of known nodes with the same function,
        else the median of all that are known. None where no node of the plan is known: equal weights then serve as well.
    """
    same: dict[int, list[float]] = {}
    for planned in plan.nodes:
        if planned.name in known:
            same.setdefault(id(planned.node.func), []).append(known[planned.name])
    if not same:
        return None
    of_function = {function: fmean(seconds) for function, seconds in same.items()}
    usual = median(seconds for each in same.values() for seconds in each)
    return [known.get(planned.name, of_function.get(id(planned.node.func), usual)) for planned in plan.nodes]
