"""The worker MAIN beside a pool of processes: the run's own thread, for nodes that may not leave it.

It runs a step of a job at a time, between the turns of the loop. While a node lasts, another thread may run the loop in its
place (`background_loop.py`). State: the jobs of one run.
Neighbours: `in_process.py` knows the steps of a job, `executor.py` submits the jobs and says when a step is due.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from treadle.execution.executors.background_loop import BackgroundLoop
from treadle.execution.executors.in_process import job_steps
from treadle.execution.protocol.messages import MAIN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from treadle.execution.executors.events import Report
    from treadle.execution.executors.protocol import ValueStore
    from treadle.execution.packing.bundle import RunBundle
    from treadle.execution.scheduling.instructions import RunJob


class MainWorker:
    """Does the jobs of the worker MAIN.

    Args:
        store: has the values that its nodes take and make.
        wake: ends the wait that another thread may be in.
    """

    def __init__(self, store: ValueStore, wake: Callable[[], None]) -> None:
        self._store = store
        self._wake = wake
        self._material: RunBundle | None = None
        self._jobs: deque[RunJob] = deque()
        self._steps: Iterator[Report] | None = None  # of the job that is under way
        self._cancelled = False
        self._run_loop: Callable[[Callable[[], bool]], None] | None = None
        self.has_step = False
        """There is a step to do, and nobody is at one: kept, because the loop asks at every turn."""
        self.in_node = False
        """The run's thread is at a step, and another one may turn the loop."""

    def begin(self, number: int, run: RunBundle, run_loop: Callable[[Callable[[], bool]], None] | None) -> None:
        """Begin a run.

        Args:
            number: the run's number.
            run: the run.
            run_loop: runs the loop until a condition holds; called from another thread while a node lasts.
        """
        self._number = number
        self._material = run
        self._scope = run.scope(interruptible=True)
        self._run_loop = run_loop

    def submit(self, job: RunJob) -> None:
        """Take a job."""
        self._jobs.append(job)
        self.has_step = not self.in_node

    def cancel(self) -> list[RunJob]:
        """Give back the jobs that have not begun; the rest of the one that has is given back at its next step."""
        self._cancelled = True
        jobs = list(self._jobs)
        self._jobs.clear()
        self.has_step = self._steps is not None and not self.in_node
        return jobs

    def step(self) -> Report | None:
        """Do the next step, which may be a whole node.

        Returns:
            What came of it; None where the job had no step left.
        """
        if self._steps is None:
            self._steps = self._begin_job(self._jobs.popleft())
        step = None
        try:
            if self._run_loop is None:
                step = next(self._steps, None)
            else:
                self.in_node, self.has_step = True, False
                with BackgroundLoop(self._run_loop, self._wake):
                    step = next(self._steps, None)
        finally:
            self.in_node = False
            if step is None:
                self._steps = None
            self.has_step = self._steps is not None or bool(self._jobs)
        return step

    def _begin_job(self, job: RunJob) -> Iterator[Report]:
        self._cancelled = False
        if self._material is not None:
            self._material.start_plugins()
        return job_steps(
            self._number, self._scope, MAIN, job, take=self._take, give=self._store.give, cancelled=lambda: self._cancelled
        )

    def _take(self, dataset: int, last: bool) -> Any:  # noqa: FBT001 - as a job's steps call it
        return self._store.take(dataset, last=last)

    def end(self) -> None:
        """Forget the run."""
        self._material = None
        self._jobs.clear()
        self._steps = None
        self._run_loop = None
        self.has_step = False
