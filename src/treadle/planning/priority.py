"""Node priorities: the length of the longest path from a node to the end of the run.

The rule (longest remaining path first) is the critical-path list scheduling of Graham, "Bounds on multiprocessing timing
anomalies", SIAM J. Appl. Math. 17 (1969). State: none. Neighbours: the scheduler orders ready nodes by these priorities.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def longest_remaining_paths(children: Sequence[Sequence[int]], weights: Sequence[float] | None = None) -> list[float]:
    """Return for each node the weight of the heaviest path that starts at it, in time linear in nodes + edges.

    Args:
        children: for each node, in topological order, the nodes that depend on it.
        weights: duration of each node, in any unit; 1 for each node if None.

    Returns:
        One number per node, in the unit of the weights.
    """
    remaining = [1.0] * len(children) if weights is None else list(weights)
    for index in range(len(children) - 1, -1, -1):
        if after := children[index]:
            remaining[index] += max([remaining[child] for child in after])
    return remaining
