"""The record of a run that a server has accepted: what was asked for, and which process will run it.

State: none. Neighbours: `queue_access.py` reads and writes it; `treadle.server` queues runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.named_tuple import NamedTuple
from treadle.observe.store.liveness import is_alive

if TYPE_CHECKING:
    from treadle.observe.store.liveness import SessionProcess

QUEUED = "queued"
"""State of a run that has not ended. It has started if there is a session with its id."""
CANCELLED = "cancelled"
"""State of a run that was cancelled, before or after it had started."""
ENDED = "ended"
"""State of a run whose end is recorded by its session."""
LOST = "lost"
"""State of a run that never started, so that it has no session: only a server that is gone knew all that was asked for."""


class QueuedRun(NamedTuple):
    """A run that a server has accepted.

    Attributes:
        run_id: its id, which its session will have too; ids sort by time.
        package_name: the project's package.
        submitted: when it was accepted, in seconds since the epoch.
        state: `QUEUED`, `CANCELLED`, `ENDED` or `LOST`.
        request: what was asked for, as JSON, with secrets masked; empty once it is no longer needed.
        digest: identifies the content of the request, secrets included.
        has_secrets: whether the request had secrets, which are not stored: only the process that accepted it can run it.
        key: the client's key, by which it recognises a repeated request; None if it gave none.
        process: the process that will run it.
        heartbeat: when that process was last known to be alive, in seconds since the epoch.
    """

    run_id: str
    package_name: str
    submitted: float
    state: str
    request: str
    digest: str
    has_secrets: bool
    key: str | None
    process: SessionProcess
    heartbeat: float

    @property
    def waits(self) -> bool:
        """Whether it will run, if it has not started: in its process, or, if that is gone, in the one that adopts the run."""
        return self.state == QUEUED and (not self.has_secrets or is_alive(self.process, self.heartbeat))
