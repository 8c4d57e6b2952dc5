"""How busy the machine was with other things while something was timed. State: what was measured so far."""

from __future__ import annotations

import os

import psutil

_INTERVAL = 0.5
"""Seconds that a sample takes."""
_BUSY_PERCENT = 10.0
_STOLEN_PERCENT = 2.0
"""From so much on, times do not say much."""


class MachineLoad:
    """Samples taken while this process waits, and the processor time that was stolen from the first to the last.

    Args:
        interval: seconds that a sample takes.
    """

    def __init__(self, interval: float = _INTERVAL) -> None:
        self._interval = interval
        self._others: list[float] = []
        self._before = psutil.cpu_times()

    def sample(self) -> None:
        """Wait for a moment, and see what percentage of the processors' time other programs take in it."""
        used = psutil.cpu_times_percent(interval=self._interval)
        self._others.append(max(0.0, 100.0 - used.idle - getattr(used, "iowait", 0.0) - getattr(used, "steal", 0.0)))

    def warning(self) -> str | None:
        """Say how busy the machine was, where that makes times hard to compare; None where it was quiet."""
        now = psutil.cpu_times()
        passed = sum(now) - sum(self._before)
        stolen = 100.0 * (getattr(now, "steal", 0.0) - getattr(self._before, "steal", 0.0)) / passed if passed else 0.0
        others = max(self._others, default=0.0)
        said = []
        if others >= _BUSY_PERCENT:
            said.append(f"other programs took up to {others:.0f} % of its processors (load average {os.getloadavg()[0]:.1f})")
        if stolen >= _STOLEN_PERCENT:
            said.append(f"{stolen:.0f} % of its processor time was stolen by other virtual machines")
        if not said:
            return None
        return f"The machine was busy: {', and '.join(said)}. These times say little; repeat the demo when it is quiet."
