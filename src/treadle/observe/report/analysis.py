"""Analyse the last run of a session: everything that its report says.

State: none. Neighbours: `timeline.py`, `critical_path.py`, `usage.py`, `what_if.py`, `comparison.py` and `history.py` have the
parts, `page.py` shows them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from treadle.collector import collection_paused
from treadle.events import Outcome
from treadle.observe.report.comparison import Comparison, compare
from treadle.observe.report.critical_path import CriticalPath, critical_path
from treadle.observe.report.history import NodeHistory, node_histories
from treadle.observe.report.summary import Summary, summarize
from treadle.observe.report.timeline import Timeline, empty_timeline, timeline_of
from treadle.observe.report.what_if import Estimates, estimate_run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from treadle.observe.store import RunRecord, SessionRecord
    from treadle.observe.store.history_access import PastRun

_ALL_COUNTS = tuple(range(1, 33))
_SOME_COUNTS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
_MOST_SIMULATED = 20_000
"""Runs with more nodes are not simulated."""


@dataclass(frozen=True, slots=True)
class RunAnalysis:
    """What the record of a run says about it.

    Attributes:
        session: the session.
        run: its last run; None if nothing ran.
        timeline: every attempt with its waits.
        path: the critical path.
        summary: numbers and sentences.
        estimates: durations with other numbers of workers; None if they are unknown.
    """

    session: SessionRecord
    run: RunRecord | None
    timeline: Timeline
    path: CriticalPath
    summary: Summary
    estimates: Estimates | None


def analyse(session: SessionRecord) -> RunAnalysis:
    """Analyse the last run of a session.

    Args:
        session: the session.
    """
    run = session.runs[-1] if session.runs else None
    timeline = timeline_of(session, run) if run is not None else empty_timeline(session)
    path = critical_path(timeline)
    estimates = estimate_run(run, _counts(timeline)) if run is not None and run.outcome is Outcome.SUCCEEDED else None
    return RunAnalysis(session, run, timeline, path, summarize(session, run, timeline, path, estimates), estimates)


@dataclass(frozen=True, slots=True)
class ReportContent:
    """What a report says.

    Attributes:
        analysis: the run.
        past: earlier runs of the project, the oldest first.
        histories: each node of the run in earlier runs.
        before: the earlier run that it is compared with, if any.
        comparison: what differs from that one.
    """

    analysis: RunAnalysis
    past: tuple[PastRun, ...] = ()
    histories: tuple[NodeHistory, ...] = ()
    before: RunAnalysis | None = None
    comparison: Comparison | None = None


@collection_paused()
def make_content(session: SessionRecord, before: SessionRecord | None, past: Sequence[PastRun]) -> ReportContent:
    """Collect what the report of a session says.

    Args:
        session: the session.
        before: an earlier session to compare with, if any.
        past: earlier runs of the project, the oldest first.
    """
    analysis = analyse(session)
    histories = tuple(node_histories(_seconds(analysis.timeline), past))
    if before is None:
        return ReportContent(analysis, tuple(past), histories)
    usual = {each.node: each.usual for each in histories if each.usual is not None}
    return ReportContent(analysis, tuple(past), histories, analyse(before), compare(before, session, usual))


def _counts(timeline: Timeline) -> tuple[int, ...]:
    """Return the numbers of workers to simulate: all up to 32, or fewer for a large run, because each one is a simulated run."""
    nodes, now = len(timeline.graph.nodes), timeline.worker_count
    if nodes <= 1000:
        counts = _ALL_COUNTS
    elif nodes <= 5000:
        counts = _SOME_COUNTS
    else:  # one worker needs no simulation
        return tuple(sorted({1, now})) if nodes <= _MOST_SIMULATED else ()
    return tuple(sorted({*counts, now, 2 * now}))


def _seconds(timeline: Timeline) -> dict[str, float]:
    nodes = timeline.graph.nodes
    return {nodes[each.node].name: each.seconds for each in timeline.attempts if each.outcome is Outcome.SUCCEEDED}
