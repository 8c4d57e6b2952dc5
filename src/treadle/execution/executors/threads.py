"""The thread executor: workers are threads of this process, which share its memory and its imports.

Each worker has a queue of its own; reports come back through one. Threads cannot be killed: after an interrupt a node
that runs goes on until it returns, and the threads, being daemons, do not hold up the end of the process.
"""

from __future__ import annotations

import contextvars
import os
import threading
import time
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from treadle.execution.exchange import LocalValues
from treadle.execution.executor import Capabilities, ExecutorEvent, Report, WorkerDown, WorkerUp
from treadle.execution.executors.in_process import failed_outside, job_steps
from treadle.execution.failure import record_failure
from treadle.execution.handles import Handle, Local
from treadle.execution.job import Dropped, Failed, Finished, Started
from treadle.execution.placement import SHARED, Placement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from treadle.execution.material import RunMaterial
    from treadle.execution.scheduling.instructions import RunJob


class _Run:
    """One run as its jobs see it: a thread that is late with one touches nothing of the next."""

    def __init__(self, number: int, material: RunMaterial) -> None:
        self.number = number
        self.scope = material.scope(interruptible=False)
        self.values = LocalValues(material.copy_mode)
        self.outbox: SimpleQueue[ExecutorEvent] = SimpleQueue()
        self.submitted = 0
        self.cancelled: dict[int, int] = {}  # worker -> number of the job that was submitted last when it was cancelled


class _Worker:
    """One thread and what waits for it."""

    def __init__(self, number: int, executor: ThreadExecutor) -> None:
        self.number = number
        self.died = False
        """Its thread has ended, or is about to, because of an error outside of any attempt."""
        self.inbox: SimpleQueue[tuple[contextvars.Context, _Run, int, RunJob] | None] = SimpleQueue()
        self.thread = threading.Thread(target=executor.work, args=(self,), name=executor.label(number), daemon=True)


class ThreadExecutor:
    """Run jobs in threads.

    Args:
        max_workers: number of threads.
    """

    capabilities = Capabilities(processes=False, cancels_running=False, queues=False)

    def __init__(self, max_workers: int) -> None:
        self._runs = 0
        self._current: _Run | None = None
        self._workers: dict[int, _Worker] = {}
        try:
            for number in range(1, max_workers + 1):
                self._start(number)
        except BaseException:  # no more threads can be started
            self.close(kill=True)
            raise

    def _start(self, number: int) -> None:
        worker = _Worker(number, self)
        worker.thread.start()
        self._workers[number] = worker

    def label(self, worker: int) -> str:
        """Return the worker's label."""
        return f"thread-{worker}"

    @property
    def _run(self) -> _Run:
        if self._current is None:
            msg = "no run has begun on this executor"
            raise RuntimeError(msg)
        return self._current

    def begin(self, run: RunMaterial) -> frozenset[int]:
        """Take a run in."""
        self._runs += 1
        self._current = _Run(self._runs, run)
        run.start_plugins()
        for number, worker in list(self._workers.items()):
            if worker.died:
                self._start(number)
            self._run.outbox.put(WorkerUp(number, os.getpid(), 0))
        return frozenset()

    def submit(self, job: RunJob) -> None:
        """Put a job into its worker's queue, with the caller's context variables."""
        run = self._run
        run.submitted += 1
        self._workers[job.worker].inbox.put((contextvars.copy_context(), run, run.submitted, job))

    def cancel(self, worker: int) -> None:
        """Give back what the worker has not begun."""
        self._run.cancelled[worker] = self._run.submitted

    def replace(self, worker: int) -> None:
        """Start another thread in the place of one that died."""
        self._start(worker)
        self._run.outbox.put(WorkerUp(worker, os.getpid(), 0))

    def kill(self, worker: int) -> None:
        """A thread cannot be ended."""

    def begun(self, worker: int, node: int) -> float | None:  # noqa: ARG002 - nobody asks who cannot end it
        """Return None."""
        return None

    def under_way(self) -> list[Report]:
        """Return the starts among what has not been asked for; the rest of it is dropped."""
        outbox = self._run.outbox if self._current is not None else SimpleQueue()
        events = [outbox.get() for _ in range(outbox.qsize())]
        return [event for event in events if isinstance(event, Report) and isinstance(event.fact, Started)]

    def keep_turning(self, turns: Callable[[Callable[[], bool]], None]) -> None:
        """Nothing is ever done inside of `wait`: nodes run in threads of their own."""

    def wait(self, timeout: float | None = None) -> list[ExecutorEvent]:
        """Block until a worker reports, and return all that has been reported."""
        outbox = self._run.outbox
        try:
            events = [outbox.get(timeout=timeout)]
        except Empty:
            return []
        while not outbox.empty():
            events.append(outbox.get())
        return events

    def put(self, dataset: int, value: Any) -> Placement:
        """Keep a value that the caller gives up."""
        self._run.values.adopt(dataset, value)
        return SHARED

    def transfer(self, dataset: int, worker: int) -> None:
        """Do nothing: no value is in one worker only."""

    def release(self, dataset: int, workers: tuple[int, ...] = ()) -> None:  # noqa: ARG002 - workers have no copies here
        """Forget a value."""
        self._run.values.drop(dataset)

    def size(self, dataset: int) -> int:  # noqa: ARG002 - values are objects here, and nobody counts their bytes
        """Return 0."""
        return 0

    def detach(self, dataset: int) -> Handle | None:
        """Hand a value over."""
        values = self._run.values
        return Local(values.take(dataset, last=True)) if dataset in values else None

    def end(self) -> None:
        """Forget the run: a node that still runs after an interrupt keeps the old values to itself."""
        self._current = None

    def close(self, *, kill: bool = False) -> None:
        """Let the threads end, and wait for them unless they are to be left alone."""
        for worker in self._workers.values():
            worker.inbox.put(None)
        if not kill:
            for worker in self._workers.values():
                worker.thread.join()

    def work(self, worker: _Worker) -> None:
        """Live as a worker: the target of its thread."""
        while (item := worker.inbox.get()) is not None:
            context, run, sequence, job = item
            try:
                context.run(_run_job, run, sequence, job)
            except BaseException as exc:  # noqa: BLE001 - without a report, the run would wait for this job for ever
                down = WorkerDown(worker.number, os.getpid(), None, None, None, 0, record_failure(exc, phase="setup"))
                worker.died = True
                run.outbox.put(down)
                return
            del context, run, job, item  # while it waits, it keeps nothing of a run alive


def _run_job(run: _Run, sequence: int, job: RunJob) -> None:
    """Run a job and report each step; an error outside of an attempt is the failure of the node that it kept from its end."""
    left, begun = list(job.nodes), time.time()
    try:
        for report in _steps(run, sequence, job):
            if isinstance(report.fact, Finished):
                left.remove(report.fact.node)
            elif isinstance(report.fact, (Failed, Dropped)):
                left.clear()
            run.outbox.put(report)
    except BaseException as exc:  # an exception that another thread raised in this one arrives anywhere
        if not left:
            raise
        run.outbox.put(Report(job.worker, failed_outside(run.number, left[0], begun, exc, tuple(left[1:]))))


def _steps(run: _Run, sequence: int, job: RunJob) -> Iterator[Report]:
    return job_steps(
        run.number,
        run.scope,
        job,
        take=lambda dataset, last: run.values.take(dataset, last=last),
        keep=run.values.settle,
        cancelled=lambda: sequence <= run.cancelled.get(job.worker, 0),
        label=f"thread-{job.worker}",
    )
