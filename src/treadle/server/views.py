"""Describe runs for clients: queued, running, ended, or recorded by another process. State: none. `runs.py` calls this."""

from __future__ import annotations

import json
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from treadle.events import Outcome
from treadle.observe.store.queued_run import CANCELLED
from treadle.observe.store.records import SessionState
from treadle.server.models import NodeCounts, RunView
from treadle.server.problems import error_view, public_text, recorded_error

if TYPE_CHECKING:
    from treadle.observe.store import SessionRecord, SessionSummary
    from treadle.observe.store.queued_run import QueuedRun
    from treadle.server.models import State
    from treadle.server.queue import Accepted
    from treadle.server.served import ServedRun


def queued_view(stored: QueuedRun, position: int | None) -> RunView:
    """Describe a run that has not started.

    Args:
        stored: the run.
        position: how many runs start before it; None if it does not wait in this server.
    """
    state: State = "queued" if position is not None or stored.waits else "cancelled" if stored.state == CANCELLED else "lost"
    asked = json.loads(stored.request) if stored.request else {"body": {}, "resumes": None}
    return RunView(
        id=stored.run_id,
        state=state,
        pipelines=asked.get("body", {}).get("pipelines") or ["__default__"],
        submitted=stored.submitted,
        position=position,
        resumed_from=asked.get("resumes"),
    )


def waiting_view(accepted: Accepted, position: int) -> RunView:
    """Describe a run that waits.

    Args:
        accepted: what was asked for.
        position: how many runs start before it.
    """
    pipelines = accepted.body.pipelines or ["__default__"]
    return RunView(
        id=accepted.run_id,
        state="queued",
        pipelines=pipelines,
        submitted=accepted.submitted,
        position=position,
        resumed_from=accepted.resumes,
    )


def live_view(served: ServedRun, *, debug: bool) -> RunView:
    """Describe a run that this server runs, or ran not long ago.

    Args:
        served: the run.
        debug: whether errors contain paths of this machine.
    """
    handle, accepted = served.handle, served.accepted
    state, progress = served.state, handle.progress
    error = handle.exception() if handle.is_done else None
    left = progress.seconds_left
    if served.usual_seconds is not None:
        left = max(0.0, served.started + served.usual_seconds - time.time())
    return RunView(
        id=handle.id,
        state=state,  # type: ignore[arg-type]  # a handle's status is one of the states
        pipelines=accepted.body.pipelines or ["__default__"],
        submitted=accepted.submitted,
        started=served.started,
        finished=served.finished,
        expected_end=time.time() + left if left is not None and state == "running" else None,
        nodes=NodeCounts(
            total=progress.nodes,
            done=progress.done,
            reused=progress.reused,
            skipped=progress.skipped,
            failed=list(progress.failed),
            running=list(progress.running),
        ),
        outputs=sorted(handle.result()) if state == "succeeded" else [],
        error=error_view(error, debug=debug) if error is not None else None,
        resumed_from=accepted.resumes,
    )


def end_facts(served: ServedRun, *, debug: bool) -> dict[str, Any]:
    """Return what the last event of a run that has ended says.

    Args:
        served: the run.
        debug: whether errors contain paths of this machine.
    """
    error = served.handle.exception()
    if error is None:
        return {"state": served.state}
    return {"state": served.state, "error": error_view(error, debug=debug).model_dump(exclude_none=True)}


def summary_view(summary: SessionSummary, *, debug: bool) -> RunView:
    """Describe a recorded run by its summary.

    Args:
        summary: the summary.
        debug: whether errors contain paths of this machine.
    """
    error = None
    if summary.error is not None:
        from treadle.server.models import ErrorView

        error = ErrorView(type="RunError", message=public_text(summary.error.partition("\n")[0], debug=debug))
    known = summary.succeeded + summary.failed + summary.reused + summary.skipped
    return RunView(
        id=summary.session_id,
        state=_state(summary),
        pipelines=list(summary.pipelines),
        started=summary.started,
        finished=summary.finished,
        nodes=NodeCounts(total=summary.nodes or known, done=summary.succeeded, reused=summary.reused, skipped=summary.skipped),
        error=error,
        resumed_from=summary.resumed_from,
    )


def record_view(record: SessionRecord, stored: QueuedRun | None, *, debug: bool) -> RunView:
    """Describe a recorded run by its record.

    Args:
        record: the record.
        stored: what the queue knows of it; None if no server ran it.
        debug: whether errors contain paths of this machine.
    """
    run = record.runs[-1] if record.runs else None
    outcomes: dict[str, Outcome | None] = {}
    for node in run.nodes if run is not None else ():
        outcomes[node.node] = node.outcome  # that of the last attempt
    counts = Counter(outcomes.values())
    state = _state(record)
    return RunView(
        id=record.session_id,
        state="cancelled" if stored is not None and stored.state == CANCELLED else state,
        pipelines=list(run.pipelines) if run is not None else [],
        submitted=stored.submitted if stored is not None else None,
        started=record.started,
        finished=record.finished,
        nodes=NodeCounts(
            total=(run.node_count if run is not None else None) or len(outcomes),
            done=counts[Outcome.SUCCEEDED],
            reused=counts[Outcome.REUSED],
            skipped=counts[Outcome.SKIPPED],
            failed=[name for name, outcome in outcomes.items() if outcome is Outcome.FAILED],
            running=[name for name, outcome in outcomes.items() if outcome is None] if state == "running" else [],
        ),
        error=recorded_error(record.error, debug=debug) if record.error is not None else None,
        resumed_from=record.resumed_from,
    )


def _state(record: Any) -> State:
    if record.state is SessionState.RUNNING:
        return "running"
    if record.state is SessionState.LOST:
        return "lost"
    if record.outcome is Outcome.SUCCEEDED:
        return "succeeded"
    return "interrupted" if record.outcome is Outcome.INTERRUPTED else "failed"
