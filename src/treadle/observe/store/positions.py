"""The position of an attempt at a node among all attempts of its run, which identifies its row in the database.

Rows are written while the run goes on, before it is known how many attempts each node takes. Therefore the first attempts at all
nodes come first, in plan order, and then the second attempts::

    attempts     a 1   b 1   b 2   c 1
    position      0     1     4     2        position = place in the plan + 3 nodes × earlier attempts

State: none. Neighbours: `parts.py` computes positions, `rows.py` puts the attempts back in plan order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from treadle.observe.store.records import NodeRecord


def position(place: int, earlier: int, node_count: int) -> int:
    """Return the position of an attempt, or of a node that never started.

    Args:
        place: the node's place in the plan, from 0.
        earlier: number of earlier attempts at the node.
        node_count: number of nodes in the plan.
    """
    return place + node_count * earlier


def positions(nodes: Iterable[NodeRecord]) -> list[int]:
    """Return the position of each attempt of a complete run.

    Args:
        nodes: all attempts at all nodes of the run, in plan order.
    """
    nodes = list(nodes)
    places = _places(nodes)
    if len(places) == len(nodes):  # each node has one attempt, as in most runs
        return list(range(len(nodes)))
    earlier = dict.fromkeys(places, -1)
    found = []
    for each in nodes:
        earlier[each.node] += 1
        found.append(position(places[each.node], earlier[each.node], len(places)))
    return found


def in_plan_order(nodes: Sequence[NodeRecord]) -> tuple[NodeRecord, ...]:
    """Sort attempts by node, so that all attempts at a node are together.

    Args:
        nodes: attempts, by position.
    """
    places = _places(nodes)
    return tuple(sorted(nodes, key=lambda each: places[each.node]))


def _places(nodes: Iterable[NodeRecord]) -> dict[str, int]:
    places: dict[str, int] = {}
    for each in nodes:
        places.setdefault(each.node, len(places))
    return places
