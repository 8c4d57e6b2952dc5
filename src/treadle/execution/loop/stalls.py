"""Log the running nodes if no event arrives for a while: how long each has run, in which process, and what the process waits for.

The first report is logged after 20 s without an event, each later one after twice the time of the one before. Runs in the parent;
`loop.py` calls it when a wait has returned without an event. State: when the silence began.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from treadle.execution.protocol.messages import MAIN

if TYPE_CHECKING:
    from collections.abc import Mapping

    from treadle.execution.executors.executor import Executor
    from treadle.execution.protocol.messages import Started
    from treadle.execution.scheduling.scheduler import Scheduler
    from treadle.planning import Plan

_logger = logging.getLogger(__name__)

PATIENCE_SECONDS = 20.0
"""Seconds without an event before the first report."""

_STATES = {"disk-sleep": "uninterruptible", "tracing-stop": "stopped", "idle": "sleeping"}
"""Clearer names for some of psutil's process states."""
_STUCK = frozenset({"uninterruptible", "stopped", "zombie"})
"""States in which a process does not run its node: reported as warnings."""
_NO_PLACE = ("", "0")
"""Contents of /proc/PID/wchan if the process does not wait in the kernel, or the kernel hides the function."""


class Stalls:
    """Report the running nodes when nothing has happened for a while.

    Args:
        plan: the plan.
        executor: where it runs.
        scheduler: has the nodes that were assigned to each worker.
        pids: process id of each worker that is ready; a live view.
    """

    def __init__(self, plan: Plan, executor: Executor, scheduler: Scheduler, pids: Mapping[int, int]) -> None:
        self._plan = plan
        self._executor = executor
        self._scheduler = scheduler
        self._pids = pids
        self._own_thread = threading.get_ident()  # runs the nodes of the main process
        self.patience = PATIENCE_SECONDS
        """Seconds of silence before the next report."""
        self.since: float | None = None
        """When the current silence began, by the monotonic clock; None while events arrive."""

    def seconds_left(self) -> float:
        """Return the seconds until the next report, if nothing happens."""
        return self.patience if self.since is None else max(0.0, self.since + self.patience - time.monotonic())

    def end(self) -> None:
        """Record that an event arrived."""
        self.since, self.patience = None, PATIENCE_SECONDS

    def note_silence(self, started: float) -> None:
        """Record a wait that returned without an event, and log the running nodes if the silence has lasted long enough.

        Args:
            started: when the wait started, by the monotonic clock.
        """
        if self.since is None:
            self.since = started
        if time.monotonic() < self.since + self.patience:
            return
        self.patience *= 2
        for level, line in self._lines():
            _logger.log(level, "%s", line)

    def _lines(self) -> list[tuple[int, str]]:
        running, lines = self._executor.running(), []
        for worker, pid in self._pids.items():
            started = running.get(worker)
            held = (started.node,) if started is not None else self._scheduler.assigned(worker)[:1]
            if held:
                lines.append(self._line(worker, pid, self._plan.nodes[held[0]].name, started))
        return lines

    def _line(self, worker: int, pid: int, node: str, started: Started | None) -> tuple[int, str]:
        label = self._executor.label(worker)
        doing = (
            f"Node '{node}' was assigned to {label} and has not started"
            if started is None
            else f"Node '{node}' has been running for {_seconds(started):.0f} s in {label}"
        )
        if pid == os.getpid():
            place = _place_of_thread(self._own_thread if worker == MAIN else _thread_named(label))
            return logging.INFO, f"{doing}{f' (now in {place})' if place else ''}."
        if not self._executor.capabilities.local:
            return logging.INFO, f"{doing}."
        state, place = _state_of(pid)
        where = f"pid {pid}, {state}{f' in {place}' if place else ''}"
        if state == "stopped":
            return logging.WARNING, f"{doing} ({where}). `kill -CONT {pid}` continues the process."
        hint = f" `kill -USR1 {pid}` prints the stacks of its threads." if state not in _STUCK else ""
        return logging.WARNING if state in _STUCK else logging.INFO, f"{doing} ({where}).{hint}"


def _seconds(started: Started) -> float:
    """Return how long a node has been running, by the wall clock if its worker did not report the monotonic time."""
    return time.monotonic() - started.since if started.since else max(0.0, time.time() - started.at)


def _state_of(pid: int) -> tuple[str, str]:
    """Return a process's state, and the kernel function that it waits in, if known."""
    import psutil

    try:
        status = str(psutil.Process(pid).status())
    except psutil.Error:
        return "ended", ""
    state = _STATES.get(status, status)
    place = ""
    if state in ("sleeping", "uninterruptible"):
        with suppress(OSError), open(f"/proc/{pid}/wchan") as file:  # not Linux, or the kernel does not allow reading it
            place = file.read().strip()
    return state, "" if place in _NO_PLACE else place


def _thread_named(name: str) -> int | None:
    """Return the id of the thread with a name that is at work.

    It is None if several have the name, because two runs are in progress in this process. An idle runner has such threads, too.
    """
    from treadle.execution.executors.threads import ThreadPool

    frames = sys._current_frames()  # noqa: SLF001 - documented in spite of its name (sys)
    idle = ThreadPool.work.__code__
    named = [thread.ident for thread in threading.enumerate() if thread.name == name and thread.ident is not None]
    found = [ident for ident in named if ident in frames and frames[ident].f_code is not idle]
    return found[0] if len(found) == 1 else None


def _place_of_thread(ident: int | None) -> str:
    """Return the function, file and line that a thread is executing; empty if unknown."""
    if ident is None:
        return ""
    frame = sys._current_frames().get(ident)  # noqa: SLF001 - documented in spite of its name (sys)
    return f"{frame.f_code.co_name}, {frame.f_code.co_filename}:{frame.f_lineno}" if frame is not None else ""
