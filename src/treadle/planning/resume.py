"""Find the nodes to pass to `--from-nodes` after an unfinished run.

State: none. Neighbours: the run loop computes these nodes when a run stops, `session/resume.py` writes the command.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from treadle.planning.plan import Plan


def resume_nodes(plan: Plan, finished: Collection[int]) -> tuple[str, ...]:
    """Return the names of the nodes from which a run can be resumed.

    These nodes and their descendants produce all missing outputs from persistent datasets. A finished node runs again only
    if its output was in memory, so it is lost, and another node still needs it.

    Args:
        plan: the plan of the run.
        finished: indices of the nodes whose outputs were saved.

    Returns:
        Names in plan order; empty if every node finished.
    """
    needed = {index for index in range(len(plan.nodes)) if index not in finished}
    frontier = list(needed)
    while frontier:
        node = plan.nodes[frontier.pop()]
        lost = {plan.datasets[name].producer for name in node.inputs if plan.datasets[name].in_memory}
        # `--from-nodes` also runs the descendants of a node, so these are needed too, with their inputs.
        for other in (*lost, *node.children):
            if other is not None and other not in needed:
                needed.add(other)
                frontier.append(other)
    return tuple(
        plan.nodes[index].name for index in sorted(needed) if not any(parent in needed for parent in plan.nodes[index].parents)
    )
