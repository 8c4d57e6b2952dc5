"""The sections of the page as text and tables, which are readable without JavaScript. State: none.

Neighbours: `page.py` puts them into the template, which escapes every text.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from treadle.events import Outcome
from treadle.observe.report.amounts import format_count, format_share, format_size, format_time
from treadle.observe.report.critical_path import END, WORK
from treadle.observe.report.history_section import history_section, usual_time
from treadle.observe.report.node_logs import failure_logs
from treadle.observe.report.timeline import CAUSES, statuses
from treadle.secrets import mask_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from treadle.observe.report.analysis import ReportContent, RunAnalysis
    from treadle.observe.report.timeline import Attempt, Timeline

_STATIC_ROWS = 100
_PATH_ROWS = 60
_FAILURES = 20
_COMPARED = 300

LABELS = {
    WORK: "running nodes",
    "inputs": "waiting for inputs",
    "startup": "starting workers",
    "worker": "waiting for a worker",
    "resource": "waiting for a resource",
    "delay": "delay before a retry",
    "transfer": "transferring values",
    END: "after the last node",
}
"""What the time of a run is spent on, for readers."""

COLUMNS = {
    "inputs": "Inputs",
    "startup": "Start-up",
    "worker": "Worker",
    "resource": "Resource",
    "delay": "Retry delay",
    "transfer": "Transfer",
}

_KINDS = {"ran": "ran this time", "succeeded": "succeeded this time", "reused": "up to date", "unfinished": "did not finish"}

_STATUSES = {Outcome.REUSED.value: "up to date"}
"""Statuses that have other words in a report."""


def static_sections(report: ReportContent) -> dict[str, Any]:
    """Return what the page shows without JavaScript, as the values of the template.

    Args:
        report: the report.
    """
    analysis = report.analysis
    timeline, path = analysis.timeline, analysis.path
    wall = timeline.wall or 1.0
    steps = path.steps if len(path.steps) <= _PATH_ROWS else _longest_steps(analysis)
    ended = {node.node: node for node in (analysis.run.nodes if analysis.run is not None else ())}  # the last attempt at each
    waiting = {timeline.graph.nodes[index].name for index in timeline.waiting}
    final = [node for node in ended.values() if node.outcome is Outcome.FAILED and node.node not in waiting]
    error = analysis.session.error
    logs = failure_logs(analysis.run)
    shown = [
        {
            "title": node.node,
            "type": node.error.type_name,
            "message": _first_line(node.error.message),
            "traceback": node.error.traceback,
            "log": logs.get(node.node, ""),
        }
        for node in final[:_FAILURES]
        if node.error is not None
    ]
    if error is not None and not shown and analysis.summary.outcome != Outcome.INTERRUPTED.value:
        shown = [
            {
                "title": "The session",
                "type": error.type_name,
                "message": _first_line(error.message),
                "traceback": error.traceback,
                "log": "",
            }
        ]
    attempts, status = _by_node(timeline), statuses(timeline)
    rows = sorted(range(len(timeline.graph.nodes)), key=lambda index: -sum(each.seconds for each in attempts.get(index, ())))
    return {
        "notes": _notes(report),
        "tiles": _tiles(analysis),
        "failures": shown,
        "more_failures": max(0, len(final) - _FAILURES),
        "parts": [
            {"name": name, "label": LABELS[name], "time": format_time(took), "share": format_share(took / wall)}
            for name, took in path.seconds.items()
            if took / wall >= 0.0005
        ],
        "path": [_path_row(step.attempt, dict(step.waits), timeline) for step in steps],
        "more_path": len(path.steps) - len(steps),
        "rows": [_row(index, status[index], timeline, attempts.get(index, ())) for index in rows[:_STATIC_ROWS]],
        "more_rows": f"{len(rows):,}" if len(rows) > _STATIC_ROWS else "",
        "before": report.before.session if report.before is not None else None,
        "comparison": _comparison(report),
        "estimates": _estimates(analysis),
        "why_no_estimates": _why_no_estimates(analysis),
        "history": history_section(report),
        "facts": _facts(analysis),
    }


def _notes(report: ReportContent) -> list[str]:
    session, run = report.analysis.session, report.analysis.run
    notes = []
    outcome = report.analysis.summary.outcome
    if outcome == "running":
        notes.append(
            "The session was still running when this report was written. The end of the timeline is the last sign of life."
        )
    if outcome == "lost":
        notes.append(
            "The process of this session ended without completing its record: it was killed, or its machine went down. The "
            "report shows what was recorded until then."
        )
    if outcome == "interrupted":
        why = f": {_first_line(session.error.message)}" if session.error is not None and session.error.message else ""
        notes.append(f"The run was interrupted before it was complete{why.rstrip('.')}.")
    if run is None:
        notes.append("Nothing ran in this session.")
    elif not report.analysis.timeline.graph.nodes:
        has_succeeded = run.outcome is Outcome.SUCCEEDED
        why = "had no nodes, because no output was missing, for example" if has_succeeded else "ended before its nodes were known"
        notes.append(f"The run {why}, so nothing ran.")
    elif report.analysis.summary.counts.keys() == {Outcome.REUSED.value}:
        notes.append("Every node was up to date, so none ran.")
    elif run.graph is None:
        notes.append("The graph of this run is not recorded, so waits for inputs and the critical path are not known.")
    if len(session.runs) > 1:
        notes.append(f"This session has {len(session.runs)} runs. The report shows the last one.")
    if report.analysis.folded.sentence is not None:
        notes.append(report.analysis.folded.sentence)
    return notes


def _tiles(analysis: RunAnalysis) -> list[tuple[str, str, str]]:
    summary, run = analysis.summary, analysis.run
    if run is None or not analysis.timeline.graph.nodes:
        return []
    counts = ", ".join(f"{count:,} {_STATUSES.get(name, name)}" for name, count in summary.counts.items())
    runner = run.runner + (f", {run.start_method}" if run.start_method else "")
    tiles = [
        ("Wall time", format_time(summary.wall), f"work: {format_time(summary.work)}"),
        ("Nodes", f"{len(analysis.timeline.graph.nodes):,}", counts),
        ("Speed-up", f"{summary.speedup:.2f} ×", "work divided by wall time"),
        ("Efficiency", format_share(summary.efficiency), f"of {format_count(summary.workers, 'worker')} ({runner})"),
    ]
    if summary.peak_memory is not None:
        of = f"of {format_size(summary.memory_limit)}" if summary.memory_limit else "of an unknown limit"
        tiles.append(("Peak memory", format_size(summary.peak_memory), f"{of}, all processes"))
    tiles.append(("Moved", format_size(summary.moved), "values used by another worker"))
    if summary.retries:
        tiles.append(("Retries", f"{summary.retries:,}", "attempts that were repeated"))
    return tiles


def _path_row(attempt: Attempt, waits: Mapping[str, float], timeline: Timeline) -> dict[str, str]:
    waited = ", ".join(f"{format_time(took)} {LABELS[cause]}" for cause, took in waits.items() if took >= 0.0005)
    name = timeline.graph.nodes[attempt.node].name
    return {
        "name": name if attempt.number == 1 else f"{name} (attempt {attempt.number})",
        "started": f"+{format_time(attempt.started)}",
        "took": format_time(attempt.seconds),
        "share": format_share(attempt.seconds / timeline.wall) if timeline.wall else "",
        "waited": waited or "–",
        "worker": attempt.worker,
    }


def _longest_steps(analysis: RunAnalysis) -> list[Any]:
    longest = sorted(analysis.path.steps, key=lambda step: -step.attempt.seconds)[:_PATH_ROWS]
    return sorted(longest, key=lambda step: step.attempt.started)


def _by_node(timeline: Timeline) -> Mapping[int, Sequence[Attempt]]:
    found: defaultdict[int, list[Attempt]] = defaultdict(list)
    for each in timeline.attempts:
        found[each.node].append(each)
    return found


def _row(index: int, status: str, timeline: Timeline, attempts: Sequence[Attempt]) -> dict[str, Any]:
    """Return the row of a node: the waits and the time of all its attempts together, as in the table that needs JavaScript."""
    return {
        "name": timeline.graph.nodes[index].name,
        "outcome": _STATUSES.get(status, status),
        "waits": [_short(sum(getattr(each.waits, cause) for each in attempts)) if attempts else "" for cause in CAUSES],
        "took": format_time(sum(each.seconds for each in attempts)) if attempts else "",
    }


def _short(seconds: float) -> str:
    return format_time(seconds) if seconds >= 0.00005 else "0"


def _estimates(analysis: RunAnalysis) -> dict[str, Any] | None:
    estimates = analysis.estimates
    if estimates is None:
        return None
    now = analysis.timeline.worker_count
    rows = [
        {
            "workers": count,
            "seconds": format_time(seconds) if seconds is not None else f"≥ {format_time(least)}",
            "speedup": _speedup(estimates.work, seconds, least),
            "least": format_time(least),
            "is_now": count == now,
        }
        for count, seconds, least in estimates.table(now)
    ]
    is_complete = all(seconds is not None for _count, seconds, _least in estimates.table(now))
    some = "" if is_complete else " This run is large, so not every number is simulated here; ≥ marks a lower bound."
    sentence = (
        f"The scheduler is simulated with the recorded times of the nodes. In the run itself they took "
        f"{format_time(estimates.recorded)}; the longest path takes {format_time(estimates.critical_path)} with any number of "
        "workers. Starting workers and moving values take no time in the simulation. The command treadle sessions what-if prints "
        f"the same.{some}"
    )
    return {"rows": rows, "sentence": sentence}


def _speedup(work: float, seconds: float | None, least: float) -> str:
    if seconds is None:
        return f"≤ {work / least:.2f} ×" if least else "–"
    return f"{work / seconds:.2f} ×" if seconds else "–"


def _why_no_estimates(analysis: RunAnalysis) -> str:
    if analysis.run is None or not analysis.timeline.attempts:
        return "Nothing ran, so there is nothing to simulate."
    if analysis.summary.outcome == "running":
        return "The run has not ended, so the times of its nodes are not all known, and it cannot be simulated yet."
    if analysis.run.outcome is not Outcome.SUCCEEDED:
        return "The run did not succeed, so the times of its nodes are not all known, and it cannot be simulated."
    if analysis.run.graph is None:
        return "The graph of this run is not recorded, so it cannot be simulated."
    return "Nodes that were up to date did not run, so their times are not known, and the run cannot be simulated."


def _comparison(report: ReportContent) -> dict[str, Any] | None:
    comparison = report.comparison
    if comparison is None:
        return None
    usual = {each.node: each.usual for each in report.histories if each.usual is not None}
    counts: dict[str, int] = {}
    for each in comparison.nodes:
        counts[each.kind] = counts.get(each.kind, 0) + 1
    listed = ", ".join(f"{count:,} {_KINDS.get(kind, kind)}" for kind, count in counts.items())
    walls = ""
    if comparison.before is not None and comparison.after is not None:
        walls = f"The run took {format_time(comparison.after)}; before, it took {format_time(comparison.before)}. "
    different = [each for each in comparison.nodes if each.kind != "same"]
    return {
        "sentence": f"{walls}Nodes: {listed or 'none'}. A node is slower or faster if the difference exceeds its usual noise.",
        "changes": [
            {"name": name, "before": _shown(before), "after": _shown(after)} for name, before, after in comparison.changes
        ],
        "nodes": [
            {
                "name": each.name,
                "kind": each.kind,
                "label": {"slower": "▲ slower", "faster": "▼ faster", "failed": "✘ failed"}.get(
                    each.kind, _KINDS.get(each.kind, each.kind)
                ),
                "before": format_time(each.before) if each.before is not None else "–",
                "after": format_time(each.after) if each.after is not None else "–",
                "difference": _signed(each.difference) if each.before is not None and each.after is not None else "",
                "usual": usual_time(usual[each.name]) if each.name in usual else "",
            }
            for each in different[:_COMPARED]
        ],
    }


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else repr(value)


def _signed(seconds: float) -> str:
    return f"{'+' if seconds >= 0 else '−'}{format_time(abs(seconds))}"


def _facts(analysis: RunAnalysis) -> list[tuple[str, str]]:
    session, run = analysis.session, analysis.run
    facts: list[tuple[str, Any]] = [
        ("Command", session.command or "(a program)"),
        ("Project", session.project_path),
        ("Environment", session.env or "(default)"),
        ("Configuration", session.conf_source),
        ("Params", ", ".join(f"{name}={_shown(value)}" for name, value in session.extra_params.items()) or "none"),
    ]
    if run is not None:
        facts += [
            ("Pipelines", ", ".join(run.pipelines)),
            ("Runner", f"{run.runner}, {format_count(run.worker_count, 'worker')}" if run.worker_count else run.runner),
            ("Start method", run.start_method or ("no worker processes" if run.worker_count else "")),
            ("Arguments", ", ".join(f"{name}={_shown(value)}" for name, value in run.params.items()) or "none"),
        ]
    unsure = " (whether files were changed is unknown)" if session.git_commit and session.git_dirty is None else ""
    versions = [f"{name} {session.versions[name]}" for name in ("python", "platform", "treadle") if name in session.versions]
    facts += [
        ("Versions", ", ".join(versions)),
        ("Commit", f"{session.git_commit or 'unknown'}{' with changes' if session.git_dirty else ''}{unsure}"),
        ("Resumed from", session.resumed_from or ""),
    ]
    facts += [(name, value) for name, value in session.environment.items()]
    return [(name, mask_text(str(value))) for name, value in facts if value != ""]


# --- the data of the charts ---------------------------------------------------------------------------------------------------


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0][:500]
