"""The limited resources of a run: how much of each is free, and the ready nodes that wait for resources.

Nodes are considered in the order of their priority. If a node cannot start yet, its amounts are reserved, and less urgent nodes
get only the rest. So less urgent nodes can never delay a node that needs much, and the same events give the same decisions. Nodes
that need no limited resource are not handled here.

Runs in the parent, as a part of the scheduler. `queues.py` adds nodes, `scheduler.py` starts them. State: free amounts, the nodes
that hold resources, the queues.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush, heapreplace
from typing import TYPE_CHECKING, TypeAlias

from treadle.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from treadle.execution.scheduling.states import Entry
    from treadle.planning import Plan

Needs: TypeAlias = "tuple[tuple[str, int], ...]"


class Candidate(NamedTuple):
    """A node that could start now, together with all candidates before it."""

    entry: Entry
    required: int | None
    """The worker that it must run on; None if it can run on any."""


class Resources:
    """Limited resources, and the nodes that wait for them.

    Args:
        plan: the nodes, with their needs.
        limits: the available amount of each resource; a resource without a limit is ignored.
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
        # One queue for all nodes with the same needs and required worker: if its head cannot start, none of them can.
        self._queues: dict[tuple[int | None, Needs], list[Entry]] = {}

    @property
    def nodes(self) -> frozenset[int]:
        """The nodes that need a limited resource."""
        return frozenset(self._needs)

    @property
    def held(self) -> frozenset[int]:
        """The nodes that hold resources."""
        return frozenset(self._held)

    @property
    def are_awaited(self) -> bool:
        """True if nodes wait for limited resources."""
        return bool(self._queues)

    def are_needed_by(self, node: int) -> bool:
        """Return whether a node needs a limited resource."""
        return node in self._needs

    def take_from(self, free: dict[str, int], node: int) -> bool:
        """Subtract a node's needs from amounts that are free; return False, and subtract nothing, if they do not suffice."""
        needs = self._needs.get(node, ())
        if any(amount > free[name] for name, amount in needs):
            return False
        for name, amount in needs:
            free[name] -= amount
        return True

    def put(self, entry: Entry, required: int | None) -> None:
        """Queue a ready node."""
        heappush(self._queues.setdefault((required, self._needs[entry[1]]), []), entry)

    def clear(self) -> None:
        """Remove all waiting nodes."""
        self._queues.clear()

    def acquire(self, node: int) -> None:
        """Allocate the resources of a node that starts."""
        for name, amount in self._needs[node]:
            self.free[name] -= amount
        self._held.add(node)

    def free_for(self, node: int) -> None:
        """Free the resources of a node that ended, or did not start; does nothing if it holds none."""
        if node in self._held:
            self._held.remove(node)
            for name, amount in self._needs[node]:
                self.free[name] += amount

    def candidates(self, most: int, is_current: Callable[[int, int | None], bool]) -> list[Candidate]:
        """Remove and return nodes that could all start now, the most urgent first; the caller adds those again that do not start.

        Args:
            most: maximum number of nodes that any worker may run.
            is_current: returns whether a node is still ready and requires the same worker as when it was queued.
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
            has_worker = required is not None or for_any < most  # later nodes may require a worker that is free
            fits = has_worker and all(amount <= available[name] for name, amount in needs)
            for name, amount in needs:
                available[name] -= amount
            queue = self._queues[required, needs]
            if fits:
                found.append(Candidate(entry, required))
                while queue and queue[0] == entry:  # the node was queued twice, because one of its inputs was pinned meanwhile
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
