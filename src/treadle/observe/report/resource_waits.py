"""How long attempts waited because other nodes used too much of a limited resource.

State: none. Neighbour: `timeline.py` asks for the waits of all attempts of a run at once.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from typing import TYPE_CHECKING, TypeAlias

from treadle.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Amounts: TypeAlias = tuple[tuple[str, int], ...]


class ResourceUse(NamedTuple):
    """The resources that an attempt used, from when it was sent to its worker to its end."""

    amounts: Amounts
    start: float
    end: float


def blocked_seconds(
    limits: Mapping[str, int], uses: Sequence[ResourceUse], waits: Mapping[int, tuple[Amounts, float, float]]
) -> dict[int, float]:
    """Return how long a resource was too scarce for each waiting attempt.

    Args:
        limits: the total of each resource.
        uses: what was used, and when.
        waits: what each attempt needs, and from when to when it waited, by any key.

    Returns:
        Seconds by key. For an attempt that needs several resources, those of the one that was scarce for longest.
    """
    levels = {name: _levels(name, uses) for name in limits}
    scarce: dict[tuple[str, int], _Scarcity] = {}
    found = {}
    for key, (amounts, start, end) in waits.items():
        seconds = 0.0
        for name, amount in amounts:
            if name in levels and end > start:
                of_need = scarce.get((name, amount))
                if of_need is None:
                    of_need = scarce[name, amount] = _Scarcity(levels[name], limits[name] - amount)
                seconds = max(seconds, of_need.until(end) - of_need.until(start))
        found[key] = seconds
    return found


def _levels(name: str, uses: Sequence[ResourceUse]) -> list[tuple[float, int]]:
    """Return from which time on how much of a resource is used."""
    changes: defaultdict[float, int] = defaultdict(int)
    for use in uses:
        amount = dict(use.amounts).get(name, 0)
        if amount and use.end > use.start:
            changes[use.start] += amount
            changes[use.end] -= amount
    used, levels = 0, []
    for at in sorted(changes):
        used += changes[at]
        levels.append((at, used))
    return levels


class _Scarcity:
    """When more than a given amount of a resource is used.

    Args:
        levels: from which time on how much is used.
        most: the amount up to which the resource is not scarce.
    """

    def __init__(self, levels: Sequence[tuple[float, int]], most: int) -> None:
        self._times = [at for at, _ in levels]
        self._is_scarce = [used > most for _, used in levels]
        self._before: list[float] = []  # scarce seconds before each time
        total = 0.0
        for index, at in enumerate(self._times):
            if index and self._is_scarce[index - 1]:
                total += at - self._times[index - 1]
            self._before.append(total)

    def until(self, at: float) -> float:
        """Return how many seconds it was scarce before a time."""
        index = bisect_right(self._times, at) - 1
        if index < 0:
            return 0.0
        return self._before[index] + (at - self._times[index] if self._is_scarce[index] else 0.0)
