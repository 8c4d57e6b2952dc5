"""Tell the time without regard to changes of the system's clock. Runs everywhere. State: when a clock was made."""

from __future__ import annotations

import time


class Clock:
    """A clock that shows the time of day when it is made, and runs on from there.

    If the system's clock is set during a run, as on a machine that starts with the wrong time, the duration of the run is still
    right. On Linux it includes the time for which the machine was suspended.
    """

    def __init__(self) -> None:
        self._offset = time.time() - _steady_seconds()

    def now(self) -> float:
        """Return the time, in seconds since the epoch."""
        return self._offset + _steady_seconds()


def _steady_seconds() -> float:
    """Return the time of a clock that cannot be set, in seconds."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()
