"""The claims of sessions that are resumed: at most one for each session. The functions run in the caller's transaction.

State: none. Neighbour: `resume_access.py` calls them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.observe.store.liveness import SessionProcess
from treadle.observe.store.resume_claim import ResumeClaim
from treadle.observe.store.statements import RESUMES, put

if TYPE_CHECKING:
    from treadle.observe.store.connection import StoreConnection


def read_claim(connection: StoreConnection, session_id: str) -> ResumeClaim | None:
    """Return the newest claim of a session; None if there is none."""
    query = (
        "SELECT treadle_resumes.*, heartbeat, started, finished FROM treadle_resumes "
        "LEFT JOIN treadle_sessions ON treadle_sessions.session_id = treadle_resumes.resumed_by "
        "WHERE treadle_resumes.session_id = :session_id"
    )
    rows = connection.select_rows(query, {"session_id": session_id})
    if not rows:
        return None
    row = rows[0]
    process = SessionProcess(row["host"], row["pid"], row["process_started"], row["boot_id"])
    is_recorded = row["started"] is not None  # a session may run again until it is closed, which its record says
    is_over = row["finished"] is not None if is_recorded else row["ended"] is not None
    return ResumeClaim(row["session_id"], row["resumed_by"], process, row["claimed"], row["ended"], row["heartbeat"], is_over)


def replace_claim(connection: StoreConnection, claim: ResumeClaim, seen: ResumeClaim | None) -> bool:
    """Write a claim if the newest one is still the one that was seen.

    Args:
        connection: in a transaction that may write.
        claim: the claim.
        seen: the newest claim at an earlier time; None if there was none.

    Returns:
        False if there is another claim meanwhile; nothing was written.
    """
    row = {
        "session_id": claim.session_id,
        "resumed_by": claim.resumed_by,
        "host": claim.process.host,
        "pid": claim.process.pid,
        "process_started": claim.process.started,
        "boot_id": claim.process.boot_id,
        "claimed": claim.claimed,
        "ended": claim.ended,
    }
    if seen is None:
        return put(connection, RESUMES, [row], replaces=False) == 1
    statement = (
        "UPDATE treadle_resumes SET resumed_by = :resumed_by, host = :host, pid = :pid, process_started = :process_started, "
        "boot_id = :boot_id, claimed = :claimed, ended = :ended "
        "WHERE session_id = :session_id AND resumed_by = :seen_by AND claimed = :seen_at"
    )
    return connection.execute(statement, [{**row, "seen_by": seen.resumed_by, "seen_at": seen.claimed}]) == 1
