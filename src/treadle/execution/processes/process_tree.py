"""Kill a worker together with every process that its nodes started.

A process is recognised as a worker's descendant in three ways, because each one misses some processes:

- its ancestors: a worker adopts its orphaned descendants (PR_SET_CHILD_SUBREAPER in prctl(2)), so all of them are its
  descendants in the process table as long as it exists, even when it is stopped;
- its process group: every worker leads a process group, which outlives the worker;
- a mark in its environment: programs inherit it, including programs that started a new session.

Used by the parent, the workers and the watchdog. The watchdog runs this module without Treadle (`watchdog.py`), so it imports
only the standard library. State: none.
"""

from __future__ import annotations

import os
import select
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

MARK_VARIABLE = "TREADLE_WORKER"
"""Environment variable of a worker's programs: the mark of the worker and, in a nested run, the marks of the outer workers."""

END_SECONDS = 2.0
"""How long to wait for processes that were sent SIGKILL. A process in uninterruptible sleep may end later."""

LEAST_ROUNDS, LEAST_SECONDS = 4, 0.1
"""How many rounds of searching and killing there are at least, and how long each waits at least: this process itself may get no
CPU for seconds, after which the processes still have to be killed."""

TRACKER_SECONDS = 5.0
"""How long to wait for resource trackers to remove the shared memory of the killed processes; if they are killed, it stays."""

EXEC_SECONDS = 0.02
"""How long to wait for a forked child to call exec."""


class _Process:  # a named tuple of `typing` is slow to create, and Treadle's own cannot be imported here
    __slots__ = ("ended", "group", "parent")

    def __init__(self, parent: int, group: int, *, ended: bool) -> None:
        self.parent = parent
        self.group = group
        self.ended = ended


def pool_mark(scratch: str) -> str:
    """Return the mark that all workers of a pool share: the common prefix of their marks.

    Args:
        scratch: path of the pool's scratch directory, whose name is unique.
    """
    return f"{os.path.basename(scratch)}."


def worker_mark(scratch: str, number: int) -> str:
    """Return the mark of one worker.

    Args:
        scratch: path of the pool's scratch directory.
        number: the worker's number.
    """
    return f"{pool_mark(scratch)}{number}."


def end_tree(leaders: Collection[int], *marks: str) -> None:
    """Kill workers and all their descendants.

    Resource trackers of multiprocessing and joblib are killed last. When the other processes have ended, the trackers remove
    leaked semaphores and shared memory and normally exit.

    Args:
        leaders: process ids of the workers. If this process is one of them, only its descendants are killed.
        marks: texts of which the programs that the workers started have one in their environment.
    """
    trackers: set[int] = set()
    searches_left = 2
    for until in _rounds():
        found = find_tree(leaders, *marks)
        trackers = {pid for pid in found if _is_resource_tracker(pid)}
        if found == trackers:  # search once more: a child between fork and exec does not have the mark yet
            searches_left -= 1
            if not searches_left:
                break
            time.sleep(EXEC_SECONDS)
            continue
        searches_left = 2
        _kill(found - trackers)
        _wait_for_end(found - trackers, until)
    if trackers:
        _wait_for_end(trackers, time.monotonic() + TRACKER_SECONDS)
        _kill(trackers & find_tree(leaders, *marks))


def end_descendants() -> None:
    """Kill the descendants of this worker process, which is about to exit. Its resource trackers exit when it does."""
    for until in _rounds():
        found = {pid for pid in find_tree([os.getpid()]) if not _is_resource_tracker(pid)} if _has_children() else set()
        if not found:
            return
        _kill(found)
        _wait_for_end(found, until)


def _rounds() -> Iterator[float]:
    """Yield the end of the wait of each round of killing, by the monotonic clock, until `END_SECONDS` are over."""
    deadline, count = time.monotonic() + END_SECONDS, 0
    while count < LEAST_ROUNDS or time.monotonic() < deadline:
        count += 1
        yield max(deadline, time.monotonic() + LEAST_SECONDS)


