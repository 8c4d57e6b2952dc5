"""The thread pool: workers are threads of this process, which share its memory and its imports.

Each worker has its own job queue; all of them report through one queue. The thread that waits for reports returns the jobs that
are queued behind a long node. Threads cannot be killed: after an interrupt, a running node continues until it returns, and the
threads, being daemons, do not delay the end of the process.
State: the threads, and the current run. Runs in the parent.
"""

from __future__ import annotations

import contextvars
import os
import threading
import time
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from treadle.execution.attempt.failure import record_failure
from treadle.execution.executors.events import Report, WorkerDown, WorkerUp
from treadle.execution.executors.executor import Executor
from treadle.execution.executors.in_process import failed_outside, job_steps
from treadle.execution.executors.local_store import LocalStore
from treadle.execution.executors.mailbox import Mailbox
from treadle.execution.executors.protocol import Capabilities
from treadle.execution.protocol.messages import Cancel, Finished, Job, JobsReturned, Started

if TYPE_CHECKING:
    from collections.abc import Iterator

    from treadle.execution.executors.events import PoolEvent
    from treadle.execution.packing.bundle import RunBundle
    from treadle.execution.protocol.messages import Release, Transfer
    from treadle.execution.values.transfer import LocalValues


_MONITOR_SECONDS = 0.01
"""How long a node may run before the jobs that are queued behind it are returned."""


class _Run:
    """The state of one run, separate for each run, so that a late thread of an earlier run cannot affect the next one."""

    def __init__(self, number: int, bundle: RunBundle, values: LocalValues) -> None:
        self.number = number
        self.context = bundle.context(interruptible=False)
        self.reports_starts = bundle.reports_starts
        self.values = values
        self.outbox: Mailbox[PoolEvent] = Mailbox()
        """What the workers report."""
        self.events: list[PoolEvent] = []
        """What was read from the outbox and not returned yet, because an interrupt came."""
        self.running: dict[int, Started] = {}
        """The node that each worker is running."""
        self.ran: dict[int, Started] = {}
        """The node that each worker was running when the queues were checked last."""
        self.checked = 0.0
        """When that was, by the monotonic clock."""
        self.submitted = 0
        self.cancelled: dict[int, int] = {}  # worker -> the last job number at the time of the Cancel


class _Worker:
    """One thread and its job queue."""

    def __init__(self, number: int, pool: ThreadPool) -> None:
        self.number = number
        self.died = False
        """True if its thread has ended, or is about to, because of an error outside of any attempt."""
        self.inbox: SimpleQueue[tuple[contextvars.Context, _Run, int, Job] | None] = SimpleQueue()
        self.thread = threading.Thread(target=pool.work, args=(self,), name=f"thread-{number}", daemon=True)

    def take_queued(self, run: _Run) -> tuple[int, ...]:
        """Remove the queued jobs of a run, and return their nodes. Called by the only thread that adds jobs."""
        items = []
        with suppress(Empty):
            while True:
                items.append(self.inbox.get_nowait())
        nodes: list[int] = []
        for item in items:
            if item is not None and item[1] is run:
                nodes += item[3].nodes
            else:
                self.inbox.put(item)
        return tuple(nodes)


def _unreported() -> tuple[Report, ...]:
    """Return nothing: a thread reports a node as soon as it has finished."""
    return ()


