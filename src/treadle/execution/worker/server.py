"""A worker process's life: one long task that serves the parent's jobs until it is told to stop.

::

    parent                        worker process
    ──────                        ──────────────
    BeginRun ───────────────────► WorkerRun: nodes, catalog, hooks, each made when first used
    Job ────────────────────────► for each node: blackboard, Started, load, call, save
         ◄──────────────────────  Finished or Failed; log records and prints as they come
    Cancel ─────────────────────► Dropped: the jobs that have not begun
    Stop ───────────────────────► the task returns
"""

from __future__ import annotations

import contextlib
import gc
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
from treadle.execution.worker.exit import leave
from treadle.execution.worker.input_files import InputFiles
from treadle.execution.worker.run import WorkerRun
from treadle.forks import fork_safe
from treadle.project.configure import configure_count

if TYPE_CHECKING:
    from treadle.execution.worker.bootstrap import WorkerProcess
    from treadle.pipeline import Node

PATIENCE_SECONDS = 0.01
"""How long facts wait for company, and how long a node may run before the jobs behind it are given back."""

LOOK_SECONDS = 0.001
"""How often a worker looks between nodes whether it is to stop: to look costs as much as a tiny node."""


def serve() -> None:
    """Serve the parent until it says stop or is gone: the pool's one task in this process."""
    worker = this_worker()
    worker.channel.send(Hello(worker.number, os.getpid(), configure_count(), worker.failure))
    with contextlib.suppress(ChannelClosedError):  # the parent closed the conversation: it is done with this worker, or gone
        if worker.failure is None:
            try:
                _Server(worker).serve()
            except WorkerSetupError as exc:  # a plugin's on_worker_start
                worker.channel.send(Hello(worker.number, os.getpid(), configure_count(), exc.failure))
            except ChannelClosedError:
                raise
            except BaseException as exc:  # noqa: BLE001 - the worker's edge: no node's failure, but the parent must learn why it ends
                _end_broken(worker, exc)
            else:
                leave()
                return
        while True:  # until the parent's goodbye: to return now would end the process before it was heard
            worker.channel.receive()


def _end_broken(worker: WorkerProcess, exc: BaseException) -> NoReturn:
    """End this process after an error outside of any attempt; the parent is told the error, as far as that is possible."""
    try:
        worker.channel.post(Broken(record_failure(exc, phase="setup")))
        worker.channel.flush()
    finally:  # where memory or file descriptors have run out, even that may fail
        os._exit(1)


