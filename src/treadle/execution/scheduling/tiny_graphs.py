"""Graphs of tiny nodes that share a job, because handing a value from job to job takes longer than the nodes.

Used in the parent by `moves.py`. State: none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from treadle.planning import Plan

TINY_SECONDS = 0.0005
"""How long the nodes of such a graph may take together: about as long as it takes to pass a value on twice. Were the nodes run by
several workers instead, they would not be done much earlier."""


def tiny_graph(
    chain: Sequence[int],
    plan: Plan,
    seconds: Sequence[float],
    missing: Sequence[int],
    may_join: Callable[[int], bool],
) -> list[int]:
    """Add descendants to a chain of nodes that are expected to take so little time that one worker should run them all.

    They need nothing of any other node that is not done. No value that is passed between them is needed elsewhere, so none of
    these values leaves the worker.

    Args:
        chain: the first nodes, in order.
        plan: the run.
        seconds: how long each node is expected to take.
        missing: for how many of its parents each node waits.
        may_join: whether a descendant may run in a job with others, and on the worker.

    Returns:
        The chain and the nodes that join it, in a topological order; the chain alone if it takes too long itself.
    """
    total = sum([seconds[node] for node in chain])
    found = list(chain)
    members = set(chain)
    waits: dict[int, int] = {}
    for node in found:  # which grows
        for child in plan.children[node]:
            waits[child] = left = waits.get(child, missing[child]) - 1
            if not left and child not in members and total + seconds[child] <= TINY_SECONDS and may_join(child):
                total += seconds[child]
                found.append(child)
                members.add(child)
    while leaving := _with_values_needed_elsewhere(found, members, plan):
        for node in found:
            if node in leaving or not leaving.isdisjoint(plan.parents[node]):
                leaving.add(node)
        members -= leaving
        found = [node for node in found if node in members]
    return found


def _with_values_needed_elsewhere(found: Sequence[int], members: set[int], plan: Plan) -> set[int]:
    """Return the nodes that need a value which nodes outside of the graph need, too."""
    datasets = plan.datasets
    leaving: set[int] = set()
    for node in found:
        for dataset in plan.outputs[node]:
            consumers = datasets[dataset].consumers
            if datasets[dataset].in_memory and not members.issuperset(consumers):
                leaving.update(members.intersection(consumers))
    return leaving
