"""What is scarce in a run: how much of each resource is free, and the ready nodes that wait for some.

The rule: nodes are looked at from the most urgent on, and one that cannot start yet has its needs set aside all the same, so
that what is less urgent gets only what is left. So a node that needs much is never overtaken by those behind it, however many
they are, and the same facts give the same decisions. Nodes that need nothing scarce are no part of this.

State: what is free, who holds what, the queues. Neighbours: `scheduler.py` asks who may start, `queues.py` puts in.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush, heapreplace
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from treadle.execution.scheduling.states import Entry
    from treadle.planning import Plan

Needs: TypeAlias = "tuple[tuple[str, int], ...]"


class Candidate(NamedTuple):
    """A node that could start now, with all those before it."""

    entry: Entry
    required: int | None
    """The worker that it must run in, None if any will do."""


class Resources:
    """What is scarce, and who waits for it.

    Args:
        plan: has the needs of its nodes.
        limits: how much of each resource there is; a resource without a limit is not scarce.
    """

    def __init__(self, plan: Plan, limits: Mapping[str, int]) -> None:
        self._needs: dict[int, Needs] = {}
        for node, policy in enumerate(plan.policies):
            needs = policy.resources or () if policy is not None else ()
            scarce = tuple((name, amount) for name, amount in needs if amount and name in limits)
            if scarce:
                self._needs[node] = scarce
        self.free = dict(limits)
        self._held: set[int] = set()
        # One queue for all that need the same and must run at the same place: where its head cannot start, none of it can.
        self._queues: dict[tuple[int | None, Needs], list[Entry]] = {}

    @property
    def nodes(self) -> frozenset[int]:
        """The nodes that need something scarce."""
        return frozenset(self._needs)

    @property
    def held(self) -> frozenset[int]:
        """The nodes that hold what they need."""
        return frozenset(self._held)

    @property
    def are_awaited(self) -> bool:
        """True if nodes wait for something scarce."""
        return bool(self._queues)

    def are_needed_by(self, node: int) -> bool:
        """Say whether a node needs something scarce."""
        return node in self._needs

    def put(self, entry: Entry, required: int | None) -> None:
        """A node is ready."""
        heappush(self._queues.setdefault((required, self._needs[entry[1]]), []), entry)

    def clear(self) -> None:
        """Forget who waits."""
        self._queues.clear()

    def take(self, node: int) -> None:
        """A node starts: it holds what it needs."""
        for name, amount in self._needs[node]:
            self.free[name] -= amount
        self._held.add(node)

    def give_back(self, node: int) -> None:
        """A node is through, or did not begin: what it held is free."""
        if node in self._held:
            self._held.remove(node)
            for name, amount in self._needs[node]:
                self.free[name] += amount

    def candidates(self, most: int, is_current: Callable[[int, int | None], bool]) -> list[Candidate]:
        """Take out nodes that could all start now, the most urgent first; those that do not start are put back.

        Args:
            most: how many are wanted that any worker may run.
            is_current: says of a node and the worker that it required when it was queued whether both still hold.
        """
        heads = []
        for order, ((required, needs), queue) in enumerate(list(self._queues.items())):
            _drop_stale_heads(queue, required, is_current)
            if queue:
                heads.append((queue[0], order, required, needs))
            else:
                del self._queues[required, needs]
        heapify(heads)
        available = dict(self.free)
        found: list[Candidate] = []
        for_any = 0
        while heads and most:
            entry, order, required, needs = heads[0]
            has_room = required is not None or for_any < most  # those behind it may require a worker that has
            fits = has_room and all(amount <= available[name] for name, amount in needs)
            for name, amount in needs:
                available[name] -= amount
            queue = self._queues[required, needs]
            if fits:
                found.append(Candidate(entry, required))
                while queue and queue[0] == entry:  # put in twice, where it was pinned meanwhile
                    heappop(queue)
                _drop_stale_heads(queue, required, is_current)
            if fits and required is None and queue:
                heapreplace(heads, (queue[0], order, required, needs))
            else:
                heappop(heads)
            for_any += fits and required is None
        return found


def _drop_stale_heads(queue: list[Entry], required: int | None, is_current: Callable[[int, int | None], bool]) -> None:
    """Drop stale heads of a queue."""
    while queue and not is_current(queue[0][1], required):
        heappop(queue)
