"""The serial executor: one worker, this thread. A step of work happens inside `wait`."""

from __future__ import annotations

import os
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

from treadle.execution.exchange import LocalValues
from treadle.execution.executor import Capabilities, ExecutorEvent, Report, WorkerUp
from treadle.execution.executors.in_process import job_steps
from treadle.execution.handles import Handle, Local
from treadle.execution.job import MAIN
from treadle.execution.placement import SHARED, Placement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from treadle.execution.material import RunMaterial
    from treadle.execution.scheduling.instructions import RunJob


class SerialExecutor:
    """Run every job in the thread that waits."""

    capabilities = Capabilities(processes=False, cancels_running=False, queues=False)

    def __init__(self) -> None:
        self._run = 0
        self._jobs: deque[RunJob] = deque()
        self._steps: Iterator[Report] | None = None
        self._announced = False

    def label(self, worker: int) -> str:
        """Return the worker's label."""
        return "main" if worker == MAIN else f"worker-{worker}"

    def begin(self, run: RunMaterial) -> frozenset[int]:
        """Take a run in."""
        self._run += 1
        self._scope = run.scope(interruptible=True)
        self._values = LocalValues(run.copy_mode)
        self._announced = False
        run.start_plugins()
        return frozenset()

    def submit(self, job: RunJob) -> None:
        """Keep a job until `wait` comes to it."""
        self._jobs.append(job)

    def cancel(self, worker: int) -> None:
        """Nothing waits here that the loop does not know of: one job at a time is handed out."""

    def replace(self, worker: int) -> None:
        """A worker of this kind is never lost."""

    def kill(self, worker: int) -> None:
        """This thread cannot be ended."""

    def begun(self, worker: int, node: int) -> float | None:  # noqa: ARG002 - whoever asks is this thread
        """Return None: nothing runs while anybody asks."""
        return None

    def under_way(self) -> list[Report]:
        """Return nothing: `wait` ends as soon as a node begins."""
        return []

    def keep_turning(self, turns: Callable[[Callable[[], bool]], None]) -> None:
        """There is nothing else to do while a node runs."""

    def wait(self, timeout: float | None = None) -> list[ExecutorEvent]:
        """Do the next step: announce the worker, begin a node, or run it; where there is none, let the time pass."""
        if not self._announced:
            self._announced = True
            return [WorkerUp(MAIN, os.getpid(), 0)]
        if self._steps is None:
            if not self._jobs and timeout is not None:
                threading.Event().wait(timeout)
                return []
            job = self._jobs.popleft()
            self._steps = job_steps(
                self._run,
                self._scope,
                job,
                take=lambda dataset, last: self._values.take(dataset, last=last),
                keep=self._values.settle,
            )
        step = next(self._steps, None)
        if step is None:
            self._steps = None
            return []
        return [step]

    def put(self, dataset: int, value: Any) -> Placement:
        """Keep a value that the caller gives up."""
        self._values.adopt(dataset, value)
        return SHARED

    def transfer(self, dataset: int, worker: int) -> None:
        """Do nothing: no value is in one worker only."""

    def release(self, dataset: int, workers: tuple[int, ...] = ()) -> None:  # noqa: ARG002 - workers have no copies here
        """Forget a value."""
        self._values.drop(dataset)

    def size(self, dataset: int) -> int:  # noqa: ARG002 - values are objects here, and nobody counts their bytes
        """Return 0."""
        return 0

    def detach(self, dataset: int) -> Handle | None:
        """Hand a value over."""
        return Local(self._values.take(dataset, last=True)) if dataset in self._values else None

    def end(self) -> None:
        """Forget the run."""
        self._values.clear()
        self._jobs.clear()
        self._steps = None

    def close(self, *, kill: bool = False) -> None:
        """There is nothing to end."""
