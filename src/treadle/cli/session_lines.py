"""The text in which `treadle sessions` shows the record of a session. State: none. Neighbours: `sessions.py`, `follow.py`."""

from __future__ import annotations

import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from treadle.cli.tables import aligned
from treadle.events import Outcome
from treadle.observe.store.records import SessionState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from treadle.observe.store import ErrorRecord, NodeRecord, RunRecord, SessionRecord, SessionSummary


def session_lines(record: SessionRecord, resumed: Sequence[str] = ()) -> Iterator[str]:
    """Yield the lines that show a session: its facts, and its runs with each attempt at each node.

    Args:
        record: the session.
        resumed: the sessions that it continues, the newest first; by default the one that its record names.
    """
    dirty = {True: ", with uncommitted changes", False: "", None: "; git did not say in time whether files were changed"}[
        record.git_dirty
    ]
    facts = {
        "session": record.session_id,
        "outcome": _outcome_text(record),
        "command": record.command or "(made by a program)",
        "project": f"{record.project_path} (package {record.package_name})",
        "configuration": record.conf_source + (f", environment {record.env}" if record.env else ""),
        "params": ", ".join(f"{name}={value!r}" for name, value in record.extra_params.items()),
        "started": moment(record.started),
        "finished": _end_text(record),
        "by": f"{record.user or 'unknown user'} on {record.host or 'unknown host'}, pid {record.pid}",
        "resumed from": ", resumed from ".join(resumed) or record.resumed_from or "",
        "git": f"{record.git_commit}{dirty}" if record.git_commit else "",
        "versions": ", ".join(f"{name} {record.versions[name]}" for name in ("python", "treadle") if name in record.versions),
    }
    yield from _facts(facts)
    if record.environment:
        yield "\nEnvironment"
        yield from (f"  {name}={value}" for name, value in sorted(record.environment.items()))
    for run in record.runs:
        yield from _run_lines(run, is_lost=record.state is SessionState.LOST)
    if record.error and not any(run.error for run in record.runs):
        yield f"\nError\n{_error_text(record.error)}"


def last_known(session: SessionRecord | SessionSummary) -> float:
    """Return when a session ended; for one that has not, until when it is known to have run."""
    if session.finished is not None:
        return session.finished
    return time.time() if session.state is SessionState.RUNNING else session.heartbeat or session.started


def _run_lines(run: RunRecord, *, is_lost: bool) -> Iterator[str]:
    workers = f", {run.worker_count} workers" if run.worker_count and run.worker_count > 1 else ""
    yield f"\nRun {run.number}: {_run_outcome(run)}"
    yield from _facts(
        {
            "pipelines": ", ".join(run.pipelines),
            "runner": f"{run.runner}{workers}" + (f", {run.start_method}" if run.start_method else ""),
            "arguments": ", ".join(f"{name}={value!r}" for name, value in run.params.items()),
        },
        indent="  ",
    )
    if run.nodes:
        yield ""
        last = {node.node: node for node in run.nodes}
        rows = [
            ("  NODE", "OUTCOME", "SECONDS", "LOAD", "RUN", "SAVE", "BYTES", "WORKER"),
            *(_node_line(node, _status(node, run, last[node.node], is_lost=is_lost)) for node in run.nodes),
        ]
        yield from aligned(rows)
    if run.error and run.outcome is not Outcome.INTERRUPTED:
        yield f"\n{_error_text(run.error)}"


def _run_outcome(run: RunRecord) -> str:
    """Return how a run ended, or how far it has come."""
    if run.outcome is not None and run.finished is not None:
        return f"{run.outcome.value} after {run.finished - run.started:.2f} s"
    ended = len({node.node for node in run.nodes if node.outcome is not None and not node.retried})
    return f"not finished, {ended} of {run.node_count or '?'} nodes have ended"


def _outcome_text(record: SessionRecord) -> str:
    if record.state is SessionState.RUNNING:
        return "running"
    if record.state is SessionState.LOST:
        return (
            "lost: its process is gone and did not complete this record; it was probably killed, or its machine was switched off"
        )
    return record.outcome.value if record.outcome else "nothing ran"


def _end_text(record: SessionRecord) -> str:
    last = last_known(record)
    if record.state is SessionState.FINISHED:
        return f"{moment(last)}, {last - record.started:.2f} s later"
    if record.state is SessionState.LOST:
        return f"no; last known to run at {moment(last)}"
    return f"not yet, {last - record.started:.0f} s so far"


def _error_text(error: ErrorRecord) -> str:
    """Return an error as it was first shown; an error that Treadle itself raised is shown without its traceback."""
    trace = error.traceback.rstrip()
    ours = error.type_name.startswith("treadle.errors.") and trace.endswith(error.message)
    if ours or not trace:
        return error.message
    raised = trace.splitlines()[-1]  # the message must not repeat it
    return f"{trace}\n{error.message.replace(f': {raised}', '.', 1)}"


def _status(node: NodeRecord, run: RunRecord, last: NodeRecord, *, is_lost: bool) -> str:
    """Return how an attempt ended, or what its node does; in a run whose process is gone, nothing is running or waiting."""
    if run.outcome is None and node.retried and node is last and not is_lost:
        return "↻ waiting for a retry"
    if node.outcome is not None:
        return f"{node.outcome.symbol} {node.outcome.value}"
    return "✘ lost" if is_lost else "… running"


def _node_line(node: NodeRecord, status: str) -> tuple[str, ...]:
    took = node.finished - node.started if node.finished is not None and node.started is not None else None
    name = f"  {node.node}" + (f" (attempt {node.attempt})" if node.attempt > 1 else "")
    size = sum(size for _, size in node.sizes)
    times = (took, node.load_seconds, node.run_seconds, node.save_seconds)
    return (
        name,
        status,
        *("" if seconds is None else f"{seconds:.3f}" for seconds in times),
        f"{size:,}" if size else "",
        node.worker or "",
    )


def _facts(facts: dict[str, str], indent: str = "") -> Iterable[str]:
    width = max(len(name) for name in facts)
    return [f"{indent}{name:<{width}}  {value}" for name, value in facts.items() if value]


def moment(seconds: float) -> str:
    """Return a time in seconds since the epoch as text, in UTC."""
    return datetime.fromtimestamp(seconds, tz=timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")
