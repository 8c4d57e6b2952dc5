"""Run the jobs of a pool in a dask worker, in the threads of dask tasks. Neighbours: `hosted_pool.py` receives the jobs.

A task runs what has arrived and what arrives meanwhile, until nothing is left or its time is over. Before a node runs, its start
is on the blackboard, or in transit to the driver if the blackboard could not be read later: so the driver knows which node a
worker died in. State: the node that runs. Runs in dask workers.
"""

from __future__ import annotations

import asyncio
import logging
import os
import pickle
import threading
import time
from typing import TYPE_CHECKING, Any

from treadle.errors import WorkerSetupError
from treadle.execution.attempt.failure import record_failure
from treadle.execution.executors.dask.hosted_run import HostedRun
from treadle.execution.executors.dask.messages import InputsLost, RunFiles, TaskEnded
from treadle.execution.executors.in_process import job_steps
from treadle.execution.protocol.messages import Failed, Finished, Hello, Started
from treadle.execution.worker.forwarding import flush_forwarded
from treadle.execution.worker.open_run import BetweenRuns, OpenRun
from treadle.forks import fork_safe
from treadle.project.current import configure_count

if TYPE_CHECKING:
    from collections.abc import Callable

    from treadle.execution.executors.dask.fetching import InputFetcher
    from treadle.execution.executors.dask.hosted_run import RunSlot
    from treadle.execution.executors.dask.job_queue import JobQueue
    from treadle.execution.executors.dask.outbox import Outbox
    from treadle.execution.executors.dask.project import HostedProject
    from treadle.execution.processes.blackboard import Blackboard
    from treadle.execution.protocol.messages import Fact, Job
    from treadle.hooks import WorkerFacts

_TASK_SECONDS = 0.25
"""After this time a task takes no more jobs, so that the worker's other dask tasks can run; another one follows."""
_SHORT_SECONDS = 0.05
"""A job that takes less time is short: its task waits for more jobs, because another task would take a part of that to begin."""
_WAIT_SECONDS = 0.01
"""How long a task waits for more jobs after a short one."""
_PAUSED_SECONDS = 0.1
"""How often a thread that waits for jobs in a worker where dask starts no task checks whether that is still so."""
_CANCEL_CHECK_SECONDS = 0.001
"""The shortest interval between two checks for a Cancel within a job: one check costs more than a tiny node."""
_ROUNDS = 5
"""How often the event loop goes round between the arrival of a message and its end in `HostedPool`."""

_logger = logging.getLogger(__name__)


