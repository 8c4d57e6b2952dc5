"""Serve the parent's commands in a worker process, until it sends Stop.

::

    parent                        worker process
    ──────                        ──────────────
    BeginRun ───────────────────► WorkerRun: nodes, catalog, hooks, each created when first used
    Job ────────────────────────► for each node: blackboard, Started, load, call, save
         ◄──────────────────────  Finished or Failed; log records and output as they occur
    Cancel ─────────────────────► JobsReturned: the jobs that have not started
    Stop ───────────────────────► `serve` returns

The module is long because both threads that read commands are in it, so that their order and their locks can be checked at once.

State: the commands received but not yet handled, and the runs that are open in this process.
"""

from __future__ import annotations

import contextlib
import gc
import math
import os
import pickle
import select
import socket
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, NoReturn

from treadle.errors import WorkerSetupError
from treadle.execution.attempt.failure import record_failure
from treadle.execution.processes.channel import ChannelClosedError
from treadle.execution.processes.heap import IDLE_SECONDS, Heap
from treadle.execution.protocol.handles import PinnedValue
from treadle.execution.protocol.messages import (
    BeginRun,
    Broken,
    Cancel,
    EndRun,
    Failed,
    Hello,
    Job,
    JobsReturned,
    Release,
    Started,
    Stop,
    Transfer,
    Transferred,
)
from treadle.execution.values.budget import Budget
from treadle.execution.worker.bootstrap import this_worker
from treadle.execution.worker.exit import run_exit_handlers
from treadle.execution.worker.input_files import InputFiles
from treadle.execution.worker.run import WorkerRun, take_all
from treadle.forks import fork_safe
from treadle.project.current import configure_count

if TYPE_CHECKING:
    from treadle.execution.protocol.messages import StartTimes
    from treadle.execution.worker.bootstrap import WorkerProcess

MONITOR_DELAY_SECONDS = 0.01
"""How long a node may run before pending messages are sent, and what waits behind it is returned to the parent."""

REPORT_DELAY_SECONDS = 0.1
"""How long a node may run before its start is reported. The report of a shorter node's end has its start, too."""

CANCEL_CHECK_SECONDS = 0.001
"""The shortest interval between two checks for a Cancel between nodes: one check costs as much as a tiny node."""


def serve(start: StartTimes | None = None) -> None:
    """Serve the parent until it sends Stop or has ended.

    Args:
        start: how the start of this process went, as in `Hello`.
    """
    worker = this_worker()
    gc.freeze()  # what was imported stays until the end: the garbage collection at exit would take 0.1 s to traverse it
    worker.channel.send(Hello(worker.number, os.getpid(), configure_count(), worker.failure, start))
    with contextlib.suppress(ChannelClosedError):  # the parent closed the connection, or has ended
        if worker.failure is None:
            try:
                _Server(worker).serve()
            except WorkerSetupError as exc:  # a plugin's on_worker_start
                worker.channel.send(Hello(worker.number, os.getpid(), configure_count(), exc.failure))
            except ChannelClosedError:
                raise
            except BaseException as exc:  # noqa: BLE001 - not the failure of a node, but the parent must learn why the worker ends
                _exit_broken(worker, exc)
            else:
                run_exit_handlers()
                return
        while True:  # until the parent closes the connection: returning now would end the process before the Hello is read
            worker.channel.receive()


def _exit_broken(worker: WorkerProcess, exc: BaseException) -> NoReturn:
    """Report an error that occurred outside of any attempt to the parent, if possible, and exit."""
    try:
        worker.channel.post(Broken(record_failure(exc, phase="setup")))
        worker.channel.flush()
    finally:  # even reporting may fail, if memory or file descriptors are exhausted
        os._exit(1)


