"""Nodes as other processes get them: pickled in groups that share a function.

State: the pickled nodes that `NodeGroups` keeps. Runs in the parent. Neighbours: `bundle.py` puts them into a spec.
"""

from __future__ import annotations

import pickle
from types import FunctionType
from typing import TYPE_CHECKING, NamedTuple

from treadle.errors import NodeError
from treadle.execution.attempt.failure import record_failure
from treadle.execution.protocol.handles import CannotLeaveError
from treadle.execution.values.importable import is_found_by_name
from treadle.execution.values.in_band import pickle_in_band
from treadle.execution.values.pickling import pickle_value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from treadle.pipeline import Node


class PickledNodes(NamedTuple):
    """Nodes in groups that share a function."""

    groups: tuple[bytes, ...]
    at: tuple[tuple[int, int], ...]
    """For each node, its group and its position there."""
    lasting: frozenset[int]
    """Groups whose function is found by its name: the same bytes are the same nodes, in any run."""


class NodeGroups:
    """Nodes in groups that share a function, each unpickled in a worker when its first node runs there.

    A group whose function is found by its name is pickled once, however often it is asked for; others are pickled each time,
    because what a function holds on to may have changed.

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

    def pickled(self, stay: set[int] | None = None) -> PickledNodes:
        """Pickle the nodes.

        Args:
            stay: where given, takes the indices of nodes that do not pickle, which are an error otherwise.

        Returns:
            The pickled groups, and where each node is in them.

        Raises:
            NodeError: a node's function does not pickle.
        """
        groups: list[bytes] = []
        lasting = set()
        for group, batch in enumerate(self._batches):
            if isinstance(batch[0].func, FunctionType) and is_found_by_name(batch[0].func):
                if group not in self._pickled:
                    self._pickled[group] = pickle.dumps(batch, protocol=5)
                groups.append(self._pickled[group])
                lasting.add(group)
            else:
                try:
                    groups.append(_pickle_by_value(batch))
                except NodeError:
                    if stay is None:
                        raise
                    stay.update(self._members[group])
                    groups.append(b"")
        return PickledNodes(tuple(groups), self._at, frozenset(lasting))


def _pickle_by_value(batch: tuple[Node, ...]) -> bytes:
    try:
        data, buffers = pickle_value(batch)
        return pickle_in_band(batch) if buffers else data
    except CannotLeaveError as exc:
        cause = exc.__cause__ if exc.__cause__ is not None else exc
        msg = (
            f"The function of node '{batch[0].name}' cannot be sent to a worker process: {cause}. Probably it refers to "
            "an object like a lock, an open file or a connection; create that inside the function, or use a runner "
            "without worker processes (sequential or thread)."
        )
        raise NodeError(msg, node=batch[0].name, failure=record_failure(cause, phase="setup")) from cause
