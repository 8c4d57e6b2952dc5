"""Check that a session may run: it is open, and no run of it has succeeded. No state; `session.py` calls this before each run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.errors import SessionError
from treadle.events import Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from treadle.observe.store import RunRecord
    from treadle.session.record import SessionFacts


def check_can_run(facts: SessionFacts, runs: Sequence[RunRecord], *, closed: bool) -> None:
    """Raise if a session may not run.

    Args:
        facts: the session.
        runs: its earlier runs; after a failed run it may run again.
        closed: whether the session is closed.

    Raises:
        SessionError: the session is closed, or one of its runs succeeded.
    """
    if closed:
        raise cannot_run(facts, "is closed", "Create another one with Session.create().")
    if not any(run.outcome is Outcome.SUCCEEDED for run in runs):
        return
    if (facts.command or "").startswith("%reload_treadle"):
        advice = "A session runs once. `%reload_treadle` creates the next session, with your changed code and configuration."
    else:
        advice = (
            "A session runs once, so that its record and its datasets' versions belong to one run. Create another session with "
            "Session.create(), and pass the same Runner to keep its workers; for many runs in one process, each with its own "
            "params, use a ServiceSession."
        )
    raise cannot_run(facts, "has run already", advice)


def cannot_run(facts: SessionFacts, state: str, advice: str) -> SessionError:
    """Make the error of a session that may not run.

    Args:
        facts: the session.
        state: why it may not run, as a predicate ("is closed").
        advice: what to do.
    """
    return SessionError(f"The session {facts.session_id} {state}. {advice}", session_id=facts.session_id)
