"""Measure the load of other programs on the machine during a timing. State: the samples so far."""

from __future__ import annotations

import os

import psutil

_INTERVAL = 0.5
"""Duration of a sample in seconds."""
_MAX_OTHERS_PERCENT = 10.0
_MAX_STOLEN_PERCENT = 2.0
"""Above these percentages, timings are not comparable."""


class MachineLoad:
    """Processor use of other programs, sampled while this process waits, and processor time stolen by the hypervisor.

    Args:
        interval: duration of a sample in seconds.
    """

    def __init__(self, interval: float = _INTERVAL) -> None:
        self._interval = interval
        self._others: list[float] = []
        self._before = psutil.cpu_times()

    def sample(self) -> None:
        """Wait for one interval, and record the percentage of processor time that other programs use."""
        used = psutil.cpu_times_percent(interval=self._interval)
        self._others.append(max(0.0, 100.0 - used.idle - getattr(used, "iowait", 0.0) - getattr(used, "steal", 0.0)))

    def warning(self) -> str | None:
        """Return a warning that the machine was too busy for comparable timings; None if it was not."""
        now = psutil.cpu_times()
        passed = sum(now) - sum(self._before)
        stolen = 100.0 * (getattr(now, "steal", 0.0) - getattr(self._before, "steal", 0.0)) / passed if passed else 0.0
        others = max(self._others, default=0.0)
        causes = []
        if others >= _MAX_OTHERS_PERCENT:
            causes.append(f"other programs used up to {others:.0f} % of its processors (load average {os.getloadavg()[0]:.1f})")
        if stolen >= _MAX_STOLEN_PERCENT:
            causes.append(f"{stolen:.0f} % of its processor time was stolen by other virtual machines")
        if not causes:
            return None
        return f"The machine was busy: {', and '.join(causes)}. The timings are not reliable; repeat the demo when it is idle."
