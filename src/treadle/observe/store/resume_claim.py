"""The claim of a session on the session that it resumes. State: none. Neighbours: `resume_access.py` makes claims."""

from __future__ import annotations

from treadle.named_tuple import NamedTuple
from treadle.observe.store.liveness import SessionProcess, is_alive


class ResumeClaim(NamedTuple):
    """A session resumes another one.

    Attributes:
        session_id: the session that is resumed.
        resumed_by: the session that resumes it.
        process: the process of that session.
        claimed: when the claim was made, in seconds since the epoch.
        ended: when its run ended; None if it has not.
        heartbeat: when the session that resumes was last known to run; None if its record has not been written yet.
        is_over: whether the session that resumes has ended and said so.
    """

    session_id: str
    resumed_by: str
    process: SessionProcess
    claimed: float
    ended: float | None = None
    heartbeat: float | None = None
    is_over: bool = False

    @property
    def is_active(self) -> bool:
        """Whether the session that resumes has not ended, and its process still exists."""
        return not self.is_over and is_alive(self.process, max(self.claimed, self.heartbeat or 0.0))
