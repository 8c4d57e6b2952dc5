"""Pickle nodes for other processes, in groups of nodes that share a function.

Runs in the parent. `bundle.py` puts the groups into a run's spec. State: the groups of each pipeline, with the pickled nodes.
"""

from __future__ import annotations

import pickle
from types import FunctionType
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from treadle.execution.protocol.handles import UnpicklableValueError
from treadle.execution.values.importable import is_found_by_name
from treadle.execution.values.in_band import pickle_in_band
from treadle.execution.values.pickling import pickle_value
from treadle.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from treadle.pipeline import Node
    from treadle.pipeline.links import Links
    from treadle.planning import Plan


class PickledNodes(NamedTuple):
    """Pickled nodes, in groups that share a function."""

    groups: tuple[bytes, ...]
    at: tuple[tuple[int, int], ...]
    """For each node, its group and its position in the group."""
    lasting: frozenset[int]
    """Groups whose function can be imported by name: in any run, equal bytes mean equal nodes."""
    unpicklable: Mapping[int, str]
    """The nodes whose function cannot be pickled, each with the reason. Their groups are empty: they run in the main process."""


class NodeGroups:
    """Nodes in groups that share a function. A worker unpickles a group when it runs a node of the group for the first time.

    A group whose function can be imported by name is pickled once. Other groups are pickled for each run, because an object that
    the function refers to may have changed.

    Args:
        nodes: in plan order.
    """

    def __init__(self, nodes: Sequence[Node]) -> None:
        members: dict[int, list[int]] = {}
        for index, node in enumerate(nodes):
            members.setdefault(id(node.func), []).append(index)
        self._members = tuple(members.values())
        self._batches = tuple(tuple([nodes[index] for index in indices]) for indices in self._members)
        at = [(0, 0)] * len(nodes)
        for group, indices in enumerate(self._members):
            for position, index in enumerate(indices):
                at[index] = (group, position)
        self._at = tuple(at)
        self._pickled: dict[int, bytes] = {}

    def pickled(self) -> PickledNodes:
        """Pickle the nodes.

        Returns:
            The pickled groups, the position of each node, and the nodes that cannot be pickled.
        """
        groups: list[bytes] = []
        lasting = set()
        unpicklable: dict[int, str] = {}
        for group, batch in enumerate(self._batches):
            if isinstance(batch[0].func, FunctionType) and is_found_by_name(batch[0].func):
                if group not in self._pickled:
                    self._pickled[group] = pickle.dumps(batch, protocol=5)
                groups.append(self._pickled[group])
                lasting.add(group)
            else:
                try:
                    groups.append(_pickle_by_value(batch))
                except UnpicklableValueError as exc:
                    reason = str(exc.__cause__ if exc.__cause__ is not None else exc)
                    unpicklable.update(dict.fromkeys(self._members[group], reason))
                    groups.append(b"")
        return PickledNodes(tuple(groups), self._at, frozenset(lasting), unpicklable)


_groups: WeakKeyDictionary[Links, NodeGroups] = WeakKeyDictionary()
"""The groups of each pipeline."""


def pickled_nodes(plan: Plan) -> PickledNodes:
    """Pickle the nodes of a plan. Nodes whose functions can be imported by name are pickled once for all runs of a pipeline.

    Args:
        plan: the plan.
    """
    links = plan.links
    if links is None:
        return NodeGroups([node.node for node in plan.nodes]).pickled()
    groups = _groups.get(links)
    if groups is None:
        groups = _groups[links] = NodeGroups(links.nodes)
    return groups.pickled()


def _pickle_by_value(batch: tuple[Node, ...]) -> bytes:
    data, buffers = pickle_value(batch)
    return pickle_in_band(batch) if buffers else data
