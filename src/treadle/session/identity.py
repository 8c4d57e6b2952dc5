"""Session ids: `2026-11-22T12.52.32.123Z-mzxw6ytb`.

An id starts with the UTC time in milliseconds, so that ids sort by time and are readable. It contains only characters that
every file system accepts, because it is also the save version of datasets. The suffix is 40 random bits from the operating
system: the time alone is not unique (processes share a clock, machines share a store), pids repeat between containers, and
host names repeat between clones. The probability that two processes draw the same suffix in the same millisecond is 1e-12.

State: the milliseconds that this process has used. They make the ids of one process strictly increase, even within a
millisecond or when the system clock is set back.
"""

from __future__ import annotations

import base64
import os
from datetime import datetime, timezone

from treadle.io.versions import IncreasingMilliseconds

_SUFFIX_BYTES = 5
"""40 bits: eight characters of base 32, without padding."""


class SessionClock:
    """Generate strictly increasing session ids."""

    def __init__(self) -> None:
        self._milliseconds = IncreasingMilliseconds()

    def next_id(self, now: float | None = None) -> str:
        """Make the next id.

        Args:
            now: seconds since the epoch, as for `IncreasingMilliseconds.next`.

        Returns:
            The id.
        """
        millisecond = self._milliseconds.next(now)
        moment = datetime.fromtimestamp(millisecond // 1000, timezone.utc)
        suffix = base64.b32encode(os.urandom(_SUFFIX_BYTES)).decode("ascii").lower()
        return f"{moment:%Y-%m-%dT%H.%M.%S}.{millisecond % 1000:03d}Z-{suffix}"


_CLOCK = SessionClock()


def new_session_id() -> str:
    """Make the id of a new session.

    Returns:
        A unique id, greater than every earlier id of this process.
    """
    return _CLOCK.next_id()
