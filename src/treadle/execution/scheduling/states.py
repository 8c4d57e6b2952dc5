"""The words of the scheduler: states of a node, the legal moves between them, what it hands out.

States of a node, and the legal moves::

    WAITING ──► READY ──► ASSIGNED ──► DONE        the usual way; a child that goes along is assigned while it waits
    READY ──► WAITING                              a value it needs was lost with a worker
    ASSIGNED ──► WAITING                           given back, or its worker was lost before it began
    ASSIGNED ──► DELAYED ──► WAITING               its attempt failed and it has another, which is due later
    DONE ──► WAITING                               its own value was lost with a worker, and is needed again
    ASSIGNED, READY ──► FAILED                     READY: it could not even be handed out
    WAITING, READY, DELAYED ──► SKIPPED            something before it failed, or the run stopped

State: where each node of a run stands, and how it came there. Neighbours: `scheduler.py` alone moves nodes.
"""

from __future__ import annotations

from collections import deque
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from treadle.planning import Plan


Entry: TypeAlias = "tuple[float, int]"
"""A ready node in a queue: its negated priority (the most urgent sorts first), and its index."""


class NodeState(IntEnum):
    """Where a node stands; integers, because every move of every node looks one up."""

    WAITING = 0
    READY = 1
    ASSIGNED = 2
    DONE = 3
    FAILED = 4
    SKIPPED = 5
    DELAYED = 6


_MOVES: tuple[frozenset[int], ...] = (
    frozenset({NodeState.READY, NodeState.ASSIGNED, NodeState.SKIPPED}),  # from WAITING
    frozenset({NodeState.ASSIGNED, NodeState.SKIPPED, NodeState.WAITING, NodeState.FAILED}),  # from READY
    frozenset({NodeState.DONE, NodeState.FAILED, NodeState.WAITING, NodeState.DELAYED}),  # from ASSIGNED
    frozenset({NodeState.WAITING}),  # from DONE
    frozenset(),  # from FAILED
    frozenset(),  # from SKIPPED
    frozenset({NodeState.WAITING, NodeState.SKIPPED}),  # from DELAYED
)


class InvalidTransitionError(RuntimeError):
    """A fact arrived that cannot be true: a bug of the engine; the text tells how the node came there."""


class Assignment(NamedTuple):
    """A job for a worker: nodes to run in order, what travels with them, what stays between them."""

    worker: int
    nodes: tuple[int, ...]
    inputs: tuple[int, ...]
    """In-memory datasets that the job takes from outside."""
    last: tuple[tuple[int, int], ...]
    """(dataset, node) where the node is the dataset's last taker: after it nobody needs the value."""
    local: tuple[int, ...]
    """Datasets that are made and used up within the job."""


class NodeStates:
    """Where each node stands; every move is checked, and an illegal one tells how the node came there."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.of = [NodeState.WAITING] * len(plan.nodes)
        self._story: deque[tuple[int, NodeState, NodeState]] = deque(maxlen=10_000)

    def move(self, node: int, state: NodeState) -> None:
        """Move a node."""
        before = self.of[node]
        if state not in _MOVES[before]:
            steps = [f"{old.name} -> {new.name}" for index, old, new in self._story if index == node]
            name = self._plan.nodes[node].name
            msg = f"node '{name}' cannot go from {before.name} to {state.name}; so far: {', '.join(steps) or 'nothing'}"
            raise InvalidTransitionError(msg)
        self.of[node] = state
        self._story.append((node, before, state))
