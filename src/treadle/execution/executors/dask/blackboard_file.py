"""The blackboard of a dask worker: a file that says which nodes it runs and has finished, readable after the process has died.

A worker then reports short nodes in batches. Its nanny reads the file for the driver, or the driver itself if it sees the file. A
worker whose file could not be read later sends the start of each node before it runs it. State: the files. `make_blackboard` runs
in dask workers, `take_blackboard` in a nanny or in the driver, the rest in the driver. Neighbours: `job_runner.py` writes,
`link.py` reads.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from treadle.execution.processes.blackboard import Blackboard
from treadle.execution.protocol.messages import Started
from treadle.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from treadle.execution.processes.blackboard import FinishedNode

_PREFIX = "treadle-board-"
_STALE_SECONDS = 3600.0
"""Age of a blackboard after which it is removed if its process has ended."""
_READ_SECONDS = 30.0
"""How long a nanny may take to read the blackboard of its worker. Its disk may be slow, and without the blackboard, finished
nodes run again. A nanny that is gone is given up sooner, when connecting to it fails."""
_REMOVE_SECONDS = 3.0
"""How long a nanny may take if its answer is not needed."""


class BlackboardFile(NamedTuple):
    """A worker's blackboard and its file."""

    path: str
    blackboard: Blackboard

    def remove(self) -> None:
        """Remove the file; the process may still write."""
        with suppress(FileNotFoundError):
            os.unlink(self.path)


def make_blackboard(pool: str) -> BlackboardFile:
    """Make the blackboard of a pool in this process, and remove those of processes that died unread some time ago.

    Args:
        pool: id of the pool.
    """
    folder = tempfile.gettempdir()
    _remove_stale_files(folder)
    path = os.path.join(folder, f"{_PREFIX}{os.getuid()}-{os.getpid()}-{pool}")
    return BlackboardFile(path, Blackboard(path, 1))


def _remove_stale_files(folder: str) -> None:
    """Remove the old files of this user's processes that have ended; the driver may be about to read newer ones."""
    for path in Path(folder).glob(f"{_PREFIX}{os.getuid()}-*"):
        pid = path.name.removeprefix(f"{_PREFIX}{os.getuid()}-").partition("-")[0]
        try:
            os.kill(int(pid), 0)
        except ProcessLookupError:
            with suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > _STALE_SECONDS:
                    path.unlink()
        except (OSError, ValueError):
            continue  # not a process of this user


class BlackboardReader:
    """Reads the blackboard of a worker that has died.

    Args:
        path: the file on the worker's host.
        nanny: the address of the worker's nanny; None if it has none.
    """

    def __init__(self, path: str, nanny: str | None) -> None:
        self._path = path
        self.nanny = nanny
        """The address of the nanny; None if there is none, or it did not answer when the blackboard was read."""
        self.is_possible = os.path.exists(path) or nanny is not None
        """Whether the file can be read after the worker has died."""

    async def read(self, connect: Callable[[str], Any], seconds: float = _READ_SECONDS) -> bytes | None:
        """Return the content of the blackboard and remove its file; None if it cannot be read.

        Args:
            connect: opens a connection to an address, for an `async with`.
            seconds: how long to wait for the nanny's answer.
        """
        content = take_blackboard(self._path)
        if content is None and self.nanny is not None:
            try:
                async with connect(self.nanny) as nanny:
                    call = nanny.run(function=pickle.dumps(take_blackboard), kwargs=pickle.dumps({"path": self._path}))
                    content = (await asyncio.wait_for(call, seconds)).get("result")
            except (OSError, asyncio.TimeoutError):  # the host may be gone
                self.nanny = None
        return content

    async def remove(self, connect: Callable[[str], Any]) -> None:
        """Remove the file without using its content.

        Args:
            connect: opens a connection to an address, for an `async with`.
        """
        await self.read(connect, _REMOVE_SECONDS)


def last_nodes(content: bytes, run: int, reported: int) -> tuple[Started | None, list[FinishedNode]]:
    """Return what a dead worker did last.

    Args:
        content: its blackboard.
        run: number of the current run.
        reported: how many nodes it has reported as finished.

    Returns:
        The node that it was running, None if there was none; and the nodes that it had finished and not reported.
    """
    blackboard = Blackboard.of(content)
    entry = blackboard.read(0)
    started = Started(run, entry.node, entry.started) if entry.run == run and entry.node is not None else None
    return started, blackboard.finished_after(0, reported)


def ran_in(content: bytes, run: int) -> bool:
    """Return whether a dead worker had begun a node of a run.

    Args:
        content: its blackboard.
        run: number of the run.
    """
    return Blackboard.of(content).read(0).run == run


def take_blackboard(path: str) -> bytes | None:
    """Return the content of a dead worker's blackboard and remove the file; None if there is no file.

    Args:
        path: the file.
    """
    try:
        content = Path(path).read_bytes()
        os.unlink(path)
    except OSError:
        return None
    return content
