"""Where the nodes of a graph are drawn: columns by their longest path from the start, rows by the rows of their parents.

State: none. Neighbour: `payload.py` passes the places to the page, which folds groups of nodes.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from treadle.observe.store.run_graph import GraphNode

_SWEEPS = 4
"""How often the order within the columns is improved."""

_MANY = 2000
"""Up to this number of nodes their order is improved several times, beyond it once: a page draws more nodes as groups."""


def place_nodes(nodes: Sequence[GraphNode]) -> tuple[list[int], list[int]]:
    """Return the column and the row of each node.

    Args:
        nodes: nodes in an order in which parents come before their children.

    Returns:
        Columns and rows, from 0, by index of the node.
    """
    columns = [0] * len(nodes)
    for index, node in enumerate(nodes):
        columns[index] = max((columns[parent] + 1 for parent in node.parents), default=0)
    members: defaultdict[int, list[int]] = defaultdict(list)
    for index in sorted(range(len(nodes)), key=lambda each: (nodes[each].namespace or "", each)):
        members[columns[index]].append(index)
    children: list[list[int]] = [[] for _ in nodes]
    for index, node in enumerate(nodes):
        for parent in node.parents:
            children[parent].append(index)
    rows = [0.0] * len(nodes)
    for of_column in members.values():
        _number(of_column, rows)
    parents = [node.parents for node in nodes]
    order = sorted(members)
    for sweep in range(_SWEEPS if len(nodes) <= _MANY else 1):
        forward = sweep % 2 == 0
        neighbours = parents if forward else children
        for column in order if forward else reversed(order):
            of_column = members[column]
            wanted = {
                index: sum(rows[each] for each in neighbours[index]) / len(neighbours[index])
                if neighbours[index]
                else rows[index]
                for index in of_column
            }
            of_column.sort(key=wanted.__getitem__)
            _number(of_column, rows)
    places = [0] * len(nodes)
    for of_column in members.values():
        for row, index in enumerate(of_column):
            places[index] = row
    return columns, places


def _number(of_column: Sequence[int], rows: list[float]) -> None:
    """Set the rows of a column from its order, centred, so that columns of different length can be compared."""
    for row, index in enumerate(of_column):
        rows[index] = row - len(of_column) / 2
