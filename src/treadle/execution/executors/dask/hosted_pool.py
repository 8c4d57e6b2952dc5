"""The part of a driver's pool that is in one dask worker: commands come in on a stream, jobs run in dask tasks, facts go out.

::

    driver                       event loop of the dask worker              thread of a dask task
    commands ──── stream ──────► JobQueue; inputs are read ahead
    task n ─────── dask ───────────────────────────────────────────────────► JobRunner.run: jobs of the queue, until it is empty
             ◄─── stream ─────── Outbox: facts and log records ◄──────────── send

This module is the event loop's side, `job_runner.py` that of the task. Jobs that are queued behind a long node are returned, so
that other workers can run them. State: the runs of the pool in this process. Runs in dask workers. Neighbours: `host.py` owns the
pools of a process, `job_queue.py` has the jobs that wait.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import pickle
import signal
import tempfile
import time
from typing import TYPE_CHECKING, Any

from treadle.errors import RunnerError
from treadle.execution.attempt.failure import record_failure
from treadle.execution.executors.dask.blackboard_file import make_blackboard
from treadle.execution.executors.dask.fetching import InputFetcher
from treadle.execution.executors.dask.hosted_run import RunSlot
from treadle.execution.executors.dask.job_queue import JobQueue
from treadle.execution.executors.dask.job_runner import JobRunner
from treadle.execution.executors.dask.messages import EndKeepAlive, QueuedJob, RunFiles, ShutDown, UseBlackboard
from treadle.execution.executors.dask.outbox import Outbox
from treadle.execution.executors.dask.run_files import RunFolder
from treadle.execution.protocol.handles import PinnedValue
from treadle.execution.protocol.messages import BeginRun, Cancel, EndRun, Hello, JobsReturned, Release, Transfer, Transferred

if TYPE_CHECKING:
    from treadle.execution.executors.dask.hosted_run import HostedRun
    from treadle.execution.executors.dask.project import HostedProject
    from treadle.execution.protocol.messages import Job, Started

_ORPHAN_SECONDS = 5.0
"""How often a node that outlives its driver is asked to end."""
_MONITOR_SECONDS = 0.01
"""How long a node may run before the jobs that are queued behind it are returned."""
_STOP_SECONDS, _STOP_CHECK_SECONDS = 0.1, 0.005
"""How long a node may still run when the driver stops the pool, and how often that is checked."""
_NO_TASK_SECONDS = 1.0
"""How long jobs wait for dask to start a task in a worker that is paused or retires."""


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
        self.task = ""
        """Key of the dask task that set this process up for the pool."""
        self.has_no_values = asyncio.Event()
        """Set when the driver needs no value here any more, or has closed the pool."""
        self._worker, self._comm, self._number = worker, comm, number
        self._loop = worker.loop.asyncio_loop
        self._runs: dict[int, RunSlot] = {}
        self._jobs = JobQueue()
        self._inputs = InputFetcher(worker.rpc)
        self._outbox = Outbox(comm, self._loop)
        self.job_runner = JobRunner(
            worker, pool, number, project, runs=self._runs, jobs=self._jobs, inputs=self._inputs, outbox=self._outbox
        )
        """Runs the pool's jobs."""
        self.blackboard = make_blackboard(f"{pool}-{number}")
        self._monitored: Started | None = None  # the node that ran when the monitor last checked
        self._is_monitoring = False
        self._no_task_since: float | None = None

    @property
    def is_drained(self) -> bool:
        """True if no job is here, and no value that a node may use."""
        runs = [slot.run for slot in self._runs.values() if slot.run is not None]
        return self.job_runner.thread is None and not len(self._jobs) and not any(run.has_values for run in runs)

    def report_shut_down(self) -> None:
        """Tell the driver that this worker is being shut down."""
        self._outbox.send(ShutDown())

    async def listen(self) -> None:
        """Take commands until the driver closes the stream or is gone; then nothing of the pool is left here."""
        try:
            while (commands := await self._read()) is not None:
                for command in commands:
                    self._handle_command(command)
        except Exception as exc:  # noqa: BLE001 - a full disk, for example: the driver ends the run with it
            await self._outbox.send_last(Hello(self._number, os.getpid(), 0, record_failure(exc, phase="setup")))
        finally:
            self._jobs.close()
            self._outbox.close()
            self._inputs.cancel()
            self.has_no_values.set()
            for number in list(self._runs):
                self._runs.pop(number).close()
            self._comm.abort()
        await self._end_running_node()

    async def _read(self) -> list[Any] | None:
        """Return the next commands, None at the end of the stream."""
        try:
            data = await self._comm.read()
        except OSError:  # CommClosedError is one
            return None
        commands: list[Any] = pickle.loads(data)  # noqa: S301 - the driver sent it
        return commands

    async def stop(self) -> bool:
        """Start no more nodes; return whether the running one, if there is one, has finished."""
        self._jobs.close()
        end = time.monotonic() + _STOP_SECONDS
        while self.job_runner.thread is not None and time.monotonic() < end:  # noqa: ASYNC110 - another thread changes it
            await asyncio.sleep(_STOP_CHECK_SECONDS)
        return self.job_runner.thread is None

    async def _end_running_node(self) -> None:
        """End a node that still runs after the driver has gone: by an exception, and if that fails by ending the process."""
        runner = self.job_runner
        if await self.stop():
            return
        for seconds in (_ORPHAN_SECONDS, _ORPHAN_SECONDS):
            await asyncio.sleep(seconds)
            if (thread := runner.thread) is None or runner.running is None:
                return
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(KeyboardInterrupt))
        await asyncio.sleep(_ORPHAN_SECONDS)
        if runner.thread is not None and runner.running is not None and self._worker.nanny is not None:
            os.kill(os.getpid(), signal.SIGKILL)  # the nanny starts another process

    def _handle_command(self, command: Any) -> None:
        if isinstance(command, QueuedJob):
            self._queue(command)
        elif isinstance(command, BeginRun):
            self._runs[command.run] = RunSlot(command.spec)
        elif isinstance(command, UseBlackboard):
            self.job_runner.blackboard = self.blackboard.blackboard
        elif isinstance(command, EndKeepAlive):
            self.has_no_values.set()
        elif isinstance(command, Cancel):
            self._return(self._jobs.cancel(command.run))
        elif isinstance(command, Transfer):
            pinned = PinnedValue(self._number, "its worker does not have it in a form that can be sent")
            self._outbox.send(Transferred(command.run, command.dataset, pinned))
        elif (slot := self._runs.get(command.run)) is not None:  # else the run is over
            self._handle_in_run(command, slot)

    def _handle_in_run(self, command: Any, slot: RunSlot) -> None:
        if isinstance(command, RunFiles):
            self._write_files(command, slot)
        elif isinstance(command, EndRun):
            self._runs.pop(command.run).close()
            self._jobs.forget(command.run)
        elif isinstance(command, Release):
            slot.release(command.dataset)

    def _write_files(self, command: RunFiles, slot: RunSlot) -> None:
        folder = self._worker.local_directory
        try:
            if slot.folder is None:
                slot.folder = RunFolder(tempfile.mkdtemp(prefix="treadle-", dir=folder))
            slot.folder.write(command.files)
        except OSError as exc:
            msg = (
                f"The dask worker at {self._worker.address} could not write files of the run to {folder}: {exc}. If the disk is "
                "full, free some space, or start the worker with another --local-directory."
            )
            raise RunnerError(msg, name="dask") from exc

    def _queue(self, queued: QueuedJob) -> None:
        slot = self._runs.get(queued.job.run)
        if slot is not None:
            slot.datasets.extend(queued.datasets)
            if slot.run is not None:
                self._inputs.fetch(slot.run, queued.job)
        self._jobs.put(queued)
        if not self._is_monitoring:
            self._is_monitoring = True
            self._loop.call_later(_MONITOR_SECONDS, self._monitor)

    def has_run(self, run: int) -> HostedRun | None:
        """Return a run of the pool, None if no job of it has run here."""
        slot = self._runs.get(run)
        return slot.run if slot is not None else None

    # --- the jobs that wait ----------------------------------------------------------------------------------------------

    def _return(self, jobs: list[Job]) -> None:
        for job in jobs:
            if (slot := self._runs.get(job.run)) is not None:
                slot.add_inputs(job.inputs)  # the driver does not send them again
            self._outbox.send(JobsReturned(job.run, job.nodes))

    def _monitor(self) -> None:
        """Check the jobs that wait, as long as there are any: return those that are queued behind a long node."""
        current = self.job_runner.current
        if current is not None and current is self._monitored:
            self._return(self._jobs.take_all())
        self._monitored = current
        self._help_if_no_task_starts()
        self._is_monitoring = len(self._jobs) > 0
        if self._is_monitoring:
            self._loop.call_later(_MONITOR_SECONDS, self._monitor)

    def _help_if_no_task_starts(self) -> None:
        """Run the jobs without a dask task, if dask starts none because this worker is paused or retires."""
        if not self.job_runner.starts_no_task or self.job_runner.thread is not None:
            self._no_task_since = None
        elif self._no_task_since is None:
            self._no_task_since = time.monotonic()
        elif time.monotonic() - self._no_task_since > _NO_TASK_SECONDS:
            self._no_task_since = None
            self._worker.executors["default"].submit(self.job_runner.run_without_task)
