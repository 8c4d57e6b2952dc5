"""Where to start again after a run that did not finish.

Pure: a plan and the nodes that finished go in, the nodes to hand to `--from-nodes` come out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from treadle.planning.plan import Plan


def resume_nodes(plan: Plan, finished: Collection[int]) -> tuple[str, ...]:
    """Return the names of the nodes from which the rest of a run can be made.

    Running these nodes and all that follows them makes everything that is missing, from datasets that persist: a node
    that finished is run again only where its output lived in memory, and is gone, and something still needs it.

    Args:
        plan: the plan of the run.
        finished: indices of the nodes whose outputs were saved.

    Returns:
        Names in plan order; empty where every node finished.
    """
    needed = {index for index in range(len(plan.nodes)) if index not in finished}
    frontier = list(needed)
    while frontier:
        node = plan.nodes[frontier.pop()]
        lost = {plan.datasets[name].producer for name in node.inputs if plan.datasets[name].in_memory}
        # `--from-nodes` runs all that follows a node, so those count as needed too, with their own inputs.
        for other in (*lost, *node.children):
            if other is not None and other not in needed:
                needed.add(other)
                frontier.append(other)
    return tuple(
        plan.nodes[index].name for index in sorted(needed) if not any(parent in needed for parent in plan.nodes[index].parents)
    )
