"""The methods of the SQL store by which at most one session at a time resumes another.

A session that resumes another one claims it, in one transaction: of two processes that claim at once, the second gets the claim
of the first. A claim ends with its run, or with its process, which is noticed as it is for a session: nothing has to be removed.

State: none besides the store's. Neighbours: `store.py`, whose class inherits from this one; `resumes.py` has the queries;
`treadle.session.resuming` claims.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from treadle.observe.store.database_access import DatabaseAccess
from treadle.observe.store.liveness import this_process
from treadle.observe.store.resume_claim import ResumeClaim

if TYPE_CHECKING:
    from treadle.observe.store.connection import StoreConnection


class ResumeAccess(DatabaseAccess):
    """The claims of sessions that are resumed, in a database."""

    def resume_claim(self, session_id: str) -> ResumeClaim | None:
        """Return the newest claim of a session.

        Args:
            session_id: the session that may be resumed.

        Returns:
            The claim, which may have ended; None if the session was never resumed.

        Raises:
            StoreError: the database cannot be read.
        """
        from treadle.observe.store.resumes import read_claim

        with self._connected("read") as connection:
            return read_claim(connection, session_id)

    def resumed_sessions(self, session_id: str) -> tuple[str, ...]:
        """Return the sessions that a session continues: the one that it was resumed from, the one before that, and so on.

        Args:
            session_id: the session.

        Raises:
            StoreError: the database cannot be read.
        """
        from treadle.observe.store.successes import chain_of

        with self._connected("read") as connection:
            return tuple(reversed(chain_of(connection, session_id)[:-1]))

    def claim_resume(self, session_id: str, resumed_by: str, seen: ResumeClaim | None) -> tuple[ResumeClaim, bool]:
        """Claim a session for one that resumes it, unless another session has claimed it in the meantime.

        Args:
            session_id: the session to resume.
            resumed_by: the session that resumes it, in this process.
            seen: the newest claim that this session has seen, which is not active; None if there was none.

        Returns:
            The new claim and True; or the claim of the other session and False.

        Raises:
            StoreError: the database cannot be written.
        """
        from treadle.observe.store.resumes import read_claim, replace_claim

        claim = ResumeClaim(session_id, resumed_by, this_process(), time.time())

        def write(connection: StoreConnection) -> tuple[ResumeClaim, bool]:
            if replace_claim(connection, claim, seen):
                return claim, True
            return read_claim(connection, session_id) or claim, False

        return self._write_rows(write)

    def end_resume(self, claim: ResumeClaim) -> None:
        """End a claim of this process, whose run has ended.

        Args:
            claim: the claim.

        Raises:
            StoreError: the database cannot be written.
        """
        from treadle.observe.store.resumes import replace_claim

        ended = claim._replace(ended=time.time())
        self._write_rows(lambda connection: replace_claim(connection, ended, claim))
