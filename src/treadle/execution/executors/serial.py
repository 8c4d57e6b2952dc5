"""The serial pool: its one worker is the thread that calls `wait`, which runs the next step of a job.

State: the jobs of one run. Runs in the parent.
"""

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
from treadle.execution.processes.safe_points import safe_point
from treadle.execution.protocol.messages import MAIN, Cancel, Finished, Job, Started

if TYPE_CHECKING:
    from collections.abc import Iterator

    from treadle.execution.executors.events import PoolEvent
    from treadle.execution.packing.bundle import RunBundle
    from treadle.execution.protocol.messages import Release, Transfer


class SerialPool:
    """One worker, MAIN: the thread that calls `wait`.

    Args:
        store: the values of the run.
    """

    capabilities = Capabilities(
        processes=False, can_kill=False, queues=False, label="main", concurrent=False, sets_up_project=False
    )

    def __init__(self, store: LocalStore) -> None:
        self._store = store
        self._number = 0
        self._jobs: deque[tuple[int, Job]] = deque()  # with their numbers
        self._submitted = 0
        self._cancelled = 0  # the last job number at the time of a Cancel
        self._steps: Iterator[Report] | None = None  # those left of the current job
        self._last_node = -1  # of that job
        self._announced = False
        self._woken = threading.Event()

    def start(self, number: int, run: RunBundle) -> frozenset[int]:
        """Start a run."""
        self._number = number
        self._context = run.context(interruptible=True)
        self._reports_starts = run.reports_starts
        self._announced = False
        run.start_plugins()
        return frozenset()

    def send(self, worker: int, *commands: Job | Transfer | Release | Cancel) -> None:  # noqa: ARG002 - there is one worker
        """Queue jobs for `wait`, or return them; other commands have no effect, because this worker holds no copies."""
        for command in commands:
            if isinstance(command, Job):
                self._submitted += 1
                self._jobs.append((self._submitted, command))
            elif isinstance(command, Cancel):
                self._cancelled = self._submitted

    def flush(self) -> None:
        """Do nothing: commands are not buffered."""

    def wait(self, timeout: float | None = None) -> list[PoolEvent]:
        """Run the next step: report the worker, report the start of a node if an observer receives it, or run the node.

        If there is no step, wait for the timeout.
        """
        if not self._announced:
            self._announced = True
            return [WorkerUp(MAIN, os.getpid(), 0)]
        if self._steps is None:
            if not self._jobs and timeout is not None:
                with safe_point():
                    self._woken.wait(timeout)
                self._woken.clear()
                return []
            values, (number, job) = self._store.values, self._jobs.popleft()
            self._last_node = job.nodes[-1]
            self._steps = job_steps(
                self._number,
                self._context,
                MAIN,
                job,
                load_input=lambda dataset, last: values.load_input(dataset, last=last),
                keep=values.store_output,
                cancelled=lambda: number <= self._cancelled,
            )
        step = next(self._steps)
        if type(step.fact) is Started and not self._reports_starts:
            step = next(self._steps)
        fact = step.fact
        if type(fact) is not Started and (type(fact) is not Finished or fact.node == self._last_node):
            self._steps = None  # this was the last step of the job
        return [step]

    def wake(self) -> None:
        """End the wait for a timeout, such as that until the next attempt of a node; a step is not interrupted."""
        self._woken.set()

    def running(self) -> dict[int, Started]:
        """Return nothing: the calling thread is the worker, so it is not inside a node."""
        return {}

    def kill(self, worker: int) -> None:
        """Do nothing: this thread cannot be killed."""

    def worn(self) -> list[int]:
        """Return nothing: these workers are not replaced."""
        return []

    def retire(self, worker: int) -> None:
        """Do nothing: these workers are not replaced."""

    def restart(self, worker: int) -> None:
        """Do nothing: this thread is never lost."""

    def end(self) -> None:
        """End the run."""
        self._jobs.clear()
        self._steps = None

    def close(self, *, kill: bool = False) -> None:
        """Do nothing: there are no workers to stop."""


def serial_executor() -> Executor:
    """Make an executor that runs every job in the thread that calls `wait`."""
    store = LocalStore()
    return Executor(SerialPool(store), store)
