"""Make a worker the leader of the processes that its nodes start, so that they can be found and killed with it.

Runs in workers. Under fork, the parent imports this module once for all workers, because importing `ctypes` takes milliseconds.
State: the process group, signal handlers and environment of the process. Neighbour: `processes/process_tree.py` finds and kills
the processes.
"""

from __future__ import annotations

import os
import signal
import sys

from treadle.execution.processes.process_tree import MARK_VARIABLE

if sys.platform == "linux":
    import ctypes

_PR_SET_CHILD_SUBREAPER = 36


def lead_process_tree() -> None:
    """Make this worker process a process group leader that adopts its orphaned descendants."""
    os.setpgid(0, 0)
    # The group is not the terminal's foreground group, so reading the terminal or changing its settings would stop the process.
    # With these signals ignored, such a call fails at once instead. Programs inherit the setting.
    signal.signal(signal.SIGTTIN, signal.SIG_IGN)
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    if sys.platform == "linux":
        # An old kernel refuses the call. The process group and the mark still identify descendants.
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def mark_programs(mark: str) -> None:
    """Mark the programs that this worker process starts from now on."""
    os.environ[MARK_VARIABLE] = os.environ.get(MARK_VARIABLE, "") + mark
