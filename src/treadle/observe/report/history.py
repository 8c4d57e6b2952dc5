"""Compare the durations of a run and of its nodes with those of earlier runs.

A duration is an outlier if it is further from the median of earlier runs than their noise explains: three times the median
deviation (scaled to a standard deviation), and at least a tenth of the median. State: none.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from treadle.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from treadle.observe.store.history_access import PastRun

_FEWEST = 4
"""From how many earlier durations on outliers are found."""

_DEVIATIONS = 3.0
_AS_STANDARD_DEVIATION = 1.4826
_SMALLEST_SHARE = 0.1
_SMALLEST_SECONDS = 0.005


class Usual(NamedTuple):
    """The durations of earlier runs: their median, noise (as a standard deviation), range and number."""

    middle: float
    noise: float
    shortest: float
    longest: float
    runs: int

    def is_outlier(self, seconds: float) -> bool:
        """Return whether a duration differs from the usual one by more than noise."""
        least = max(_DEVIATIONS * self.noise, _SMALLEST_SHARE * self.middle, _SMALLEST_SECONDS)
        return self.runs >= _FEWEST and abs(seconds - self.middle) > least


@dataclass(frozen=True, slots=True)
class NodeHistory:
    """A node over several runs.

    Attributes:
        node: its name.
        seconds: its duration in each earlier run, the oldest first; None where it did not run.
        now: its duration in this run; None if it did not succeed.
        usual: of the earlier runs; None if it never ran before.
    """

    node: str
    seconds: tuple[float | None, ...]
    now: float | None
    usual: Usual | None

    @property
    def is_outlier(self) -> bool:
        """Whether this run's duration is unusual."""
        return self.usual is not None and self.now is not None and self.usual.is_outlier(self.now)


def usual_of(seconds: Sequence[float]) -> Usual | None:
    """Return what is usual; None without durations."""
    if not seconds:
        return None
    middle = median(seconds)
    noise = _AS_STANDARD_DEVIATION * median(abs(each - middle) for each in seconds)
    return Usual(middle, noise, min(seconds), max(seconds), len(seconds))


def node_histories(now: Mapping[str, float], past: Sequence[PastRun]) -> list[NodeHistory]:
    """Return the history of each node of a run.

    Args:
        now: seconds of each node that succeeded, by name.
        past: earlier runs, the oldest first.
    """
    found = []
    for name, seconds in now.items():
        earlier = tuple(run.nodes.get(name) for run in past)
        found.append(NodeHistory(name, earlier, seconds, usual_of([each for each in earlier if each is not None])))
    return found
