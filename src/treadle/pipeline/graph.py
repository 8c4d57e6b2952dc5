"""Algorithms on a directed graph of numbered nodes, each linear in nodes and edges.

Nodes are the numbers 0, 1, 2, …, in the caller's order. State: none. Neighbours: `wiring.py` and `selection.py` convert between
names and numbers.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Edges = tuple[tuple[int, ...], ...]


class Graph:
    """The dependencies between nodes; it is not changed.

    Args:
        parents: for each node, the nodes that it depends on, without duplicates.
        children: for each node, the nodes that depend on it, in ascending order.
    """

    __slots__ = ("children", "parents")

    def __init__(self, parents: Edges, children: Edges) -> None:
        self.parents = parents
        self.children = children

    @classmethod
    def from_parents(cls, parents: Sequence[Sequence[int]]) -> Graph:
        """Create the graph from each node's parents, which have no duplicates."""
        children: list[list[int]] = [[] for _ in parents]
        for node, befores in enumerate(parents):
            for before in befores:
                children[before].append(node)
        return cls(tuple(map(tuple, parents)), tuple(map(tuple, children)))

    def __eq__(self, other: object) -> bool:
        return self.parents == other.parents if isinstance(other, Graph) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.parents)

    def __len__(self) -> int:
        return len(self.parents)

    def order(self) -> list[int]:
        """Return the nodes in topological order; ties are resolved by the caller's order.

        Returns:
            All nodes; fewer if there is a cycle (see `cycle`).
        """
        waiting = [len(befores) for befores in self.parents]
        ready = [node for node, count in enumerate(waiting) if not count]
        order = []
        while ready:
            node = heapq.heappop(ready)
            order.append(node)
            for after in self.children[node]:
                waiting[after] -= 1
                if not waiting[after]:
                    heapq.heappush(ready, after)
        return order

    def cycle(self) -> list[int]:
        """Return the nodes of one cycle, each depending on the previous one; empty if there is none."""
        stuck = set(range(len(self))).difference(self.order())
        if not stuck:
            return []
        seen: dict[int, int] = {}
        path: list[int] = []
        node = min(stuck)
        while node not in seen:  # every stuck node has a stuck parent, so the walk must return to a visited node
            seen[node] = len(path)
            path.append(node)
            node = next(before for before in self.parents[node] if before in stuck)
        cycle = path[seen[node] :][::-1]
        first = cycle.index(min(cycle))
        return cycle[first:] + cycle[:first]

    def ancestors(self, starts: Iterable[int]) -> set[int]:
        """Return the nodes and all their ancestors."""
        return _reach(self.parents, starts)

    def descendants(self, starts: Iterable[int]) -> set[int]:
        """Return the nodes and all their descendants."""
        return _reach(self.children, starts)

    def layers(self) -> list[list[int]]:
        """Return the nodes in layers: each node is in the layer after the last of its parents. The graph must have no cycle."""
        depth = [0] * len(self)
        for node in self.order():
            depth[node] = max((depth[before] + 1 for before in self.parents[node]), default=0)
        layers: list[list[int]] = [[] for _ in range(max(depth, default=-1) + 1)]
        for node, level in enumerate(depth):
            layers[level].append(node)
        return layers


def _reach(edges: Edges, starts: Iterable[int]) -> set[int]:
    reached = set(starts)
    frontier = list(reached)
    while frontier:
        for node in edges[frontier.pop()]:
            if node not in reached:
                reached.add(node)
                frontier.append(node)
    return reached
