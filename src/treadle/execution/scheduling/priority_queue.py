"""A priority queue of ready nodes that is fast if thousands of nodes become ready together.

Removing an entry from a heap of ten thousand takes about thirty comparisons. Therefore entries that are added to an empty queue
are sorted, which takes a tenth of that time for each, and only entries that are added later go into a heap.

Used in the parent by `queues.py`. State: the entries.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from treadle.execution.scheduling.states import Entry


class PriorityQueue:
    """Entries, of which the smallest is the head."""

    __slots__ = ("_added", "_sorted")

    def __init__(self) -> None:
        self._sorted: list[Entry] = []  # the smallest is last
        self._added: list[Entry] = []  # a heap

    def __bool__(self) -> bool:
        return bool(self._sorted or self._added)

    def __len__(self) -> int:
        return len(self._sorted) + len(self._added)

    def push(self, entry: Entry) -> None:
        """Add an entry."""
        heappush(self._added, entry)

    def push_all(self, entries: Iterable[Entry]) -> None:
        """Add entries."""
        if self:
            for entry in entries:
                heappush(self._added, entry)
        else:
            self._sorted = sorted(entries, reverse=True)

    def take(self, count: int) -> list[Entry]:
        """Remove and return the smallest entries, in their order.

        Args:
            count: the largest number of them.
        """
        if self._added:
            return [self.pop() for _ in range(min(count, len(self)))]
        taken = self._sorted[: -count - 1 : -1]
        del self._sorted[len(self._sorted) - len(taken) :]
        return taken

    def put_back(self, entries: Sequence[Entry]) -> None:
        """Put back the last of the entries that `take` returned; no other entry may have been added since."""
        self._sorted += reversed(entries)

    def head(self) -> Entry | None:
        """Return the smallest entry; None if there is none."""
        ordered, added = self._sorted, self._added
        if added and (not ordered or added[0] < ordered[-1]):
            return added[0]
        return ordered[-1] if ordered else None

    def pop(self) -> Entry:
        """Remove and return the smallest entry; the queue must not be empty."""
        ordered, added = self._sorted, self._added
        if not added:
            return ordered.pop()
        if not ordered and len(added) > _FEW:
            added.sort(reverse=True)
            self._sorted, self._added = added, []
            return added.pop()
        return heappop(added) if not ordered or added[0] < ordered[-1] else ordered.pop()


_FEW = 32
"""A heap with more entries than this is sorted when the sorted entries are used up."""
