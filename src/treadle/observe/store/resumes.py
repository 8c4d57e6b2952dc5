"""The claims of sessions that are resumed: at most one for each session. The functions run in the caller's transaction.

Importing this module imports SQLAlchemy; see `schema.py`. State: none. Neighbour: `resume_access.py` calls them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from treadle.observe.store.liveness import SessionProcess
from treadle.observe.store.resume_claim import ResumeClaim
from treadle.observe.store.schema import RESUMES, SESSIONS

if TYPE_CHECKING:
    from sqlalchemy import Connection


def read_claim(connection: Connection, session_id: str) -> ResumeClaim | None:
    """Return the newest claim of a session; None if there is none."""
    query = (
        select(RESUMES, SESSIONS.c.heartbeat, SESSIONS.c.started, SESSIONS.c.finished)
        .outerjoin(SESSIONS, SESSIONS.c.session_id == RESUMES.c.resumed_by)
        .where(RESUMES.c.session_id == session_id)
    )
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    process = SessionProcess(row.host, row.pid, row.process_started, row.boot_id)
    is_recorded = row.started is not None  # a session may run again until it is closed, which its record says
    is_over = row.finished is not None if is_recorded else row.ended is not None
    return ResumeClaim(row.session_id, row.resumed_by, process, row.claimed, row.ended, row.heartbeat, is_over)


def replace_claim(connection: Connection, claim: ResumeClaim, seen: ResumeClaim | None) -> bool:
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
    if seen is not None:
        same = (
            RESUMES.c.session_id == seen.session_id,
            RESUMES.c.resumed_by == seen.resumed_by,
            RESUMES.c.claimed == seen.claimed,
        )
        return connection.execute(RESUMES.update().where(*same).values(**row)).rowcount == 1
    try:
        with connection.begin_nested():  # a transaction of PostgreSQL can go on only after a savepoint is restored
            connection.execute(RESUMES.insert(), row)
    except IntegrityError:
        return False
    return True
