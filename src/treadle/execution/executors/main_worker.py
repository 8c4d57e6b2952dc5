"""The worker MAIN: the run's own thread, which runs the nodes that cannot run in the worker processes of a pool.

It runs one step of a job at a time, between iterations of the loop. While a node runs, another thread may run the loop
(`background_loop.py`). State: the jobs of one run. Runs in the parent.
Neighbours: `in_process.py` has the steps of a job, `executor.py` submits the jobs and calls for each step.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from treadle.execution.executors.events import Report
from treadle.execution.processes.safe_points import safe_point
from treadle.execution.protocol.messages import MAIN, JobsReturned, Started

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from treadle.execution.attempt.context import RunContext
    from treadle.execution.executors.protocol import ValueStore
    from treadle.execution.packing.bundle import RunBundle
    from treadle.execution.scheduling.instructions import RunJob


class MainWorker:
    """Run the jobs of the worker MAIN.

    Args:
        store: the inputs and outputs of its nodes.
        wake: ends the `wait` of the pool that another thread may be in.
    """

    def __init__(self, store: ValueStore, wake: Callable[[], None]) -> None:
        self._store = store
        self._wake = wake
        self._bundle: RunBundle | None = None
        self._context: RunContext | None = None  # made for the first job: in most runs, this worker has none
        self._jobs: deque[RunJob] = deque()
        self._steps: Iterator[Report] | None = None  # of the job that is running
        self._cancelled = False
        self._run_loop: Callable[[Callable[[], bool]], None] | None = None
        self.has_step = False
        """True if a step can be run now; stored, because the loop reads it at every iteration."""
        self.in_node = False
        """True while the run's thread runs a step, and another thread may run the loop."""
        self.running: Started | None = None
        """The start of the node that runs, None between nodes."""

    def begin(self, number: int, run: RunBundle, run_loop: Callable[[Callable[[], bool]], None] | None) -> None:
        """Start a run.

        Args:
            number: the run's number.
            run: the run.
            run_loop: runs the loop until a condition holds; called from another thread while a node runs.
        """
        self._number = number
        self._bundle = run
        self._context = None
        self._run_loop = run_loop

    def submit(self, job: RunJob) -> None:
        """Queue a job."""
        self._jobs.append(job)
        self.has_step = not self.in_node

    def cancel(self) -> list[RunJob]:
        """Remove and return the jobs that have not started; the rest of the running job is returned by its next step."""
        self._cancelled = True
        jobs = list(self._jobs)
        self._jobs.clear()
        self.has_step = self._steps is not None and not self.in_node
        return jobs

    def run_step(self) -> Report | None:
        """Run the next step of the current job, which may be a whole node.

        Returns:
            The report of the step; None if the job had no step left.
        """
        if self._steps is None:
            self._steps = self._start_job(self._jobs.popleft())
        step = None
        try:
            if self._run_loop is None:
                step = next(self._steps, None)
            else:
                from treadle.execution.executors.background_loop import BackgroundLoop

                self.in_node, self.has_step = True, False
                with BackgroundLoop(self._run_loop, self._wake):
                    step = next(self._steps, None)
        finally:
            self.in_node = False
            if step is None:
                self._steps = None
            fact = step.fact if step is not None else None
            self.running = fact if isinstance(fact, Started) else None
            self.has_step = self._steps is not None or bool(self._jobs)
        return step

    def _start_job(self, job: RunJob) -> Iterator[Report]:
        self._cancelled = False
        with safe_point():
            context = self._open()
        made = {dataset for node in job.nodes for dataset in context.outputs[node]}
        used = dict.fromkeys(dataset for node in job.nodes for dataset in context.inputs[node] if dataset not in made)
        with safe_point():
            is_fetched = self._store.fetch([dataset for dataset in used if context.in_memory[dataset]])
        if not is_fetched:
            yield Report(MAIN, JobsReturned(self._number, job.nodes))  # its worker is lost, and the value is made again
            return
        from treadle.execution.executors.in_process import job_steps  # imported late: few runs have nodes for this process

        yield from job_steps(
            self._number,
            context,
            MAIN,
            job,
            load_input=self._load_input,
            store_output=self._store.store_output,
            cancelled=lambda: self._cancelled,
        )

    def _open(self) -> RunContext:
        """Return the run as nodes of this process need it, with its plugins started here."""
        if self._bundle is None:
            msg = "no run has started on this executor"
            raise RuntimeError(msg)
        self._bundle.start_plugins()
        if self._context is None:
            self._context = self._bundle.context(interruptible=True)
        return self._context

    def _load_input(self, dataset: int, last: bool) -> Any:  # noqa: FBT001 - the signature that job_steps calls
        return self._store.load_input(dataset, last=last)

    def end(self) -> None:
        """End the run."""
        self._bundle = None
        self._context = None
        self._jobs.clear()
        self._steps = None
        self._run_loop = None
        self.running = None
        self.has_step = False
