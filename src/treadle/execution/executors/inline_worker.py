"""The worker side of a backend whose values travel inside messages: it receives commands and sends facts over any connection.

::

    parent                  worker: serve(connection, number)
    ProjectSpec ──────────► set_up_project, then Hello
    commands ─────────────► the reading thread: InlineWorker.receive
             ◄───────────── the main thread: each fact of InlineWorker.facts, until a Stop or the end of the connection

State: the open runs of this process, and the values that cannot leave it. Runs in workers. Neighbours: `inline_store.py` is the
parent's side, `worker/open_run.py` opens a run.
"""

from __future__ import annotations

import pickle
import threading
import time
from contextlib import suppress
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Protocol

from treadle.errors import DatasetError, WorkerSetupError
from treadle.execution.attempt.failure import record_failure
from treadle.execution.executors.in_process import job_steps
from treadle.execution.executors.inline_store import pickled_inline
from treadle.execution.protocol.handles import Handle, PinnedValue, UnpicklableValueError
from treadle.execution.protocol.messages import (
    BeginRun,
    Cancel,
    EndRun,
    Failed,
    Hello,
    Job,
    Release,
    Started,
    Stop,
    Transfer,
    Transferred,
)
from treadle.execution.values.transfer import LocalValues, describe_lost_value, describe_unpicklable_result
from treadle.execution.worker.open_run import BetweenRuns, OpenRun
from treadle.execution.worker.project import set_up_project
from treadle.forks import fork_safe
from treadle.project.current import configure_count

if TYPE_CHECKING:
    from collections.abc import Iterator

    from treadle.execution.protocol.messages import Command, Fact
    from treadle.hooks import WorkerFacts


class Connection(Protocol):
    """A connection that sends and receives whole messages in order, such as a `multiprocessing.connection.Connection`."""

    def send(self, message: Any, /) -> None:
        """Send a message; called from one thread at a time."""

    def recv(self) -> Any:
        """Wait for the next message and return it.

        Raises:
            EOFError: the other side has closed the connection.
        """


def serve(connection: Connection, number: int) -> None:
    """Serve as a worker until the parent sends a Stop or closes the connection.

    Args:
        connection: to the parent; its first message is the ProjectSpec.
        number: the worker's number.
    """
    lock = fork_safe(threading.RLock())  # a finalizer may log in the middle of a send

    def send(fact: Fact) -> None:
        with lock, suppress(ConnectionError):  # the parent is gone: the reading thread ends the worker
            connection.send(fact)

    process, failure = set_up_project(connection.recv(), number, send)
    worker = InlineWorker(process)

    def read() -> None:
        with suppress(EOFError, ConnectionError):
            while True:
                worker.receive(connection.recv())
        worker.receive(Stop())

    threading.Thread(target=read, name="treadle-reader", daemon=True).start()
    send(Hello(number, process.pid, configure_count(), failure))
    for fact in worker.facts():
        send(fact)


class InlineWorker:
    """Runs the jobs of a worker process.

    Args:
        facts: this process.
    """

    def __init__(self, facts: WorkerFacts) -> None:
        self._process = facts
        self._between = BetweenRuns()
        self._commands: SimpleQueue[tuple[int, Command]] = SimpleQueue()
        self._received = 0
        self._cancelled: dict[int, int] = {}  # run -> the number of the command that cancelled it last
        self._specs: dict[int, bytes] = {}
        self._runs: dict[int, _Run] = {}

    def receive(self, command: Command) -> None:
        """Queue a command of the parent. A Cancel overtakes jobs, so one thread calls this while another one is in `facts`.

        Args:
            command: the command.
        """
        self._received += 1
        if isinstance(command, Cancel):
            self._cancelled[command.run] = self._received
        else:
            self._commands.put((self._received, command))

    def facts(self) -> Iterator[Fact]:
        """Carry out the commands in order.

        Yields:
            The facts for the parent, each without delay. The iterator ends after a Stop.
        """
        while not isinstance((item := self._commands.get())[1], Stop):
            number, command = item
            if isinstance(command, BeginRun):
                self._specs[command.run] = command.spec
            elif isinstance(command, EndRun):
                self._specs.pop(command.run, None)
                self._runs.pop(command.run, None)
                self._cancelled.pop(command.run, None)
            elif isinstance(command, Job):
                yield from self._run_job(number, command)
            elif isinstance(command, Release) and command.run in self._runs:
                self._runs[command.run].values.discard(command.dataset)
            elif isinstance(command, Transfer):
                pinned = PinnedValue(self._process.number, "its worker does not have it in a form that can be sent")
                yield Transferred(command.run, command.dataset, pinned)

    def _run_job(self, number: int, job: Job) -> Iterator[Fact]:
        started = time.time()
        try:
            if job.run not in self._runs:
                opened = OpenRun(pickle.loads(self._specs[job.run]), self._process, self._between)  # noqa: S301 - the parent sent it
                self._runs[job.run] = _Run(self._process.number, opened)
        except WorkerSetupError as exc:  # a plugin's on_worker_start: no node can run here
            yield Hello(self._process.number, self._process.pid, 0, exc.failure)
            return
        except BaseException as exc:  # noqa: BLE001 - unpickling imports the project's code, which may exit: the node's failure
            yield Failed(job.run, job.nodes[0], started, time.time(), record_failure(exc, phase="setup"), job.nodes[1:])
            return
        run = self._runs[job.run]
        run.inputs = dict(job.inputs)
        for report in job_steps(
            job.run,
            run.opened.context,
            self._process.number,
            job,
            load_input=run.load_input,
            store_output=run.store_output,
            keep=run.values.store_output,
            cancelled=lambda: number < self._cancelled.get(job.run, 0),
            label=self._process.label,
        ):
            fact = report.fact
            if isinstance(fact, Started):
                yield fact._replace(since=time.monotonic())
            else:
                yield fact._replace(original=None) if isinstance(fact, Failed) else fact
        run.inputs = {}


class _Run:
    """The values of one run in this process."""

    def __init__(self, worker: int, opened: OpenRun) -> None:
        self.opened = opened
        self.values = LocalValues(opened.copy_modes.get)
        self.inputs: dict[int, Handle] = {}
        self._worker = worker

    def load_input(self, dataset: int, last: bool) -> Any:  # noqa: FBT001 - the signature that job_steps calls
        if dataset in self.values:
            return self.values.load_input(dataset, last=last)
        if dataset not in self.inputs:
            name = self.opened.spec.dataset_names[dataset]
            msg = describe_lost_value(name)
            raise DatasetError(msg, dataset=name)
        return self.inputs[dataset].load()

    def store_output(self, dataset: int, value: Any) -> Handle:
        self.values.discard(dataset)  # an earlier chunk of a generator
        try:
            return pickled_inline(value)
        except UnpicklableValueError as exc:
            if self.opened.spec.is_result[dataset]:
                name = self.opened.spec.dataset_names[dataset]
                msg = describe_unpicklable_result(name, exc)
                raise DatasetError(msg, dataset=name) from exc
            self.values.store_copy(dataset, value)
            return PinnedValue(self._worker, str(exc))
