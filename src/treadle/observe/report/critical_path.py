"""The critical path of a run as it happened: the chain of nodes and waits that ends with the last node.

It is found backwards from the attempt that finished last; in a run that was cut off, from the one that had run longest. Each
attempt waited for its previous attempt, or for the parent that finished last. The parts of the path cover the whole run without
gaps, so they sum to its wall time. State: none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.events import Outcome
from treadle.named_tuple import NamedTuple
from treadle.observe.report.timeline import CAUSES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from treadle.observe.report.timeline import Attempt, Timeline

WORK, END = "work", "end"


class PathStep(NamedTuple):
    """A node on the path.

    Attributes:
        attempt: the attempt that ran.
        waits: seconds by cause that it waited after the step before it had ended.
    """

    attempt: Attempt
    waits: tuple[tuple[str, float], ...]


class CriticalPath(NamedTuple):
    """The path.

    Attributes:
        steps: from the first node to the last one.
        seconds: seconds of the path by what they were spent on: `"work"`, a cause of waits, or `"end"`, the time between the last
            node and the end of the run.
    """

    steps: tuple[PathStep, ...]
    seconds: dict[str, float]

    @property
    def nodes(self) -> frozenset[int]:
        """Indices of the nodes on it."""
        return frozenset(step.attempt.node for step in self.steps)

    @property
    def work(self) -> float:
        """Seconds that its nodes ran."""
        return self.seconds.get(WORK, 0.0)


def critical_path(timeline: Timeline) -> CriticalPath:
    """Find the critical path of a run.

    Args:
        timeline: the run.
    """
    by_node: dict[tuple[int, int], Attempt] = {(each.node, each.number): each for each in timeline.attempts}
    last = timeline.last
    steps: list[PathStep] = []
    current = _end_of(timeline.attempts)
    seen: set[tuple[int, int]] = set()
    while current is not None and (current.node, current.number) not in seen:
        seen.add((current.node, current.number))
        previous = _before(current, by_node, last)
        waits = {cause: getattr(current.waits, cause) for cause in CAUSES}
        if previous is not None and previous.node != current.node:  # the path takes that time, not a wait
            waits["inputs"] = max(0.0, waits["inputs"] - (min(previous.finished, current.started) - current.since))
        steps.append(PathStep(current, tuple((cause, took) for cause, took in waits.items() if took > 0)))
        current = previous
    steps.reverse()
    seconds = dict.fromkeys((WORK, *CAUSES, END), 0.0)
    for step in steps:
        seconds[WORK] += step.attempt.seconds
        for cause, took in step.waits:
            seconds[cause] += took
    seconds[END] = max(0.0, timeline.wall - (steps[-1].attempt.finished if steps else 0.0))
    return CriticalPath(tuple(steps), {name: took for name, took in seconds.items() if took > 0})


def _end_of(attempts: Sequence[Attempt]) -> Attempt | None:
    """Return the attempt with which the path ends: the last to finish; of those that the end of the run cut off, the longest."""
    end = max((each.finished for each in attempts), default=0.0)
    cut_off = [each for each in attempts if each.finished == end and each.outcome in (None, Outcome.INTERRUPTED)]
    if cut_off:
        return min(cut_off, key=lambda each: each.started)
    return max(attempts, key=lambda each: (each.finished, each.started), default=None)


def _before(attempt: Attempt, by_node: dict[tuple[int, int], Attempt], last: dict[int, Attempt]) -> Attempt | None:
    """Return the attempt whose end this one waited for, if any."""
    if attempt.number > 1 and (earlier := by_node.get((attempt.node, attempt.number - 1))) is not None:
        return earlier
    return last.get(attempt.awaited) if attempt.awaited is not None else None
