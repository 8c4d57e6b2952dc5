"""The number of cores that this process may use. State: none."""

from __future__ import annotations

import math
import os
from contextlib import suppress

from treadle.execution.processes.system_file import read_text

_CPU_MAX = "/sys/fs/cgroup/cpu.max"
_QUOTA = "/sys/fs/cgroup/cpu/cpu.cfs_quota_us"
_PERIOD = "/sys/fs/cgroup/cpu/cpu.cfs_period_us"

LIMIT_VARIABLE = "LOKY_MAX_CPU_COUNT"
"""Environment variable that limits the number; loky and joblib read it, too."""


def usable_cores() -> int:
    """Return the number of cores that this process may use, by affinity, cgroup and `LOKY_MAX_CPU_COUNT`; at least 1."""
    present = os.cpu_count() or 1
    counts = [present, _of_cgroup(present), int(os.environ.get(LIMIT_VARIABLE) or present)]
    if hasattr(os, "sched_getaffinity"):
        counts.append(len(os.sched_getaffinity(0)))
    return max(1, min(counts))


def _of_cgroup(present: int) -> int:
    """Return the number of cores whose time the control group may use, rounded up (cgroups(7), version 2, then 1)."""
    for files in ((_CPU_MAX,), (_QUOTA, _PERIOD)):
        with suppress(OSError, ValueError):  # no such control group; "max" is not a number
            quota, period = map(int, " ".join(read_text(file) for file in files).split())
            if quota > 0 and period > 0:
                return math.ceil(quota / period)
    return present
