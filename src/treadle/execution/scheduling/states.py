"""States of nodes and of values, and the legal moves between them.

A node::

    WAITING ──► READY ──► ASSIGNED ──► DONE        the usual course; a child in its parent's job is assigned while it waits
    READY ──► WAITING                              a value it needs was lost with a worker
    ASSIGNED ──► WAITING                           returned unstarted, or its worker was lost before it started
    ASSIGNED ──► DELAYED ──► WAITING               its attempt failed, and its next one is due later
    DONE ──► WAITING                               its own value was lost with a worker, and is needed again
    WAITING ──► DONE                               it is up to date: its outputs from an earlier run are used
    ASSIGNED, READY ──► FAILED                     READY: it could not even be assigned
    WAITING, READY, DELAYED ──► SKIPPED            an ancestor failed, or the run stopped

The value of an in-memory dataset::

    ABSENT ──► SHARED                              made, and in the store: any worker can get it
    ABSENT ──► LOADING ──► SHARED, PINNED          a free input, loaded from the catalog (back to ABSENT if that fails)
    ABSENT ──► RESIDENT ──► TRANSFERRING ──► SHARED    made, and in one worker until another one needs it
    ABSENT, TRANSFERRING ──► PINNED                in one worker, and it cannot leave that worker
    RESIDENT, TRANSFERRING, PINNED ──► ABSENT      lost with its worker
    any ──► RELEASED ──► ABSENT                    no longer needed; needed again, because another value was lost

The value of an up-to-date node stays ABSENT until a node that runs needs it; then it counts as lost, and its node runs.

Used in the parent. Only `scheduler.py` moves nodes, and only `values.py`, a part of the scheduler, moves values. State: the state
of each node and value of a run, and its history.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum
from typing import Final, Generic, TypeAlias, TypeVar

Entry: TypeAlias = "tuple[float, int]"
"""A ready node in a queue: its negated priority (the most urgent sorts first), and its index."""


class NodeState(IntEnum):
    """State of a node. Members are integers, because each move of a node is a table look-up."""

    WAITING = 0
    READY = 1
    ASSIGNED = 2
    DONE = 3
    FAILED = 4
    SKIPPED = 5
    DELAYED = 6


class ValueState(IntEnum):
    """State of the value of an in-memory dataset."""

    ABSENT = 0
    LOADING = 1
    SHARED = 2
    RESIDENT = 3
    TRANSFERRING = 4
    PINNED = 5
    RELEASED = 6


_BITS: Final = 4
"""Enough for the number of a state."""
_MASK: Final = (1 << _BITS) - 1

StateT = TypeVar("StateT", bound=IntEnum)


class Moves(Generic[StateT]):
    """The legal moves between states.

    Args:
        legal: for each state, in the order of their numbers, the states that may follow; the first is where everything starts.
    """

    def __init__(self, legal: Mapping[StateT, frozenset[StateT]]) -> None:
        self.first = next(iter(legal))
        # By the state's number, a bit for each legal next state: the hash of an enum member is computed by a Python function.
        self.bits = tuple([sum(1 << after for after in states) for states in legal.values()])


NODE_MOVES: Final = Moves(
    {
        NodeState.WAITING: frozenset({NodeState.READY, NodeState.ASSIGNED, NodeState.SKIPPED, NodeState.DONE}),
        NodeState.READY: frozenset({NodeState.ASSIGNED, NodeState.SKIPPED, NodeState.WAITING, NodeState.FAILED}),
        NodeState.ASSIGNED: frozenset({NodeState.DONE, NodeState.FAILED, NodeState.WAITING, NodeState.DELAYED}),
        NodeState.DONE: frozenset({NodeState.WAITING}),
        NodeState.FAILED: frozenset(),
        NodeState.SKIPPED: frozenset(),
        NodeState.DELAYED: frozenset({NodeState.WAITING, NodeState.SKIPPED}),
    }
)

VALUE_MOVES: Final = Moves(
    {
        ValueState.ABSENT: frozenset(
            {ValueState.LOADING, ValueState.SHARED, ValueState.RESIDENT, ValueState.PINNED, ValueState.RELEASED}
        ),
        ValueState.LOADING: frozenset({ValueState.SHARED, ValueState.PINNED, ValueState.ABSENT, ValueState.RELEASED}),
        ValueState.SHARED: frozenset({ValueState.RELEASED}),
        ValueState.RESIDENT: frozenset({ValueState.TRANSFERRING, ValueState.SHARED, ValueState.ABSENT, ValueState.RELEASED}),
        ValueState.TRANSFERRING: frozenset({ValueState.SHARED, ValueState.PINNED, ValueState.ABSENT, ValueState.RELEASED}),
        ValueState.PINNED: frozenset({ValueState.SHARED, ValueState.RESIDENT, ValueState.ABSENT, ValueState.RELEASED}),
        ValueState.RELEASED: frozenset({ValueState.ABSENT}),
    }
)


class InvalidTransitionError(RuntimeError):
    """An event is impossible in the current state, which is a bug in Treadle; the message has the history of the object."""


class States(Generic[StateT]):
    """The states of all nodes, or of all values, of a run; every move is checked.

    Args:
        count: number of nodes or values; all start in state 0.
        moves: the legal moves.
        describe: returns a name for an index, for error messages.
    """

    def __init__(self, count: int, moves: Moves[StateT], describe: Callable[[int], str]) -> None:
        self.of: list[StateT] = [moves.first] * count
        self._moves = moves.bits
        self._describe = describe
        # The moves: of one index as an integer, of many as the state and what moved. Tuples for thousands of single moves would
        # make Python's garbage collector run during every run.
        self._history: deque[int | tuple[StateT, Sequence[int]]] = deque(maxlen=10_000)

    def move(self, index: int, state: StateT) -> None:
        """Move a node or value to a state.

        Raises:
            InvalidTransitionError: the move is illegal.
        """
        before = self.of[index]
        if not self._moves[before] >> state & 1:
            raise self._illegal(index, before, state)
        self.of[index] = state
        self._history.append(index << _BITS | state)

    def move_all(self, indices: Sequence[int], state: StateT) -> None:
        """Move nodes or values to a state: many take a fifth of the time of as many calls of `move`.

        Args:
            indices: of the nodes or values, each once. The history keeps the sequence, so the caller must not change it.
            state: the new state.

        Raises:
            InvalidTransitionError: a move is illegal; none is made.
        """
        if len(indices) == 1:
            self.move(indices[0], state)
            return
        of, moves = self.of, self._moves
        for before in {of[index] for index in indices}:
            if not moves[before] >> state & 1:
                raise self._illegal(next(index for index in indices if of[index] is before), before, state)
        for index in indices:
            of[index] = state
        self._history.append((state, indices))

    def _illegal(self, index: int, before: StateT, state: StateT) -> InvalidTransitionError:
        moves = [(type(state)(each & _MASK), (each >> _BITS,)) if isinstance(each, int) else each for each in self._history]
        states = [new.name for new, moved in moves if index in moved]
        return InvalidTransitionError(
            f"{self._describe(index)} cannot go from {before.name} to {state.name}; history: {' -> '.join(states) or 'nothing'}"
        )