def find_tree(leaders: Collection[int], *marks: str) -> set[int]:
    """Find workers and all their descendants.

    Args:
        leaders: process ids of the workers.
        marks: texts of which the programs that the workers started have one in their environment; none to search by ancestor and
            group only.

    Returns:
        Process ids, without this process and without zombies. The workers alone, if the processes of this machine cannot be
        listed, because this process may open no more files.
    """
    table = _processes()
    if os.getpid() not in table:
        return {pid for pid in leaders if pid != os.getpid()}
    children: dict[int, list[int]] = {}
    for pid, process in table.items():
        children.setdefault(process.parent, []).append(pid)
    found: set[int] = set()
    to_visit = [pid for pid, process in table.items() if pid in leaders or process.group in leaders]
    if marks:
        encoded = [mark.encode() for mark in marks]
        to_visit += [pid for pid in table if _has_mark(pid, encoded)]
    while to_visit:
        pid = to_visit.pop()
        if pid not in found:
            found.add(pid)
            to_visit += children.get(pid, ())
    return {pid for pid in found if not table[pid].ended and pid != os.getpid()}


def _processes() -> dict[int, _Process]:
    """Return the processes of this machine by process id; none if they cannot be listed."""
    if not os.path.isdir("/proc/self"):
        return _processes_from_ps()
    table: dict[int, _Process] = {}
    try:
        names = os.listdir("/proc")
    except OSError:  # no more open files allowed
        return table
    for name in names:
        if name.isdigit():
            with suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:  # the process may have ended meanwhile
                # Format: pid (name) state parent group …; the name may contain spaces and brackets.
                state, parent, group = file.read().rpartition(b")")[2].split()[:3]
                table[int(name)] = _Process(int(parent), int(group), ended=state in (b"Z", b"X"))
    return table


def _processes_from_ps() -> dict[int, _Process]:
    import subprocess  # slow to import, and not needed on Linux

    words = ["ps", "-A", "-o", "pid=,ppid=,pgid=,stat="]
    listed = subprocess.run(words, stdout=subprocess.PIPE, check=True, text=True).stdout  # noqa: S603 - fixed words
    rows = [line.split() for line in listed.splitlines()]
    return {int(pid): _Process(int(parent), int(group), ended=state.startswith("Z")) for pid, parent, group, state in rows}


def _has_children() -> bool:
    """Return whether this process has children, including zombies; True if there is no cheap way to find out."""
    try:
        tasks = os.listdir("/proc/self/task")
        for task in tasks:
            with suppress(ProcessLookupError), open(f"/proc/self/task/{task}/children", "rb") as file:
                if file.read(1):
                    return True
    except OSError:  # no /proc, or a kernel without CONFIG_PROC_CHILDREN
        return True
    return False


def _has_mark(pid: int, marks: Iterable[bytes]) -> bool:
    # Not readable for processes of other users; macOS does not have this file.
    with suppress(OSError), open(f"/proc/{pid}/environ", "rb") as file:
        environment = file.read()
        return any(mark in environment for mark in marks)
    return False


def _is_resource_tracker(pid: int) -> bool:
    with suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:
        return b"resource_tracker import main" in file.read()
    return False


def _kill(pids: Iterable[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):  # a program that changed its user cannot be killed
            os.kill(pid, signal.SIGKILL)


def _wait_for_end(pids: Iterable[int], deadline: float) -> None:
    """Wait until processes have ended, at most until the deadline on the monotonic clock. Without pidfd, only sleep briefly.

    The caller checks again.
    """
    if not hasattr(os, "pidfd_open"):
        time.sleep(0.01)
        return
    for pid in pids:
        try:
            fd = os.pidfd_open(pid)
        except ProcessLookupError:  # it has ended
            continue
        except OSError:  # no more open files allowed
            time.sleep(0.01)
            return
        try:
            poll = select.poll()
            poll.register(fd, select.POLLIN)
            poll.poll(max(0.0, deadline - time.monotonic()) * 1000)
        finally:
            os.close(fd)
