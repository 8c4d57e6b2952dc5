"""The wirings of a pool's last runs. A worker keeps them, so that they are not sent and unpickled again for a later run.

Runs in the parent. `pool.py` sends a worker the wirings that it does not have. State: the wirings, pickled, and their numbers.
"""

from __future__ import annotations

KEPT_BYTES = 2_000_000
"""How large the kept wirings may be together, pickled, not counting that of the last run: for some 20,000 nodes, which take about
25 MB in a worker."""


class RecentWirings:
    """The wirings of the last runs, by number."""

    def __init__(self) -> None:
        self._numbers: dict[bytes, int] = {}  # the last used one is last
        self._added = 0
        self.last = 0
        """The number of the wiring that was used last; 0 if there is none."""
        self.pickled = b""
        """That wiring."""
        self.kept: frozenset[int] = frozenset()
        """The numbers of the wirings that workers keep."""

    def use(self, pickled: bytes) -> int:
        """Return the number of a wiring, and keep it. Drop those that were not used for the longest time if they are too large.

        Args:
            pickled: the wiring; one with equal bytes keeps its number.
        """
        number = self._numbers.pop(pickled, None)
        if number is None:
            self._added = number = self._added + 1
        if number != self.last:
            if len(self.pickled) > KEPT_BYTES:
                self._numbers.pop(self.pickled, None)  # it would take the place of all others
            size = sum(map(len, self._numbers))
            while size > KEPT_BYTES:
                oldest = next(iter(self._numbers))
                size -= len(oldest)
                del self._numbers[oldest]
            self.last, self.pickled, self.kept = number, pickled, frozenset((*self._numbers.values(), number))
        self._numbers[pickled] = number
        return number
