"""A run that a server has started. State: that of one run, changed by `runs.py`; `views.py` describes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from treadle.server.queue import Accepted
    from treadle.session import RunHandle


@dataclass(slots=True)
class ServedRun:
    """A run that was started by this server.

    Attributes:
        accepted: what was asked for.
        handle: its handle.
        started: when it started, in seconds since the epoch.
        finished: when it ended; None while it runs.
        is_cancelled: whether a client cancelled it.
        usual_seconds: how long the last run of the same nodes took; None if there was none.
    """

    accepted: Accepted
    handle: RunHandle
    started: float
    finished: float | None = None
    is_cancelled: bool = False
    usual_seconds: float | None = None

    @property
    def state(self) -> str:
        """Its state, as clients see it."""
        if self.handle.status == "cancelled" and not self.is_cancelled:
            return "interrupted"
        return self.handle.status
