"""Read the status of a process from `/proc/PID/stat` (proc_pid_stat(5)), on Linux. Importing psutil would take 8 ms of each run.

State: none. Neighbours: `liveness.py` and `memory_samples.py` use it.
"""

from __future__ import annotations

import os
from pathlib import Path


def stat_fields(pid: int) -> list[str] | None:
    """Return the fields after the command, which may contain spaces: the first is the state.

    Args:
        pid: the process.

    Returns:
        The fields; None if the process has ended, or on another system.
    """
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None


def started_after_boot(pid: int) -> float | None:
    """Return when a process was started, in seconds after the machine's boot; None if it has ended, or on another system.

    Args:
        pid: the process.
    """
    fields = stat_fields(pid)
    return int(fields[19]) / os.sysconf("SC_CLK_TCK") if fields is not None else None
