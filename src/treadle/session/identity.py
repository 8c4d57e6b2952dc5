"""Session ids: `2026-11-22T12.52.32.123Z-mzxw6ytb`.

An id is the UTC time in milliseconds, so that ids sort by time and say something to a person, and it holds no character
that a file system refuses, because it is also the save version. The suffix is 40 random bits from the operating system:
the time alone is not unique (processes of one machine share its clock, machines share a store), and neither a pid, which
containers repeat, nor a host name, which clones repeat, can be relied on. That two processes draw the same suffix in the
same millisecond has odds of one in a million million.

State: the last millisecond that this process gave out, in the one `SessionClock` below. Ids of one process must strictly
increase even within a millisecond and when the system's clock is set back, and only memory of the last one can see to
that; it is guarded by a lock and bears no meaning for anything else.
"""

from __future__ import annotations

import base64
import secrets
import threading
import time
from datetime import datetime, timezone

from treadle.forks import fork_safe

_SUFFIX_BYTES = 5
"""40 bits: eight characters of base 32, without padding."""


class SessionClock:
    """Gives out session ids that strictly increase."""

    def __init__(self) -> None:
        self._lock = fork_safe(threading.Lock())
        self._last = 0

    def next_id(self, now: float | None = None) -> str:
        """Make the next id.

        Args:
            now: seconds since the epoch; the system's clock by default. A millisecond that was given out already, or
                that lies before it, becomes the first one that was not.

        Returns:
            The id.
        """
        millisecond = int((time.time() if now is None else now) * 1000)
        with self._lock:
            self._last = max(millisecond, self._last + 1)
            millisecond = self._last
        moment = datetime.fromtimestamp(millisecond // 1000, timezone.utc)
        suffix = base64.b32encode(secrets.token_bytes(_SUFFIX_BYTES)).decode("ascii").lower()
        return f"{moment:%Y-%m-%dT%H.%M.%S}.{millisecond % 1000:03d}Z-{suffix}"


_CLOCK = SessionClock()


def new_session_id() -> str:
    """Make the id of a new session.

    Returns:
        An id no other session has, greater than every one this process made before.
    """
    return _CLOCK.next_id()
