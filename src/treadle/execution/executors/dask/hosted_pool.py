"""The part of a driver's pool that is in one dask worker: commands come in on a stream, jobs run in dask tasks, facts go out.

::

    driver                       event loop of the dask worker              thread of a dask task
    commands ──── stream ──────► receive: queue, inputs are read ahead
    turn n ─────── dask ───────────────────────────────────────────────────► run_turn(n): jobs of the queue
             ◄─── stream ─────── flush: facts and log records ◄───────────── send

The start of a node is on its way before the node runs, so the driver knows which node a worker died in. State: the runs of the
pool in this process, and the jobs that wait. Runs in dask workers. Neighbours: `host.py` owns the pools of a process.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import pickle
import signal
import threading
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from treadle.errors import WorkerSetupError
from treadle.execution.attempt.failure import record_failure
from treadle.execution.executors.dask.fetching import ValueGoneError, read_value
from treadle.execution.executors.dask.hosted_run import HostedRun
from treadle.execution.executors.dask.messages import InputsLost, Ticketed
from treadle.execution.executors.in_process import job_steps
from treadle.execution.protocol.handles import PinnedValue
from treadle.execution.protocol.messages import (
    BeginRun,
    Cancel,
    EndRun,
    Failed,
    Hello,
    JobsReturned,
    Release,
    Started,
    Transfer,
    Transferred,
)
from treadle.execution.worker.forwarding import flush_forwarded
from treadle.execution.worker.open_run import BetweenRuns, OpenRun
from treadle.forks import fork_safe
from treadle.project.configure import configure_count

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from treadle.execution.executors.dask.messages import ClusterValue
    from treadle.execution.executors.dask.project import HostedProject
    from treadle.execution.protocol.messages import Fact, Job
    from treadle.hooks import WorkerFacts

_ORPHAN_SECONDS = 5.0
"""How often a node that outlives its driver is asked to end."""
_ROUNDS = 5
"""How often the event loop goes round between the arrival of a message and its end in `HostedPool`."""


class HostedPool:
    """A pool's part in this process.

    Args:
        worker: the dask worker.
        comm: the stream to the driver.
        pool: id of the pool.
        number: this worker's number in the pool.
        project: sets up the pool's project in this process.
    """

    def __init__(self, worker: Any, comm: Any, pool: str, number: int, project: HostedProject) -> None:
        self.running: str | None = None
        """Name of the running node, for log records."""
        self.thread: int | None = None
        """The thread that runs the pool's jobs now, None between turns."""
        self.is_over = False
        """True once the driver has closed the stream, or is gone."""
        self._worker, self._comm, self._id, self._number = worker, comm, pool, number
        self._loop = worker.loop.asyncio_loop
        self._project = project
        self._facts: WorkerFacts | None = None
        self._between = BetweenRuns(system_settings=False)
        self._queued: deque[Ticketed] = deque()
        self._jobs_arrived = fork_safe(threading.Condition())
        self._last_ticket = 0
        self._cancelled: dict[int, int] = {}  # run -> the last ticket that was cancelled
        self._specs: dict[int, bytes] = {}
        self._runs: dict[int, HostedRun] = {}
        self._fetches: dict[tuple[int, int], asyncio.Task[str | None]] = {}
        self._outbox: list[Any] = []
        self._is_flush_scheduled = False
        self._outbox_lock = fork_safe(threading.Lock())
        self._writing = asyncio.Lock()

    # --- the event loop's side -------------------------------------------------------------------------------------------

    async def listen(self) -> None:
        """Take commands until the driver closes the stream or is gone; then nothing of the pool is left here."""
        try:
            while True:  # until the stream ends
                for command in pickle.loads(await self._comm.read()):  # noqa: S301 - the driver sent it
                    self._handle_command(command)
        except OSError:
            pass  # CommClosedError is one
        finally:
            with self._jobs_arrived:
                self.is_over = True
                self._queued.clear()
                self._jobs_arrived.notify_all()
            for fetch in self._fetches.values():
                fetch.cancel()
            self._runs.clear()
            self._specs.clear()
            self._comm.abort()
        await self._end_running_node()

    async def _end_running_node(self) -> None:
        """End a node that still runs after the driver has gone: by an exception, and if that fails by ending the process."""
        for seconds in (_ORPHAN_SECONDS, _ORPHAN_SECONDS):
            await asyncio.sleep(seconds)
            if (thread := self.thread) is None or self.running is None:
                return
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(KeyboardInterrupt))
        await asyncio.sleep(_ORPHAN_SECONDS)
        if self.thread is not None and self.running is not None and self._worker.nanny is not None:
            os.kill(os.getpid(), signal.SIGKILL)  # the nanny starts another process

    def _handle_command(self, command: Any) -> None:
        if isinstance(command, Ticketed):
            run = self._runs.get(command.job.run)
            if run is not None:
                self._prepare(run, command.job)
            with self._jobs_arrived:
                self._queued.append(command)
                self._last_ticket = command.ticket
                self._jobs_arrived.notify_all()
        elif isinstance(command, BeginRun):
            self._specs[command.run] = command.spec
        elif isinstance(command, EndRun):
            self._specs.pop(command.run, None)
            self._runs.pop(command.run, None)
            self._cancelled.pop(command.run, None)
        elif isinstance(command, Cancel):
            self._cancelled[command.run] = self._last_ticket
            with self._jobs_arrived:
                returned = [each.job for each in self._queued if each.job.run == command.run]
                self._queued = deque(each for each in self._queued if each.job.run != command.run)
            for job in returned:
                self.send(JobsReturned(job.run, job.nodes))
        elif isinstance(command, Release):
            if (run := self._runs.get(command.run)) is not None:
                run.drop(command.dataset)
        elif isinstance(command, Transfer):
            pinned = PinnedValue(self._number, "its worker does not have it in a form that can be sent")
            self.send(Transferred(command.run, command.dataset, pinned))

    def _prepare(self, run: HostedRun, job: Job) -> None:
        """Begin to read a job's inputs from other workers, while the jobs before it run."""
        run.add_inputs(job.inputs)
        for dataset, handle in run.missing_inputs(job.nodes):
            if (job.run, dataset) not in self._fetches:
                self._fetches[job.run, dataset] = self._loop.create_task(self._fetch(run, job.run, dataset, handle))

    async def _fetch(self, run: HostedRun, number: int, dataset: int, handle: ClusterValue) -> str | None:
        """Read a value; return why it cannot be had, None if it is here."""
        try:
            run.add_fetched(dataset, await read_value(self._worker.rpc, handle, number, dataset))
        except ValueGoneError as exc:
            return str(exc)
        finally:
            self._fetches.pop((number, dataset), None)
        return None

    async def _wait_for_inputs(self, run: HostedRun, job: Job) -> tuple[str, str] | None:
        """Wait until a job's inputs are here; return the address of a worker that cannot give one of them, and why."""
        self._prepare(run, job)
        # Collected before the first wait: a fetch that ends is removed from the dictionary.
        fetches = [(handle.address, self._fetches[job.run, dataset]) for dataset, handle in run.missing_inputs(job.nodes)]
        for address, fetch in fetches:
            reason = await fetch
            if reason is not None:
                return address, reason
        return None

    def has_run(self, run: int) -> HostedRun | None:
        """Return a run of the pool, None if it is not here."""
        return self._runs.get(run)

    # --- what goes out ---------------------------------------------------------------------------------------------------

    def send(self, fact: Fact | InputsLost) -> None:
        """Send a fact to the driver; may be called from any thread."""
        with self._outbox_lock:
            self._outbox.append(fact)
            scheduled, self._is_flush_scheduled = self._is_flush_scheduled, True
        if not scheduled and not self.is_over:
            self._call(self._flush())

    def _post(self, fact: Fact) -> None:
        """Leave a fact for the next flush."""
        with self._outbox_lock:
            self._outbox.append(fact)

    def _send_and_wait(self, fact: Fact) -> None:
        """Send a fact, and wait until it is on its way."""
        with self._outbox_lock:
            self._outbox.append(fact)
        if not self.is_over:
            asyncio.run_coroutine_threadsafe(self._flush(), self._loop).result()

    def _call(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self._loop.call_soon_threadsafe(self._loop.create_task, coroutine)

    async def _flush(self) -> None:
        async with self._writing:
            with self._outbox_lock:
                facts, self._outbox, self._is_flush_scheduled = self._outbox, [], False
            if facts and not self.is_over:
                with suppress(OSError):  # the driver is gone, and `listen` ends
                    await self._comm.write(pickle.dumps(facts, protocol=5))

    # --- the task's side -------------------------------------------------------------------------------------------------

    def run_turn(self, ticket: int) -> None:
        """Set this process up if that was not done; run the jobs that have arrived, at least up to a ticket.

        Args:
            ticket: number of the last job that belongs to this turn.
        """
        self.thread = threading.get_ident()
        try:
            with self._project.active(self.send, lambda: self.running):
                if self._facts is not None or self._set_up():
                    while (job := self._next_job(ticket)) is not None:
                        self._run_job(job)
        finally:
            self.thread = None
            if self._outbox and not self.is_over:
                self._call(self._flush())

    def _set_up(self) -> bool:
        facts, failure = self._project.set_up(self._number)
        self._facts = facts if failure is None else None
        self.send(Hello(self._number, os.getpid(), configure_count(), failure))
        return failure is None

    def _next_job(self, ticket: int) -> Job | None:
        with self._jobs_arrived:
            # The stream and the task come by different ways: wait for what this turn is about.
            self._jobs_arrived.wait_for(lambda: self.is_over or self._queued or self._last_ticket >= ticket)
            return self._queued.popleft().job if self._queued else None

    def _run_job(self, job: Job) -> None:
        started = time.time()
        try:
            run = self._open(job.run)
        except WorkerSetupError as exc:  # a plugin's on_worker_start: no node can run here
            self.send(Hello(self._number, os.getpid(), 0, exc.failure))
            return
        except BaseException as exc:  # noqa: BLE001 - unpickling imports the project's code, which may exit: the node's failure
            self.send(Failed(job.run, job.nodes[0], started, time.time(), record_failure(exc, phase="setup"), job.nodes[1:]))
            return
        if run is None:
            return  # the run is over
        run.add_inputs(job.inputs)
        if run.missing_inputs(job.nodes):
            lost = asyncio.run_coroutine_threadsafe(self._wait_for_inputs(run, job), self._loop).result()
            if lost is not None:
                self.send(InputsLost(job.run, job.nodes, *lost))
                return
        ticket = self._last_ticket
        steps = job_steps(
            job.run,
            run.opened.context,
            self._number,
            job,
            load_input=run.load_input,
            store_output=run.store_output,
            stays=run.keep_large,
            keep=run.keep,
            cancelled=lambda: self._is_cancelled(job, ticket),
            label=self._project.label,
        )
        for report in steps:
            fact = report.fact
            if isinstance(fact, Started):
                self._send_and_wait(fact)
                continue
            flush_forwarded()
            self.running = None
            self._post(fact._replace(original=None) if isinstance(fact, Failed) else fact)

    def _is_cancelled(self, job: Job, ticket: int) -> bool:
        """Return whether the rest of a job was cancelled; the event loop reads what has come in before."""
        if len(job.nodes) > 1:
            asyncio.run_coroutine_threadsafe(_turn_loop(), self._loop).result()
        return self.is_over or self._cancelled.get(job.run, -1) >= ticket

    def _open(self, number: int) -> HostedRun | None:
        run = self._runs.get(number)
        if run is None and self._facts is not None and (spec := self._specs.get(number)) is not None:
            opened = OpenRun(pickle.loads(spec), self._facts, self._between, on_node=self._enter_node)  # noqa: S301 - the driver sent it
            run = HostedRun(opened, self._number, self._worker.address, self._id)
            self._runs[number] = run
            if self.is_over:
                self._runs.clear()
        return run

    def _enter_node(self, name: str) -> None:
        self.running = name


async def _turn_loop() -> None:
    for _ in range(_ROUNDS):
        await asyncio.sleep(0)
