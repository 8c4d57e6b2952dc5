"""The serial pool: one worker, the thread that waits. A step of work happens inside `wait`. State: the jobs of one run."""

from __future__ import annotations

import os
import threading
from collections import deque
from typing import TYPE_CHECKING

from treadle.execution.executors.events import Report, WorkerUp
from treadle.execution.executors.executor import Executor
from treadle.execution.executors.in_process import job_steps
from treadle.execution.executors.local_store import LocalStore
from treadle.execution.executors.protocol import Capabilities
from treadle.execution.protocol.messages import MAIN, Job

if TYPE_CHECKING:
    from collections.abc import Iterator

    from treadle.execution.executors.events import PoolEvent
    from treadle.execution.packing.bundle import RunBundle
    from treadle.execution.protocol.messages import Cancel, Release, Started, Transfer


class SerialPool:
    """One worker, MAIN: the thread that waits.

    Args:
        store: has the values.
    """

    capabilities = Capabilities(processes=False, can_kill=False, queues=False, label="main")

    def __init__(self, store: LocalStore) -> None:
        self._store = store
        self._number = 0
        self._jobs: deque[Job] = deque()
        self._steps: Iterator[Report] | None = None
        self._announced = False

    def start(self, number: int, run: RunBundle) -> frozenset[int]:
        """Begin a run."""
        self._number = number
        self._scope = run.scope(interruptible=True)
        self._announced = False
        run.start_plugins()
        return frozenset()

    def send(self, worker: int, command: Job | Transfer | Release | Cancel) -> None:  # noqa: ARG002 - there is one worker
        """Keep a job until `wait` comes to it; other commands are about queues and copies, of which there are none."""
        if isinstance(command, Job):
            self._jobs.append(command)

    def flush(self) -> None:
        """Do nothing: nothing is sent."""

    def wait(self, timeout: float | None = None) -> list[PoolEvent]:
        """Run the next step: announce the worker, start a node, or run it; where there is none, let the time pass."""
        if not self._announced:
            self._announced = True
            return [WorkerUp(MAIN, os.getpid(), 0)]
        if self._steps is None:
            if not self._jobs and timeout is not None:
                threading.Event().wait(timeout)
                return []
            values = self._store.values
            self._steps = job_steps(
                self._number,
                self._scope,
                MAIN,
                self._jobs.popleft(),
                take=lambda dataset, last: values.take(dataset, last=last),
                keep=values.settle,
            )
        step = next(self._steps, None)
        if step is None:
            self._steps = None
            return []
        return [step]

    def wake(self) -> None:
        """Do nothing: no other thread waits here."""

    def running(self) -> dict[int, Started]:
        """Return nothing: whoever asks is the thread that would run a node."""
        return {}

    def kill(self, worker: int) -> None:
        """Do nothing: this thread cannot be ended."""

    def worn(self) -> list[int]:
        """Return nothing: these workers are not replaced."""
        return []

    def retire(self, worker: int) -> None:
        """Do nothing: these workers are not replaced."""

    def restart(self, worker: int) -> None:
        """Do nothing: this thread is never lost."""

    def end(self) -> None:
        """Forget the run."""
        self._jobs.clear()
        self._steps = None

    def close(self, *, kill: bool = False) -> None:
        """Do nothing: there is nothing to end."""


def serial_executor() -> Executor:
    """Make an executor that runs every job in the thread that waits."""
    store = LocalStore()
    return Executor(SerialPool(store), store)
