"""Estimate the duration of each node from earlier runs. State: none. Neighbours: the scheduler uses the estimates as weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from treadle.planning.plan import Plan


def expected_seconds(plan: Plan, known: Mapping[str, float]) -> list[float] | None:
    """Return the expected duration of each node of a plan.

    Args:
        plan: the plan.
        known: seconds by node name, from earlier runs; other nodes are ignored.

    Returns:
        Seconds by node index: the known duration of the node, else the mean of known nodes with the same function, else the
        median of all known nodes. None if no node of the plan is known, so that equal weights apply.
    """
    try:
        return [known[planned.name] for planned in plan.nodes] or None
    except KeyError:
        pass  # some have to be estimated
    by_function: dict[int, list[float]] = {}
    for planned in plan.nodes:
        if planned.name in known:
            by_function.setdefault(id(planned.node.func), []).append(known[planned.name])
    if not by_function:
        return None
    means = {function: sum(seconds) / len(seconds) for function, seconds in by_function.items()}
    typical = median(seconds for each in by_function.values() for seconds in each)
    return [known.get(planned.name, means.get(id(planned.node.func), typical)) for planned in plan.nodes]


def median(seconds: Iterable[float]) -> float:
    """Return the median of at least one duration, without the import of `statistics`, which takes milliseconds."""
    ordered = sorted(seconds)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