class JobRunner:
    """The task's side of a pool in this process.

    Args:
        worker: the dask worker.
        pool: id of the pool.
        number: this worker's number in the pool.
        project: sets up the pool's project in this process.
        runs: the runs of the pool, by number; the event loop adds and removes them.
        jobs: the jobs that wait.
        inputs: reads inputs from other workers.
        outbox: takes the facts.
    """

    def __init__(
        self,
        worker: Any,
        pool: str,
        number: int,
        project: HostedProject,
        *,
        runs: dict[int, RunSlot],
        jobs: JobQueue,
        inputs: InputFetcher,
        outbox: Outbox,
    ) -> None:
        self.running: str | None = None
        """Name of the running node, for log records."""
        self.current: Started | None = None
        """The start of the running node."""
        self.blackboard: Blackboard | None = None
        """Where the nodes that run and have finished are written; None if it could not be read after this process has died."""
        self.thread: int | None = None
        """The thread that runs the pool's jobs now, None between tasks."""
        self._worker, self._pool, self._number, self._project = worker, pool, number, project
        self._loop = worker.loop.asyncio_loop
        self._runs, self._jobs, self._inputs, self._outbox = runs, jobs, inputs, outbox
        self._facts: WorkerFacts | None = None
        self._between = BetweenRuns(system_settings=False)
        self._last_cancel_check = 0.0
        self._active = fork_safe(threading.Lock())  # a dask task may start while jobs run without one

    @property
    def is_paused(self) -> bool:
        """Whether dask starts no task in this worker, because its process uses too much memory."""
        return bool(self._worker.status.name == "paused")

    @property
    def starts_no_task(self) -> bool:
        """Whether dask starts no task in this worker, because it is paused or retires."""
        return self.is_paused or self._worker.status.name == "closing_gracefully"

    def run(self, sequence: int) -> None:
        """Set this process up if that was not done; run the jobs that have arrived, and those that arrive meanwhile.

        Args:
            sequence: sequence number of the job that the task was submitted for; 0 for the task that sets this process up. That
                one runs no job, because it must end soon: dask keeps a worker that retires until its result has been copied.
        """
        self._activate((lambda: self._run_jobs(sequence)) if sequence else (lambda: None))
        self._outbox.send(TaskEnded(self._jobs.done_sequence()))  # not after an error: the driver finds that in the dask task

    def run_without_task(self) -> None:
        """Run the jobs that wait, if dask starts no task for them."""
        if self.starts_no_task:
            self._activate(self._run_jobs_without_task)

    def _run_jobs_without_task(self) -> None:
        if self.is_paused:
            _logger.warning(
                "dask has paused %s, because its process uses more than the part of its memory limit that the setting "
                "distributed.worker.memory.pause allows. Nodes run there in spite of it, because only they release the values "
                "that fill the memory. Use workers with more memory, more workers, or catalog entries for large values.",
                self._project.label,
            )
        self._run_jobs(0)

    def _activate(self, run_jobs: Callable[[], None]) -> None:
        with self._active, self._project.active(self._outbox.send, lambda: self.running):
            self.thread = threading.get_ident()
            try:
                if self._facts is not None or self._set_up():
                    run_jobs()
            finally:
                self.thread = None
                self._outbox.flush()

    def _set_up(self) -> bool:
        facts, failure = self._project.set_up(self._number)
        self._facts = facts if failure is None else None
        self._outbox.send(Hello(self._number, os.getpid(), configure_count(), failure))
        return failure is None

    def _run_jobs(self, sequence: int) -> None:
        end = time.monotonic() + _TASK_SECONDS
        job = self._jobs.take(sequence)
        while job is not None:
            started = time.monotonic()
            self._run_job(job)
            now = time.monotonic()
            if now >= end and not self.starts_no_task:
                return
            if (job := self._jobs.take()) is None and now - started < _SHORT_SECONDS:
                self._outbox.flush()
                job = self._jobs.take(seconds=_WAIT_SECONDS)
            while job is None and self._expects_jobs() and not self._jobs.is_closed:  # dask would not start another task
                self._outbox.flush()
                job = self._jobs.take(seconds=_PAUSED_SECONDS)

    def _expects_jobs(self) -> bool:
        """Return whether jobs may come for which dask starts no task: a worker that retires gets none if it has no values."""
        runs = [slot.run for slot in list(self._runs.values())]
        return self.is_paused or (self.starts_no_task and any(run is not None and run.has_values for run in runs))

    def _run_job(self, job: Job) -> None:
        started = time.time()
        slot = self._runs.get(job.run)
        if slot is None or self._facts is None:
            return  # the run is over, or this process could not be set up
        slot.add_inputs(job.inputs)
        try:
            run = slot.run or self._open(slot, self._facts)
        except WorkerSetupError as exc:  # a plugin's on_worker_start: no node can run here
            self._outbox.send(Hello(self._number, os.getpid(), 0, exc.failure))
            return
        except BaseException as exc:  # noqa: BLE001 - unpickling imports the project's code, which may exit: the node's failure
            failure = record_failure(exc, phase="setup")
            self._outbox.send(Failed(job.run, job.nodes[0], started, time.time(), failure, job.nodes[1:]))
            return
        while slot.datasets:
            run.opened.add_dataset(*slot.datasets.popleft())
        if run.missing_inputs(job.nodes):
            lost = asyncio.run_coroutine_threadsafe(self._inputs.wait_for(run, job), self._loop).result()
            if lost is not None:
                self._outbox.send(InputsLost(job.run, job.nodes, *lost))
                return
        self._run_nodes(job, run, slot)

    def _run_nodes(self, job: Job, run: HostedRun, slot: RunSlot) -> None:
        sequence, folder = self._jobs.last_sequence, slot.folder
        steps = job_steps(
            job.run,
            run.opened.context,
            self._number,
            job,
            load_input=run.load_input,
            store_output=run.store_output,
            stays=run.keep_large,
            keep=run.keep,
            cancelled=lambda: self._is_cancelled(job, sequence),
            label=self._project.label,
        )
        for report in steps:
            fact = report.fact
            if isinstance(fact, Started):
                self.current = fact
                self._announce(fact, has_limit=fact.node in run.opened.context.timeouts)
                continue
            flush_forwarded()
            self.running = self.current = None
            if folder is not None and (files := folder.changed()):
                self._outbox.post(RunFiles(job.run, files))
            self._conclude(fact._replace(original=None) if isinstance(fact, Failed) else fact)

    def _announce(self, started: Started, *, has_limit: bool) -> None:
        """Make the start of a node known, before the node can end this process.

        Args:
            started: the start.
            has_limit: whether the node has a time limit. Compiled code may block the event loop as soon as the node runs, and the
                driver would never learn that the time has begun.
        """
        if self.blackboard is not None:
            self.blackboard.begin(0, started.run, started.node, started.at, time.monotonic())
        if self.blackboard is None or has_limit:
            self._outbox.send_and_wait(started)
        else:
            self._outbox.post_soon(started)

    def _conclude(self, fact: Fact) -> None:
        """Report the end of a node."""
        if self.blackboard is None:
            self._outbox.post(fact)
            return
        if isinstance(fact, Finished):
            self.blackboard.finish(0, fact.run, fact.node, fact.started, fact.at)
        else:
            self.blackboard.end(0)
        self._outbox.post_soon(fact)

    def _is_cancelled(self, job: Job, sequence: int) -> bool:
        """Return whether the rest of a job was cancelled; the event loop reads what has come in before."""
        now = time.monotonic()
        if len(job.nodes) > 1 and now - self._last_cancel_check >= _CANCEL_CHECK_SECONDS:
            self._last_cancel_check = now
            asyncio.run_coroutine_threadsafe(_let_event_loop_run(), self._loop).result()
        return self._jobs.is_cancelled(job.run, sequence)

    def _open(self, slot: RunSlot, facts: WorkerFacts) -> HostedRun:
        opened = OpenRun(
            pickle.loads(slot.spec),  # noqa: S301 - the driver sent it
            facts,
            self._between,
            on_node=self._enter_node,
            folder=slot.folder.path if slot.folder is not None else None,
        )
        run = HostedRun(opened, self._number, self._worker.address, self._pool)
        slot.open(run)
        return run

    def _enter_node(self, name: str) -> None:
        self.running = name


async def _let_event_loop_run() -> None:
    for _ in range(_ROUNDS):
        await asyncio.sleep(0)
