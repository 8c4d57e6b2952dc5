"""Whether a session may run: once, while it is open, and not twice at the same time. Keeps no state."""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.errors import SessionError
from treadle.events import Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from treadle.observe.store import RunRecord
    from treadle.session.record import SessionFacts


def check_turn(facts: SessionFacts, runs: Sequence[RunRecord], *, closed: bool) -> None:
    """Raise where a session may not run.

    Args:
        facts: the session.
        runs: what it ran before; after a failure it may run again.
        closed: whether it is closed.

    Raises:
        SessionError: it is closed, or a run of it succeeded.
    """
    if closed:
        raise out_of_turn(facts, "is closed", "Make another one with Session.create().")
    if not any(run.outcome is Outcome.SUCCEEDED for run in runs):
        return
    if (facts.command or "").startswith("%reload_treadle"):
        advice = "One session is one run. `%reload_treadle` makes the next session, with your changed code and configuration."
    else:
        advice = (
            "One session is one run, so that its record and its datasets' versions are of one. Make another one with "
            "Session.create(), with the same runner where its workers should stay warm; for many runs in one process, each with "
            "its own params, use a ServiceSession."
        )
    raise out_of_turn(facts, "has run already", advice)


def out_of_turn(facts: SessionFacts, state: str, advice: str) -> SessionError:
    """Make the error of a session that may not run.

    Args:
        facts: the session.
        state: what it is or has done, as a verb.
        advice: what to do.
    """
    return SessionError(f"The session {facts.session_id} {state}. {advice}", session_id=facts.session_id)
