"""Send facts and log records of a pool's part in a dask worker to its driver: from any thread, in order, by the event loop.

State: what was not sent yet. Runs in dask workers. Neighbours: `hosted_pool.py` owns it.
"""

from __future__ import annotations

import asyncio
import pickle
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from treadle.forks import fork_safe

if TYPE_CHECKING:
    from treadle.execution.executors.dask.messages import InputsLost, RunFiles, ShutDown, TaskEnded
    from treadle.execution.protocol.messages import Fact

_BATCH = 64
"""Facts that are sent together at the most: the starts and ends of half the nodes that a blackboard has room for."""
_DELAY_SECONDS = 0.005
"""How long a fact waits for others."""


class Outbox:
    """The facts for a driver.

    Args:
        comm: the stream to the driver.
        loop: the event loop of the dask worker.
    """

    def __init__(self, comm: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._comm, self._loop = comm, loop
        self._facts: list[Any] = []
        self._lock = fork_safe(threading.Lock())
        self._writing = asyncio.Lock()
        self._is_flush_scheduled = self._is_timed = False
        self._is_closed = False

    def post(self, fact: Fact | InputsLost | RunFiles | ShutDown | TaskEnded) -> None:
        """Add a fact to the next message."""
        with self._lock:
            self._facts.append(fact)

    def post_soon(self, fact: Fact) -> None:
        """Send a fact together with others, within some milliseconds; wait if there are many. Not called by the event loop.

        Args:
            fact: the fact. The blackboard has what it says, in case this process dies before.
        """
        with self._lock:
            self._facts.append(fact)
            is_full, is_timed = len(self._facts) >= _BATCH, self._is_timed
            if not is_full:  # else no timer is started, and nothing would end this state
                self._is_timed = True
        if is_full and not self._is_closed:
            asyncio.run_coroutine_threadsafe(self._flush(), self._loop).result()
        elif not is_timed:
            self._loop.call_soon_threadsafe(self._loop.call_later, _DELAY_SECONDS, self._flush_in_time)

    def _flush_in_time(self) -> None:
        self._is_timed = False
        self.flush()

    def flush(self) -> None:
        """Have the event loop send what was posted."""
        with self._lock:
            scheduled, self._is_flush_scheduled = self._is_flush_scheduled, True
        if not scheduled and not self._is_closed:
            self._loop.call_soon_threadsafe(self._loop.create_task, self._flush())

    def send(self, fact: Fact | InputsLost | RunFiles | ShutDown | TaskEnded) -> None:
        """Send a fact soon."""
        self.post(fact)
        self.flush()

    def send_and_wait(self, fact: Fact) -> None:
        """Send a fact, and wait until it is on its way; not called by the event loop's own thread."""
        self.post(fact)
        if not self._is_closed:
            asyncio.run_coroutine_threadsafe(self._flush(), self._loop).result()

    async def send_last(self, fact: Fact) -> None:
        """Send a fact, and wait until it is on its way; called by the event loop's own thread."""
        self.post(fact)
        await self._flush()

    def close(self) -> None:
        """Send nothing more."""
        self._is_closed = True

    async def _flush(self) -> None:
        async with self._writing:
            with self._lock:
                facts, self._facts, self._is_flush_scheduled = self._facts, [], False
            if facts and not self._is_closed:
                with suppress(OSError):  # the driver is gone, and `HostedPool.listen` ends
                    await self._comm.write(pickle.dumps(facts, protocol=5))
