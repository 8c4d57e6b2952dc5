"""End every process that came of a worker, whatever those processes do.

A process that a node started is recognised by any of three facts, and each covers what another misses:

- its ancestors: a worker adopts its orphaned descendants (PR_SET_CHILD_SUBREAPER in prctl(2)), so as long as the worker
  exists, even stopped, all of them are below it;
- its process group: every worker leads one of its own, which outlives the worker;
- a mark in its environment: programs inherit it, also those that started a session of their own.

Only the standard library is used, because the watchdog runs this module without Treadle (`watchdog.py`). State: none.
"""

from __future__ import annotations

import glob
import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

MARK_VARIABLE = "TREADLE_WORKER"
"""Environment variable of a worker's programs: the marks of the worker and, if runs are nested, of those around it."""

END_SECONDS = 2.0
"""How long processes that were sent SIGKILL are waited for: one in uninterruptible sleep ends only later."""

TRACKER_SECONDS = 1.0
"""How long resource trackers get to remove what the killed processes left in shared memory."""

EXEC_SECONDS = 0.02
"""How long a program may take from fork to exec."""

_PR_SET_CHILD_SUBREAPER = 36
_SEMAPHORES = "/dev/shm"  # noqa: S108 - where Linux keeps named semaphores (sem_overview(7))


class _Process(NamedTuple):
    parent: int
    group: int
    ended: bool


def pool_mark(scratch: str) -> str:
    """Return the mark that all workers of a pool have in common.

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


def lead_process_tree() -> None:
    """Make this process, a worker, the leader of a process group and the one that adopts its orphaned descendants."""
    os.setpgid(0, 0)
    # The group is not the terminal's foreground group: with these ignored, reading the terminal and changing its settings
    # fail at once; by default they would stop the process for as long as nobody continues it. Programs inherit this.
    signal.signal(signal.SIGTTIN, signal.SIG_IGN)
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # an old kernel refuses: group and mark remain


def mark_programs(mark: str) -> None:
    """Mark the programs that this process, a worker, is going to start."""
    os.environ[MARK_VARIABLE] = os.environ.get(MARK_VARIABLE, "") + mark


def end_tree(leaders: Collection[int], mark: str) -> None:
    """Kill workers and all that came of them.

    Resource trackers of multiprocessing and joblib are left to the end: once the others are gone they remove leaked
    semaphores and shared memory, and end by themselves.

    Args:
        leaders: process ids of the workers; one of this process is not killed, but what came of it is.
        mark: what the environment of a program of theirs contains.
    """
    deadline = time.monotonic() + END_SECONDS
    trackers: set[int] = set()
    looks = 2
    while looks and time.monotonic() < deadline:
        found = find_tree(leaders, mark)
        trackers = {pid for pid in found if _is_resource_tracker(pid)}
        if found == trackers:  # a program between fork and exec has no mark yet: it is looked for once more
            looks -= 1
            time.sleep(EXEC_SECONDS if looks else 0)
            continue
        looks = 2
        _kill(found - trackers)
        _wait_for_end(found - trackers, deadline)
    if trackers:
        _wait_for_end(trackers, time.monotonic() + TRACKER_SECONDS)
        _kill(trackers & find_tree(leaders, mark))


def end_descendants() -> None:
    """Kill what came of this process, a worker that ends; its resource trackers end when it does."""
    deadline = time.monotonic() + END_SECONDS
    while _has_children() and time.monotonic() < deadline:
        found = {pid for pid in find_tree([os.getpid()], "") if not _is_resource_tracker(pid)}
        if not found:
            return
        _kill(found)
        _wait_for_end(found, deadline)


def remove_semaphores(owner: int) -> None:
    """Remove the named semaphores that loky made in a process that was killed, if nothing else does.

    Its resource tracker does, unless whatever killed the process killed the tracker, too.

    Args:
        owner: id of the process, which has ended.
    """
    deadline = time.monotonic() + TRACKER_SECONDS
    while (left := glob.glob(f"{_SEMAPHORES}/sem.loky-{owner}-*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    for path in left:
        with suppress(FileNotFoundError):
            os.unlink(path)


def find_tree(leaders: Collection[int], mark: str) -> set[int]:
    """Find workers and all that came of them.

    Args:
        leaders: process ids of the workers.
        mark: what the environment of a program of theirs contains; no program is looked for where it is empty.

    Returns:
        Process ids, without this process's own and without zombies.
    """
    table = _processes()
    children: dict[int, list[int]] = {}
    for pid, process in table.items():
        children.setdefault(process.parent, []).append(pid)
    found: set[int] = set()
    to_visit = [pid for pid, process in table.items() if pid in leaders or process.group in leaders]
    if mark:
        to_visit += [pid for pid in table if _has_mark(pid, mark.encode())]
    while to_visit:
        pid = to_visit.pop()
        if pid not in found:
            found.add(pid)
            to_visit += children.get(pid, ())
    return {pid for pid in found if not table[pid].ended and pid != os.getpid()}


def _processes() -> dict[int, _Process]:
    """Return the processes of this machine by their ids."""
    if not os.path.isdir("/proc/self"):
        return _processes_from_ps()
    table = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:  # it may have ended meanwhile
                # pid (name) state parent group …; the name may have spaces and brackets in it
                state, parent, group = file.read().rpartition(b")")[2].split()[:3]
                table[int(name)] = _Process(int(parent), int(group), state in (b"Z", b"X"))
    return table


def _processes_from_ps() -> dict[int, _Process]:
    words = ["ps", "-A", "-o", "pid=,ppid=,pgid=,stat="]
    listed = subprocess.run(words, stdout=subprocess.PIPE, check=True, text=True).stdout  # noqa: S603 - fixed words
    rows = [line.split() for line in listed.splitlines()]
    return {int(pid): _Process(int(parent), int(group), state.startswith("Z")) for pid, parent, group, state in rows}


def _has_children() -> bool:
    """Say whether this process has children, zombies included; True where the system does not tell it cheaply."""
    try:
        tasks = os.listdir("/proc/self/task")
        for task in tasks:
            with suppress(ProcessLookupError), open(f"/proc/self/task/{task}/children", "rb") as file:
                if file.read(1):
                    return True
    except OSError:  # no /proc, or a kernel without CONFIG_PROC_CHILDREN
        return True
    return False


def _has_mark(pid: int, mark: bytes) -> bool:
    with suppress(OSError), open(f"/proc/{pid}/environ", "rb") as file:  # others' processes do not show it; macOS has none
        return mark in file.read()
    return False


def _is_resource_tracker(pid: int) -> bool:
    with suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:
        return b"resource_tracker import main" in file.read()
    return False


def _kill(pids: Iterable[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):  # a program with another user's rights cannot be killed
            os.kill(pid, signal.SIGKILL)


def _wait_for_end(pids: Iterable[int], deadline: float) -> None:
    """Wait until processes have ended, at most until the deadline on the monotonic clock."""
    if not hasattr(os, "pidfd_open"):
        time.sleep(0.01)  # the caller looks again
        return
    for pid in pids:
        try:
            fd = os.pidfd_open(pid)
        except OSError:  # it has ended
            continue
        try:
            poll = select.poll()
            poll.register(fd, select.POLLIN)
            poll.poll(max(0.0, deadline - time.monotonic()) * 1000)
        finally:
            os.close(fd)
