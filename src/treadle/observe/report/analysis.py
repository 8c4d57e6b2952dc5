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
from treadle.observe.report.folding import Folded, fold
from treadle.observe.report.history import NodeHistory, node_histories
from treadle.observe.report.summary import Summary, summarize
from treadle.observe.report.timeline import Timeline, empty_timeline, timeline_of
from treadle.observe.report.what_if import Estimates, estimate_run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from treadle.observe.store import RunRecord, SessionRecord
    from treadle.observe.store.history_access import PastRun

_COUNTS = (2, 4, 8, 16, 32, 3, 6, 12, 24, *range(1, 33))
"""Numbers of workers, in the order in which they are worth a simulation."""

_SIMULATED_NODES = 8000
"""How many nodes are simulated for a report, in all simulations together: a simulated node takes some 50 µs."""


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
        folded: the timeline with as many nodes as a page shows.
    """

    session: SessionRecord
    run: RunRecord | None
    timeline: Timeline
    path: CriticalPath
    summary: Summary
    estimates: Estimates | None
    folded: Folded


def analyse(session: SessionRecord) -> RunAnalysis:
    """Analyse the last run of a session.

    Args:
        session: the session.
    """
    run = session.runs[-1] if session.runs else None
    timeline = timeline_of(session, run) if run is not None else empty_timeline(session)
    path = critical_path(timeline)
    estimates = estimate_run(run, _counts(timeline)) if run is not None and run.outcome is Outcome.SUCCEEDED else None
    summary = summarize(session, run, timeline, path, estimates)
    return RunAnalysis(session, run, timeline, path, summary, estimates, fold(timeline, path.nodes))


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
    now = timeline.worker_count
    wanted = [count for count in dict.fromkeys((now, 2 * now, *_COUNTS)) if count > 1]
    return (1, *sorted(wanted[: _SIMULATED_NODES // max(1, len(timeline.graph.nodes))]))  # one worker needs no simulation


def _seconds(timeline: Timeline) -> dict[str, float]:
    nodes = timeline.graph.nodes
    return {nodes[each.node].name: each.seconds for each in timeline.attempts if each.outcome is Outcome.SUCCEEDED}
