"""Ask the nanny of a dask worker how the worker's process ended, which only the nanny's log says; or have it end the process.

State: none. Runs on the event loop of the client; `kill_worker` runs in nannies.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
from typing import TYPE_CHECKING, Any

from treadle.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

_ATTEMPTS, _PAUSE_SECONDS = 60, 0.05
"""The connection to a process ends before its nanny notices its death: on a busy machine, a second before."""
_ANSWER_SECONDS = 30.0
"""How long to wait for an answer of a nanny, and how long to ask again: its machine may be busy. A nanny that is gone is given up
sooner, when connecting to it fails."""


class Exit(NamedTuple):
    """How a process ended: its exit code (negative for a signal; None if it is unknown), and why, if dask ended it itself."""

    code: int | None = None
    reason: str | None = None


def exit_in(lines: Iterable[str], pid: int) -> Exit:
    """Find the end of a process in the log of a nanny.

    Args:
        lines: messages of the log.
        pid: id of the process.
    """
    code = reason = None
    for line in lines:
        if (found := re.search(rf"Worker process {pid} (was killed by signal|exited with status) (\d+)", line)) is not None:
            code = -int(found[2]) if "signal" in found[1] else int(found[2])
        elif (found := re.search(rf"\(pid={pid}\) exceeded (\d+)% memory budget", line)) is not None:
            reason = (
                f"Dask ended it, because its memory exceeded {found[1]} % of the limit of a worker. Start workers with more "
                "memory (--memory-limit), or let the node process its data in parts."
            )
    return Exit(code, reason)


def describe_exit_of(pid: int, code: int) -> str:
    """Return the line about the end of a process that a nanny logs.

    Args:
        pid: id of the process.
        code: its exit code, negative for a signal.
    """
    return f"Worker process {pid} " + (f"exited with status {code}" if code >= 0 else f"was killed by signal {-code}")


async def ask_nanny(nanny: Any, pid: int) -> Exit:
    """Ask a nanny how a process of its worker ended.

    Args:
        nanny: a connection to the nanny.
        pid: id of the process.
    """
    found, clock = Exit(), asyncio.get_running_loop().time
    last = clock() + _ANSWER_SECONDS
    for _attempt in range(_ATTEMPTS):
        try:
            log = await asyncio.wait_for(nanny.get_logs(), _ANSWER_SECONDS)
        except (OSError, asyncio.TimeoutError):
            return found
        found = exit_in((message for _level, message in log), pid)
        if found.code is not None or clock() > last:
            return found
        await asyncio.sleep(_PAUSE_SECONDS)
    return found


def kill_worker(dask_worker: Any, pid: int) -> None:
    """Kill a worker's process from its nanny: the nanny itself would give the process four seconds first.

    Args:
        dask_worker: the nanny, which dask passes by this name.
        pid: id of the process; nothing happens if the worker has another one by now.
    """
    if dask_worker.pid == pid:
        os.kill(pid, signal.SIGKILL)