class _Server:
    """Takes commands in their order; between nodes it looks for a Cancel that overtakes them.

    Facts of tiny nodes wait in the channel until the worker has nothing more to do, at most some milliseconds: the
    attendant, a thread, sends them when a node takes longer, and then gives back the jobs that wait behind it.
    """

    def __init__(self, worker: WorkerProcess) -> None:
        self._worker = worker
        self._channel = worker.channel
        self._lock = fork_safe(threading.Lock())  # of the commands: the attendant takes jobs out
        self._commands: deque[tuple[Any, list[int]]] = deque()
        self._specs: dict[int, bytes] = {}
        self._runs: dict[int, WorkerRun] = {}
        self._nodes: dict[bytes, tuple[Node, ...]] = {}  # of the latest run, by what they were unpickled from
        self._files = InputFiles()
        self._budget = Budget(worker.spec.scratch)
        self._reading = fork_safe(threading.Lock())  # of the channel: one thread reads at a time
        self._standing_in = False
        self._wake_read, self._wake_write = socket.socketpair()
        self._looked = 0.0  # for a Cancel, by the monotonic clock
        self._wake_read.setblocking(False)  # noqa: FBT003 - the socket's own signature
        self._wake_write.setblocking(False)  # noqa: FBT003 - the same
        self._attention = threading.Event()
        self._busy = False  # with a job: between two nodes of it there is no current one
        threading.Thread(target=self._attend, name="treadle-attendant", daemon=True).start()
        worker.sender.wake = self._attend_output

    def serve(self) -> None:
        while True:
            command, descriptors = self._next()
            if isinstance(command, Job):
                self._busy = True
                if not self._attention.is_set():  # set() costs more than to look
                    self._attention.set()
                self._run(command, descriptors)
                self._busy = False
            elif isinstance(command, Transfer):
                self._publish(command, descriptors)
            elif isinstance(command, Release):
                self._files.close(command.run, command.dataset)
                if command.run in self._runs:
                    self._runs[command.run].drop(command.dataset)
            elif isinstance(command, BeginRun):
                self._specs[command.run] = command.spec
            elif isinstance(command, EndRun):
                self._end(command.run)
            elif isinstance(command, Stop):
                self._worker.sender.wake = None  # what is printed from now on is sent at once
                gc.freeze()  # loky collects garbage after each task: some 0.1 s for nothing, in a process that ends
                return

    def _end(self, number: int) -> None:
        self._specs.pop(number, None)
        if (run := self._runs.pop(number, None)) is not None:
            run.end()
        self._files.close_all(number)

    def _next(self) -> tuple[Any, list[int]]:
        with self._lock:
            if self._commands:
                return self._commands.popleft()
        self._channel.flush()
        with self._reading:
            with self._lock:
                if self._commands:  # the attendant has read on in the meantime
                    return self._commands.popleft()
            first, *rest = self._channel.receive_all()
            if rest:
                with self._lock:
                    self._commands.extend(rest)
            return first

    def _attend(self) -> None:
        """Send what waits while a node takes its time."""
        try:
            self._attend_nodes()
        except ChannelClosedError:
            pass  # the parent is gone, or done with this worker
        except BaseException as exc:  # noqa: BLE001 - the messages that it read are lost, so the parent would wait for ever
            _end_broken(self._worker, exc)

    def _attend_nodes(self) -> None:
        asleep = threading.Event()  # never set: to wait a while
        while self._attention.wait():
            self._attention.clear()
            current = self._worker.current
            asleep.wait(PATIENCE_SECONDS)
            if current is not None and self._worker.current is current:
                self._channel.post(Started(*current))
                self._give_back_waiting()
                self._channel.flush()
                self._publish_waiting()  # the main thread may have read them between two nodes of its job
                self._stand_in(current, asleep)
            self._worker.sender.flush()
            if self._busy:  # the next node of the job needs attention too
                self._attention.set()

    def _stand_in(self, current: tuple[int, int, float], asleep: threading.Event) -> None:
        """While a node takes long, read in the main thread's place, and publish what another process needs."""
        self._standing_in = True
        poll = select.poll()
        poll.register(self._channel, select.POLLIN)
        poll.register(self._wake_read, select.POLLIN)
        try:
            while self._worker.current is current:
                poll.poll()
                with contextlib.suppress(BlockingIOError):
                    self._wake_read.recv(16)
                if self._worker.sender.waits:
                    asleep.wait(PATIENCE_SECONDS)
                    self._worker.sender.flush()
                if self._worker.current is current:
                    self._take_in(current)
        finally:
            self._standing_in = False

    def _take_in(self, current: tuple[int, int, float]) -> None:
        with self._reading:
            if self._worker.current is not current:
                return
            arrived = self._channel.receive_ready()
            with self._lock:  # before the main thread may read: it finds them, and in their order
                self._commands.extend(arrived)
        self._publish_waiting()
        self._give_back_waiting()
        self._channel.flush()

    def _attend_output(self) -> None:
        """Have the attendant send what is printed when a moment has passed."""
        self._attention.set()
        with contextlib.suppress(BlockingIOError):
            self._wake_write.send(b"\0")

    def _relieve(self) -> None:
        """From the main thread: the node is over, it reads again itself."""
        if self._standing_in:
            with contextlib.suppress(BlockingIOError):
                self._wake_write.send(b"\0")

    def _publish_waiting(self) -> None:
        """What others wait for goes out now, whatever else waits here."""
        with self._lock:
            asked = [(command, fds) for command, fds in self._commands if isinstance(command, Transfer)]
            if asked:
                self._commands = deque(item for item in self._commands if not isinstance(item[0], Transfer))
        for command, fds in asked:
            self._publish(command, fds)

    def _publish(self, command: Transfer, spare: list[int]) -> None:
        run = self._runs.get(command.run)
        if run is not None:
            handle = run.publish(command.dataset, spare[0] if spare else None)
        else:
            for fd in spare:
                os.close(fd)
            handle = PinnedValue(self._worker.number, "its worker does not have it any more")
        descriptors = [handle.fd] if handle.fd is not None else []
        travelling = handle.with_descriptor(None)
        self._channel.post(Transferred(command.run, command.dataset, travelling), descriptors)
        self._channel.flush()

    def _give_back_waiting(self) -> None:
        """A node takes long: the jobs behind it may run elsewhere."""
        with self._lock:
            waiting = [command for command, _fds in self._commands if isinstance(command, Job) and command.nodes]
            if waiting:
                # What came with them is taken in when its turn comes: the parent counts on it that it is here.
                self._commands = deque(_without_nodes(command, fds) for command, fds in self._commands)
        for job in waiting:
            self._channel.post(JobsReturned(job.run, job.nodes))

    def _run(self, job: Job, descriptors: list[int]) -> None:
        begun = time.time()
        self._files.take_in(job, descriptors)
        if not job.nodes:
            return  # they were given back
        try:
            run = self._open(job.run)
        except WorkerSetupError:
            raise  # no node's failure: this process is of no use
        except BaseException as exc:  # noqa: BLE001 - unpickling hooks imports the project's code, which may exit: the first job's failure
            failure = record_failure(exc, phase="setup")
            self._channel.post(Failed(job.run, job.nodes[0], begun, time.time(), failure, job.nodes[1:]))
            return
        run.accept(job)
        self._attempt_nodes(run, job)
        run.forget_inputs()

    def _attempt_nodes(self, run: WorkerRun, job: Job) -> None:
        for position, index in enumerate(job.nodes):
            if self._cancelled(job.run):
                self._channel.post(JobsReturned(job.run, job.nodes[position:]))
                return
            succeeded = run.attempt(index, job, job.nodes[position + 1 :])
            self._relieve()
            if not succeeded:
                return

    def _open(self, number: int) -> WorkerRun:
        if number not in self._runs:
            spec = pickle.loads(self._specs[number])  # noqa: S301 - the parent sent it
            run = WorkerRun(number, spec, self._worker, self._files.of(number), self._budget, self._nodes)
            self._runs[number], self._nodes = run, run.lasting
        return self._runs[number]

    def _cancelled(self, run: int) -> bool:
        """Look for a Cancel of this run, now and then; the jobs of it that wait are given back."""
        now = time.monotonic()
        if now - self._looked < LOOK_SECONDS:
            return False
        self._looked = now
        with self._reading:
            arrived = self._channel.receive_ready()
        with self._lock:
            self._commands.extend(arrived)
            if not any(isinstance(command, Cancel) and command.run == run for command, _ in self._commands):
                return False
            self._commands = deque(item for item in self._commands if not isinstance(item[0], Cancel))
        self._give_back_waiting()
        return True


def _without_nodes(command: Any, descriptors: list[int]) -> tuple[Any, list[int]]:
    """Return what is left of a command when a job's nodes are given back: the files that came with it."""
    return (command._replace(nodes=()) if isinstance(command, Job) else command), descriptors