class ThreadPool:
    """Run jobs in threads.

    Args:
        max_workers: number of threads.
        store: the values of the run.
    """

    capabilities = Capabilities(
        processes=False, can_kill=False, queues=True, label="thread", sets_up_project=False, unreported=_unreported
    )

    def __init__(self, max_workers: int, store: LocalStore) -> None:
        self._store = store
        self._current: _Run | None = None
        self._max_workers = max_workers
        self._workers: dict[int, _Worker] = {}

    def _start(self, number: int) -> None:
        worker = self._workers[number] = _Worker(number, self)
        worker.thread.start()

    @property
    def _run(self) -> _Run:
        if self._current is None:
            msg = "no run has started on this executor"
            raise RuntimeError(msg)
        return self._current

    def start(self, number: int, run: RunBundle) -> frozenset[int]:
        """Start a run, and the threads that are missing: not before, as the runner must have the executor to close it."""
        self._current = _Run(number, run, self._store.values)
        run.start_plugins()
        for worker in range(1, self._max_workers + 1):
            if worker not in self._workers or self._workers[worker].died:
                self._start(worker)
            self._run.outbox.put(WorkerUp(worker, os.getpid(), 0))
        return frozenset()

    def send(self, worker: int, *commands: Job | Transfer | Release | Cancel) -> None:
        """Queue jobs for their worker, with the caller's context variables; a Cancel marks the queued jobs to be returned."""
        run = self._run
        for command in commands:
            if type(command) is Job:
                for job in command.separate():
                    run.submitted += 1
                    self._workers[worker].inbox.put((contextvars.copy_context(), run, run.submitted, job))
            elif isinstance(command, Cancel):
                run.cancelled[worker] = run.submitted

    def flush(self) -> None:
        """Do nothing: commands are not buffered."""

    def wait(self, timeout: float | None = None) -> list[PoolEvent]:
        """Block until a worker reports, for at most `timeout` seconds, and return all reports."""
        if self._current is None:  # an interrupt came before the run had begun
            return []
        run, deadline = self._current, None if timeout is None else time.monotonic() + timeout
        while not run.events:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if any(not worker.inbox.empty() for worker in self._workers.values()):
                left = _MONITOR_SECONDS if left is None else min(left, _MONITOR_SECONDS)
            run.outbox.wait(left)
            is_woken = run.outbox.handle_all(run.events.append)
            run.events += self._return_queued_jobs()
            if is_woken or (deadline is not None and time.monotonic() >= deadline):
                break
        events, run.events = run.events, []
        return events

    def _return_queued_jobs(self) -> list[Report]:
        """Return the jobs that are queued behind a node which was running at the last check already, so that others run them."""
        run, now = self._run, time.monotonic()
        if now - run.checked < _MONITOR_SECONDS:
            return []
        before, run.ran, run.checked = run.ran, dict(run.running), now
        long = [self._workers[number] for number, node in run.ran.items() if before.get(number) is node]
        returned = [(worker.number, worker.take_queued(run)) for worker in long if not worker.inbox.empty()]
        return [Report(number, JobsReturned(run.number, nodes)) for number, nodes in returned if nodes]

    def wake(self) -> None:
        """End a `wait` that another thread is in."""
        if (run := self._current) is not None:
            run.outbox.wake()

    def running(self) -> dict[int, Started]:
        """Return the node that each thread is running now."""
        return dict(self._current.running) if self._current is not None else {}

    def kill(self, worker: int) -> None:
        """Do nothing: a thread cannot be killed."""

    def worn(self) -> list[int]:
        """Return nothing: these workers are not replaced."""
        return []

    def retire(self, worker: int) -> None:
        """Do nothing: these workers are not replaced."""

    def restart(self, worker: int) -> None:
        """Start a thread that replaces one that died."""
        self._start(worker)
        self._run.outbox.put(WorkerUp(worker, os.getpid(), 0))

    def end(self) -> None:
        """End the run; a node that still runs after an interrupt keeps the values of its own run, and no later one starts."""
        if (run := self._current) is not None:
            run.cancelled = dict.fromkeys(self._workers, run.submitted)
            self._current = None

    def close(self, *, kill: bool = False) -> None:
        """Stop the threads when their jobs are done; wait for them unless `kill`."""
        for worker in self._workers.values():
            worker.inbox.put(None)
        if not kill:
            for worker in self._workers.values():
                worker.thread.join()

    def work(self, worker: _Worker) -> None:
        """Run the jobs of a worker until it is stopped: the target of its thread."""
        while (item := worker.inbox.get()) is not None:
            context, run, sequence, job = item
            try:
                context.run(_run_job, run, sequence, worker.number, job)
            except BaseException as exc:  # noqa: BLE001 - without a report, the run would wait for this job forever
                down = WorkerDown(worker.number, os.getpid(), None, None, None, 0, None, record_failure(exc, phase="setup"))
                worker.died = True
                run.outbox.put(down)
                return
            del context, run, job, item  # a waiting thread must not keep objects of a run alive


def _run_job(run: _Run, sequence: int, worker: int, job: Job) -> None:
    """Run a job and report each step; an error outside of any attempt fails the node that was current."""
    left, started = list(job.nodes), time.time()
    try:
        for report in _steps(run, sequence, worker, job):
            fact = report.fact
            if type(fact) is Started:
                run.running[worker] = fact
                if not run.reports_starts:
                    continue
            else:
                run.running.pop(worker, None)
                if type(fact) is Finished:
                    left.remove(fact.node)
                else:  # the job has ended
                    left.clear()
            run.outbox.put(report)
    except BaseException as exc:  # another thread can raise an exception in this one at any point
        run.running.pop(worker, None)
        if not left:
            raise
        run.outbox.put(Report(worker, failed_outside(run.number, left[0], started, exc, tuple(left[1:]))))


def _steps(run: _Run, sequence: int, worker: int, job: Job) -> Iterator[Report]:
    return job_steps(
        run.number,
        run.context,
        worker,
        job,
        load_input=lambda dataset, last: run.values.load_input(dataset, last=last),
        keep=run.values.store_output,
        cancelled=lambda: sequence <= run.cancelled.get(worker, 0),
        label=f"thread-{worker}",
    )


def thread_executor(max_workers: int) -> Executor:
    """Make an executor that runs jobs in `max_workers` threads."""
    store = LocalStore()
    return Executor(ThreadPool(max_workers, store), store)
