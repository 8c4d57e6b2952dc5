"""Decide whether the process of a session still exists, for a session whose record is not complete.

On the machine of the session this is exact: host name, boot, process id and start time identify a process, however often ids are
reused. On another machine, and in another container of the same one, only the heartbeat can tell. State: none. Neighbours:
`live.py` writes the heartbeat, `rows.py` asks when a record is read.
"""

from __future__ import annotations

import os
import platform
import time
from functools import lru_cache
from pathlib import Path

from treadle.named_tuple import NamedTuple
from treadle.observe.store.process_stat import started_after_boot

LOST_AFTER = 60.0
"""A session on another machine is lost if its last heartbeat is older than this, in seconds."""

_TOLERANCE = 1.0
"""Start times of a process that differ by less than this, in seconds, are equal."""


class SessionProcess(NamedTuple):
    """What identifies the process of a session.

    Attributes:
        host: name of the machine.
        pid: process id.
        started: when it was started, in seconds after the machine's boot, which does not change if the clock is set.
        boot_id: identifies the boot of the machine and the namespace of process ids; None if the system has no such identity.
    """

    host: str | None
    pid: int
    started: float | None
    boot_id: str | None


def this_process() -> SessionProcess:
    """Return the identity of this process."""
    return _identity(os.getpid())


@lru_cache(maxsize=1)
def _identity(pid: int) -> SessionProcess:
    """Return the identity of this process, which has an id that a forked child does not have."""
    return SessionProcess(platform.node() or None, pid, _seconds_after_boot(pid), current_boot())


def is_alive(process: SessionProcess, heartbeat: float | None) -> bool:
    """Return whether the process of a session is still running.

    Args:
        process: the process.
        heartbeat: when the session was last known to run, in seconds since the epoch; None if never.
    """
    if process.host == (platform.node() or None):
        here = current_boot()
        if here == process.boot_id:
            return _runs(process)
        if here and process.boot_id and here.partition(" ")[0] != process.boot_id.partition(" ")[0]:
            return False  # the machine has been started again since
    return heartbeat is not None and time.time() - heartbeat < LOST_AFTER


def current_boot() -> str | None:
    """Return the identity of this machine's boot and of this process's namespace of process ids; None if there is none."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return None


def _runs(process: SessionProcess) -> bool:
    import psutil

    try:
        if psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE:
            return False
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        pass  # it exists
    started = _seconds_after_boot(process.pid)
    return started is None or process.started is None or abs(started - process.started) < _TOLERANCE


def _seconds_after_boot(pid: int) -> float | None:
    if (started := started_after_boot(pid)) is not None:
        return started
    import psutil

    boot = psutil.boot_time()  # first: some versions of psutil keep it for `create_time`
    try:
        return psutil.Process(pid).create_time() - boot
    except psutil.Error:
        return None