class _Server:
    """Handles commands in order; between nodes it checks for a Cancel, which takes precedence over queued commands.

    The messages of tiny nodes are buffered in the channel until the worker is idle, for some milliseconds at most. If a node
    takes longer, the monitor thread sends them, returns the jobs and the returnable nodes of its job that wait behind the node,
    and reads commands until the node has finished.
    """

    def __init__(self, worker: WorkerProcess) -> None:
        self._worker = worker
        self._channel = worker.channel
        self._lock = fork_safe(threading.Lock())  # guards `_commands`, from which the monitor thread removes jobs
        self._commands: deque[tuple[Any, list[int]]] = deque()
        # Of runs that are not open yet: the pickled spec without the wiring, and the number of the wiring.
        self._specs: dict[int, tuple[bytes, int]] = {}
        self._runs: dict[int, WorkerRun] = {}
        self._files = InputFiles()
        self._budget = Budget(worker.spec.scratch)
        self._heap = Heap()
        self._reading = fork_safe(threading.Lock())  # guards the channel: one thread reads at a time
        self._monitor_reads = False
        self._wake_read, self._wake_write = socket.socketpair()
        self._last_cancel_check = 0.0  # by the monotonic clock
        # The run of the last job whose nodes can be returned, and those that have not started: both threads take from them.
        self._rest: tuple[int, deque[int]] = (0, deque())
        self._has_new_commands = False  # whether `_commands` has some that were not searched for a Cancel
        self._wake_read.setblocking(False)  # noqa: FBT003 - the socket's own signature
        self._wake_write.setblocking(False)  # noqa: FBT003 - the same
        self._wake_monitor = threading.Event()
        self._busy = False  # True while there are commands and one of them was a job, even when no node is current
        threading.Thread(target=self._monitor, name="treadle-monitor", daemon=True).start()
        worker.sender.wake = self._request_flush

    def serve(self) -> None:
        """Handle commands until Stop."""
        while True:
            command, descriptors = self._next_command()
            if type(command) is Job:
                if not self._busy:
                    self._busy = True
                    self._wake_monitor.set()
                self._run(command, descriptors)
            elif isinstance(command, Transfer):
                self._publish(command, descriptors)
            elif isinstance(command, Release):
                self._files.close(command.run, command.dataset)
                if command.run in self._runs:
                    self._runs[command.run].release(command.dataset)
            elif isinstance(command, BeginRun):
                self._begin(command)
            elif isinstance(command, EndRun):
                self._end(command.run)
            elif isinstance(command, Stop):
                self._worker.sender.wake = None  # output is sent at once from now on
                return

    def _begin(self, command: BeginRun) -> None:
        """Keep the spec of a run; the run is opened when its first job arrives."""
        between = self._worker.between_runs
        between.drop_wirings(command.dropped)
        if command.wiring is not None:
            between.add_wiring(command.wiring_number, command.wiring)
        self._specs[command.run] = (command.spec, command.wiring_number)

    def _end(self, number: int) -> None:
        self._specs.pop(number, None)
        if (run := self._runs.pop(number, None)) is not None:
            run.end()
        self._files.close_all(number)

    def _next_command(self) -> tuple[Any, list[int]]:
        """Return the next command and its descriptors. Before it blocks, it sends the pending messages."""
        with self._lock:
            if self._commands:
                return self._commands.popleft()
        self._busy = False
        self._channel.flush()
        with self._reading:
            with self._lock:
                if self._commands:  # the monitor thread has read some in the meantime
                    return self._commands.popleft()
            if self._heap.is_due_when_idle and not self._channel.wait_readable(IDLE_SECONDS):
                self._heap.trim()
            first, *rest = self._channel.receive_all()
            if rest:
                with self._lock:
                    self._add_commands(rest)
            else:
                self._last_cancel_check = time.monotonic()  # there is no Cancel: everything that has arrived was read
            return first

    def _monitor(self) -> None:
        """Run the monitor thread: it serves the parent while the main thread is busy with a long node."""
        try:
            self._monitor_nodes()
        except ChannelClosedError:
            pass  # the parent closed the connection, or is gone
        except BaseException as exc:  # noqa: BLE001 - the messages that it has read are lost, so the parent would wait forever
            _exit_broken(self._worker, exc)

    def _monitor_nodes(self) -> None:
        never = threading.Event()  # never set: waiting for it is a pause
        while self._wake_monitor.wait():
            self._wake_monitor.clear()
            current = self._worker.current
            never.wait(MONITOR_DELAY_SECONDS)
            if current is not None and self._worker.current is current:
                self._return_queued_jobs()
                self._channel.flush()
                self._publish_requested()  # the main thread may have read requests between two nodes of its job
                self._read_while_running(current, never)
            self._worker.sender.flush()
            if self._busy:  # monitor the next node of the job too
                self._wake_monitor.set()

    def _read_while_running(self, current: tuple[int, int, float], never: threading.Event) -> None:
        """Read commands in place of the main thread while a node runs, and publish the values that other processes need."""
        self._monitor_reads = True
        poll = select.poll()
        poll.register(self._channel, select.POLLIN)
        poll.register(self._wake_read, select.POLLIN)
        is_reported, report_at = False, time.monotonic() + REPORT_DELAY_SECONDS - MONITOR_DELAY_SECONDS
        try:
            while self._worker.current is current:
                poll.poll(None if is_reported else max(0, math.ceil((report_at - time.monotonic()) * 1000)))
                if not is_reported and time.monotonic() >= report_at and self._worker.current is current:
                    is_reported = True
                    self._channel.post(Started(*current))
                    self._channel.flush()
                with contextlib.suppress(BlockingIOError):
                    self._wake_read.recv(16)
                if self._worker.sender.pending:
                    never.wait(MONITOR_DELAY_SECONDS)
                    self._worker.sender.flush()
                if self._worker.current is current:
                    self._receive_while_running(current)
        finally:
            self._monitor_reads = False

    def _receive_while_running(self, current: tuple[int, int, float]) -> None:
        with self._reading:
            if self._worker.current is not current:
                return
            arrived = self._channel.receive_ready()
            with self._lock:  # before the main thread may read, so that the order of commands is kept
                self._add_commands(arrived)
        self._publish_requested()
        self._return_queued_jobs()
        self._channel.flush()

    def _request_flush(self) -> None:
        """Make the monitor thread send the pending output after a short delay."""
        self._wake_monitor.set()
        with contextlib.suppress(BlockingIOError):
            self._wake_write.send(b"\0")

    def _resume_reading(self) -> None:
        """Make the monitor thread stop reading, after a node; called by the main thread, which reads again itself."""
        with contextlib.suppress(BlockingIOError):
            self._wake_write.send(b"\0")

    def _publish_requested(self) -> None:
        """Publish the requested values ahead of all other queued commands: other processes are waiting for them."""
        with self._lock:
            requests = [(command, fds) for command, fds in self._commands if isinstance(command, Transfer)]
            if requests:
                self._commands = deque(item for item in self._commands if not isinstance(item[0], Transfer))
        for command, fds in requests:
            self._publish(command, fds)

    def _publish(self, command: Transfer, spare: list[int]) -> None:
        if self._heap.has_transferred:  # the value before, which was freed but not returned
            self._heap.trim()
        run = self._runs.get(command.run)
        if run is not None:
            handle = run.publish(command.dataset, spare[0] if spare else None)
        else:
            for fd in spare:
                os.close(fd)
            handle = PinnedValue(self._worker.number, "its worker no longer has it")
        descriptors = [handle.fd] if handle.fd is not None else []
        message = Transferred(command.run, command.dataset, handle.with_descriptor(None))
        self._channel.post(message, descriptors)
        self._channel.flush()
        self._heap.value_transferred(handle.size)

    def _return_queued_jobs(self) -> None:
        """Return the queued jobs, and returnable nodes of the current one, to the parent, so that other workers can run them."""
        run, rest = self._rest
        if nodes := take_all(rest):
            self._channel.post(JobsReturned(run, nodes))
        with self._lock:
            queued = [command for command, _fds in self._commands if isinstance(command, Job) and command.nodes]
            if queued:
                # The jobs' memory files stay queued and are accepted in turn, since the parent will not send them again.
                self._commands = deque(_without_nodes(command, fds) for command, fds in self._commands)
        for job in queued:
            self._channel.post(JobsReturned(job.run, job.nodes))

    def _run(self, job: Job, descriptors: list[int]) -> None:
        if descriptors:
            self._files.accept(job, descriptors)
        if not job.nodes:
            return  # its nodes were returned to the parent
        run = self._runs.get(job.run)
        if run is None:
            run = self._open(job)
        if run is not None:
            run.accept(job)
            self._attempt_nodes(run, job)
            run.forget_inputs()

    def _attempt_nodes(self, run: WorkerRun, job: Job) -> None:
        rest = dependent = deque(job.nodes)  # a failure in a chain removes the rest of it
        if job.independent or job.returnable:
            self._rest = (job.run, rest)
        if job.independent:
            dependent = deque()
        while rest:
            if time.monotonic() - self._last_cancel_check >= CANCEL_CHECK_SECONDS and self._is_cancelled(job.run):
                if nodes := take_all(rest):
                    self._channel.post(JobsReturned(job.run, nodes))
                return
            try:
                node = rest.popleft()
            except IndexError:  # the monitor thread has returned the nodes that were left
                return
            run.attempt(node, dependent)
            if self._monitor_reads:
                self._channel.flush()  # before the monitor thread competes for the interpreter: the parent can send the next job
                self._resume_reading()

    def _open(self, job: Job) -> WorkerRun | None:
        """Open the run of a job; if that fails, report the job's first node as failed, and return None."""
        started = time.time()
        try:
            pickled, wiring = self._specs[job.run]
            spec = pickle.loads(pickled)  # noqa: S301 - the parent sent it
            spec = spec.with_wiring(self._worker.between_runs.wiring(wiring))
            files = self._files.of(job.run)
            self._runs[job.run] = run = WorkerRun(job.run, spec, wiring, self._worker, files, self._budget, self._heap)
            del self._specs[job.run]
        except WorkerSetupError:
            raise  # not the failure of a node: this process cannot run any
        except BaseException as exc:  # noqa: BLE001 - unpickling hooks runs the project's code, which may raise or exit: fail the first node
            failure = record_failure(exc, phase="setup")
            self._channel.post(Failed(job.run, job.nodes[0], started, time.time(), failure, job.nodes[1:]))
            return None
        return run

    def _add_commands(self, arrived: list[tuple[Any, list[int]]]) -> None:
        """Queue commands; called with the lock."""
        if arrived:
            self._commands.extend(arrived)
            self._has_new_commands = True

    def _is_cancelled(self, run: int) -> bool:
        """Return whether the run was cancelled; if so, the queued jobs are returned to the parent."""
        self._last_cancel_check = time.monotonic()
        with self._reading:
            arrived = self._channel.receive_ready()
        with self._lock:
            self._add_commands(arrived)
            if not self._has_new_commands:
                return False
            self._has_new_commands = False
            if not any(isinstance(command, Cancel) and command.run == run for command, _ in self._commands):
                return False
            self._commands = deque(item for item in self._commands if not isinstance(item[0], Cancel))
        self._return_queued_jobs()
        return True


def _without_nodes(command: Any, descriptors: list[int]) -> tuple[Any, list[int]]:
    """Return a command without the nodes of a job, which keeps the memory files that arrived with it."""
    return (command._replace(nodes=()) if isinstance(command, Job) else command), descriptors
