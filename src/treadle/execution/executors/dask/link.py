"""The driver's end of the stream to one dask worker.

::

    thread of the run                     event loop of the client
    queue, flush ───────────────────────► stream to the worker; `worker_tasks.py` has dask run what is sent
    DaskPool.wait ◄── queue of messages ── facts of the worker, and the end of the stream

The module is long because both threads are in it. State: the commands that were not flushed, the running node. Runs in the
driver, in two threads. Neighbours: `links.py` owns the links of a pool, `host.py` is the other end.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import pickle
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from treadle.execution.attempt.failure import record_failure
from treadle.execution.executors.dask.blackboard_file import BlackboardReader
from treadle.execution.executors.dask.exits import Exit, ask_nanny, kill_worker
from treadle.execution.executors.dask.host import install, this_process
from treadle.execution.executors.dask.messages import KILL, OPEN, EndKeepAlive, Opened, QueuedJob, RunFiles, UseBlackboard
from treadle.execution.executors.dask.sent_parts import SentParts
from treadle.execution.executors.dask.shared_files import probes
from treadle.execution.executors.dask.worker_checks import (
    STILL_RUNS,
    UnusableWorkerError,
    call,
    check_basic_versions,
    check_files,
    check_folders,
    check_process,
    check_versions,
    remote,
    still_runs,
)
from treadle.execution.executors.dask.worker_tasks import WorkerTasks
from treadle.execution.protocol.messages import Cancel, Failed, Finished, Hello, Job, JobsReturned, Release, Started
from treadle.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from treadle.execution.executors.dask.code import ProjectCode
    from treadle.execution.executors.dask.host import Installed
    from treadle.execution.executors.dask.sent_parts import RunParts
    from treadle.execution.protocol.messages import BeginRun, Fact

_logger = logging.getLogger(__name__)

_KILL_SECONDS = 1.0
"""A worker that has not ended itself after this time, because compiled code blocks it, is ended by its nanny."""
_CLOSE_SECONDS = 10.0
"""How long closing the pool waits until the nanny of a worker has ended it: their machine may be gone."""
_CONNECT_SECONDS = 5.0
"""How long to try to connect to the nanny of a dead worker: its system accepts the connection, however busy the nanny is. If the
nanny or its machine has died too, dask would try again for 30 s, before which the nodes of the worker do not run elsewhere."""
_ENOUGH_NODES = 16
"""A worker with this many unreported nodes is not sent single ones: a message costs more than a tiny node."""
_WRITE_SECONDS = 10.0
"""The longest time for which a cancellation that does not get through is waited for."""


class Ended(NamedTuple):
    """The end of a link.

    Attributes:
        reason: why it could not be set up; None if it was.
        blackboard: the content of the worker's blackboard; None if there is none.
        exit: how the worker's process ended, as far as its nanny knows.
    """

    reason: str | None
    blackboard: bytes | None = None
    exit: Exit = Exit()


class Leaving(NamedTuple):
    """The worker retires; or it stays after all."""

    is_leaving: bool


class Unusable(NamedTuple):
    """A worker that cannot run the nodes of this driver, and why: the run ends."""

    reason: str


class Link:
    """One dask worker.

    Args:
        client: the client of the cluster.
        address: the worker's address.
        number: its number in the pool.
        pool: id of the pool.
        notify: takes the link and what happened: a list of facts, an Ended, a Leaving or an Unusable. Called on the client's
            event loop.
    """

    def __init__(self, client: Any, address: str, number: int, pool: str, notify: Callable[[Link, Any], None]) -> None:
        self.address, self.number = address, number
        self.pid = 0
        self.ready = False
        """True once the worker is set up."""
        self.started: Started | None = None
        """The running node, as far as it was reported."""
        self._client, self._pool, self._notify = client, pool, notify
        self._id = uuid.uuid4().hex[:12]
        self._unreported = 0  # how many nodes were sent to the worker and not reported yet
        self._sent: SentParts | None = None  # what the worker has of the current run
        self._commands: list[Any] = []
        self._is_urgent = False  # whether a command other than a job or a release was queued
        self.tasks = WorkerTasks(client, address, pool, self._id)
        self.finished = 0
        """How many nodes the worker has reported as finished, in all runs."""
        self._blackboard: BlackboardReader | None = None
        self._comm: Any = None
        self._is_closed = False
        self._was_killed = False
        self.is_leaving = False
        """True while dask retires the worker: it runs no new dask tasks."""
        self.was_shut_down = False
        """True if the worker said so before it ended."""

    @property
    def label(self) -> str:
        """The worker's number and its place in the cluster."""
        return f"worker-{self.number}@{self.address.partition('://')[2]}"

    # --- the thread of the run -------------------------------------------------------------------------------------------

    def begin(self, message: BeginRun, parts: RunParts) -> None:
        """Start a run on the worker.

        Args:
            message: the run without its datasets.
            parts: its datasets and files.
        """
        self.started, self._unreported = None, 0
        self._sent = SentParts(parts, self._id)
        self.queue(message)
        if parts.files is not None:
            self.queue(RunFiles(message.run))  # the worker makes a directory

    def note(self, fact: Fact | RunFiles) -> None:
        """Note what a fact of the current run says of the nodes that were sent."""
        if isinstance(fact, Started):
            self.started = fact
        elif isinstance(fact, RunFiles):
            if self._sent is not None:
                self._sent.receive(fact)
        elif isinstance(fact, Finished):
            self.started = None
            self._unreported -= 1
        elif isinstance(fact, Failed):
            self.started = None
            self._unreported -= 1 + len(fact.dropped)
        elif isinstance(fact, JobsReturned):
            self._unreported -= len(fact.nodes)

    def queue(self, command: Any) -> None:
        """Add a command to the next flush."""
        self._commands.append(command)
        self._is_urgent = self._is_urgent or type(command) not in (Job, Release)

    def flush(self, name_of: Callable[[int], str]) -> None:
        """Send the commands; submit a dask task if none takes the jobs. Some jobs for a worker that has enough wait for others.

        Args:
            name_of: returns the name of a node.
        """
        waits = self._unreported >= _ENOUGH_NODES > len(self._commands) and not self._is_urgent
        if waits or not self._commands:
            return
        commands, self._commands, self._is_urgent = self._commands, [], False
        if self._sent is not None:
            commands = [*self._sent.new_files(commands), *commands]
        for position, command in enumerate(commands):
            if type(command) is Job:
                sequence = self.tasks.add_job(name_of(command.nodes[0]))
                self._unreported += len(command.nodes)
                datasets = self._sent.new_datasets(command) if self._sent is not None else ()
                commands[position] = QueuedJob(sequence, command, datasets)
        written = asyncio.run_coroutine_threadsafe(
            self._write(pickle.dumps(commands, protocol=5)), self._client.loop.asyncio_loop
        )
        if any(type(command) is Cancel for command in commands):  # it must arrive before the next node starts
            with suppress(concurrent.futures.TimeoutError):  # the built-in one from Python 3.11 on
                written.result(_WRITE_SECONDS)
        self.tasks.ensure_task()

    def keep_alive(self, *, has_values: bool) -> None:
        """Keep adaptive scaling from removing the worker while it has values.

        Args:
            has_values: whether it has any now.
        """
        if has_values:
            self.tasks.keep_alive()
        elif self.tasks.end_keep_alive():
            self.queue(EndKeepAlive())

    def task_error(self) -> BaseException | None:
        """Return the error of a dask task that failed outside of any job, None if there is none."""
        return None if self._is_closed else self.tasks.error()

    # --- the event loop of the client ------------------------------------------------------------------------------------

    async def run(self, project: bytes, code: ProjectCode, folders: Mapping[str, str]) -> None:
        """Set the worker up and pass on what it reports, until the stream ends.

        Args:
            project: the pickled ProjectSpec.
            code: the project's code.
            folders: folders that the worker must see, each with the name of a dataset that has a file there.
        """
        try:
            ended = await self._serve(project, code, folders)
        except Exception:  # a defect, which asyncio logs: the run must not wait for this worker for ever
            self.close()
            self._notify(self, Ended(None))
            raise
        self._notify(self, ended)

    async def _serve(self, project: bytes, code: ProjectCode, folders: Mapping[str, str]) -> Ended:
        """Set the worker up and pass on what it reports; return how it ended."""
        reason: str | None = None
        try:
            await self._open(project, code, folders)
        except UnusableWorkerError as exc:
            self._notify(self, Unusable(str(exc)))
        except OSError as exc:
            reason = f"{type(exc).__name__}: {exc}"
        except Exception as exc:  # noqa: BLE001 - what installing the handlers raised in the worker: the pool reports it
            self._notify(self, [Hello(self.number, 0, 0, record_failure(exc, phase="setup"))])
        else:
            with suppress(OSError):  # CommClosedError is one
                while True:
                    self._notify(self, pickle.loads(await self._comm.read()))  # noqa: S301 - a worker of the user's cluster
        has_died = self._blackboard is not None and not self._is_closed
        self.close()
        if self._blackboard is not None and has_died:
            content = await self._blackboard.read(self._connect_to_nanny)
            return Ended(None, content, await self._find_exit(self._blackboard.nanny))
        return Ended(reason)

    async def _find_exit(self, nanny_address: str | None) -> Exit:
        """Return how the worker's process ended, as far as its nanny knows; or that it did not."""
        if not self.ready or self._was_killed or self.was_shut_down or self.is_leaving:
            return Exit()
        if await still_runs(self._client, self.address, self.pid):
            return Exit(None, STILL_RUNS)
        if nanny_address is None:
            return Exit()
        async with self._connect_to_nanny(nanny_address) as nanny:
            return await ask_nanny(nanny, self.pid)

    def _connect_to_nanny(self, address: str) -> Any:
        return remote(self._client, address, _CONNECT_SECONDS)

    async def _open(self, project: bytes, code: ProjectCode, folders: Mapping[str, str]) -> None:
        from distributed.comm import connect

        with probes(folders) as files:
            installed = await self._install(code.digest, list(files))
            check_process(self.address, is_this_one=installed.process == this_process())
            check_versions(self.address, installed.versions)
            check_files(self.address, installed.unseen, files)
        self._comm = await connect(self.address, **self._client.security.get_connection_args("client"))
        if self._is_closed:  # the pool was closed while this connected
            self._comm.abort()
        message = {"op": OPEN, "reply": False, "pool": self._pool, "number": self.number, "label": self.label}
        await self._comm.write(
            {
                **message,
                "task": self.tasks.setup_key,
                "project": project,
                "code": (code.digest, b"" if installed.has_code else code.archive),
            }
        )
        opened: Opened = pickle.loads(await self._comm.read())  # noqa: S301 - a worker of the user's cluster
        if opened.blackboard is None:
            self._notify(self, [Hello(self.number, 0, 0, opened.failure)])
            return
        self._blackboard = BlackboardReader(opened.blackboard, installed.nanny)
        if self._blackboard.is_possible:
            await self._write(pickle.dumps([UseBlackboard()]))
        self.tasks.set_up()

    async def _install(self, digest: str, probes: list[str]) -> Installed:
        try:
            installed: Installed = await call(self._client, self.address, install, digest=digest, probes=probes)
        except (OSError, UnusableWorkerError):
            raise
        except Exception:
            await check_basic_versions(self._client, self.address)
            raise
        return installed

    async def check_folders(self, folders: Mapping[str, str]) -> None:
        """Raise if the worker does not see folders of this machine.

        Args:
            folders: the folders, each with the name of a dataset that has a file there.

        Raises:
            UnusableWorkerError: it does not.
        """
        await check_folders(self._client, self.address, folders)

    async def _write(self, data: bytes) -> None:
        with suppress(OSError):  # the worker is gone, and `run` reports it
            await self._comm.write(data)

    def note_status(self, status: str | None) -> None:
        """Pass on whether the worker retires.

        Args:
            status: what the dask scheduler says of it; None if it does not know the worker.
        """
        is_leaving = status == "closing_gracefully"
        if is_leaving != self.is_leaving:
            self.is_leaving = is_leaving
            self._notify(self, Leaving(is_leaving))

    @property
    def is_busy(self) -> bool:
        """Whether nodes were sent to the worker that it has not reported yet."""
        return self._unreported > 0

    async def kill(self, *, if_idle: bool = True) -> None:
        """End the worker's process, however long its machine takes to answer.

        Args:
            if_idle: False to leave it if its node finishes within a moment.
        """
        self._was_killed = True
        worker = asyncio.ensure_future(self._ask_to_end(if_idle=if_idle))
        _done, waiting = await asyncio.wait([worker], timeout=_KILL_SECONDS)
        try:
            if waiting and not await self._have_nanny_kill():
                await worker
        finally:
            worker.cancel()

    async def kill_to_close(self) -> None:
        """End the worker's process, unless its node finishes within a moment, or its machine does not answer for long.

        Without a nanny, nothing ends a worker that compiled code blocks, so waiting for it would only delay the end of the run.
        """
        has_nanny = self._blackboard is not None and self._blackboard.nanny is not None
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self.kill(if_idle=False), _CLOSE_SECONDS if has_nanny else _KILL_SECONDS)

    async def _have_nanny_kill(self) -> bool:
        """Have the worker's nanny end its process; return whether there is a nanny that did."""
        nanny = self._blackboard.nanny if self._blackboard is not None else None
        with suppress(OSError, asyncio.TimeoutError):  # the host may be gone
            if nanny is not None:
                async with remote(self._client, nanny) as connection:
                    await connection.run(function=pickle.dumps(kill_worker), kwargs=pickle.dumps({"pid": self.pid}))
                    return True
        return False

    async def _ask_to_end(self, *, if_idle: bool) -> None:
        with suppress(OSError):  # it has ended
            async with remote(self._client, self.address) as worker:
                await getattr(worker, KILL)(pool=self._pool, if_idle=if_idle)

    async def remove_blackboard(self) -> None:
        """Remove the blackboard of a worker that has ended, or ends now, without using its content."""
        if self._blackboard is not None:
            await self._blackboard.remove(self._connect_to_nanny)

    def close(self) -> None:
        """End the stream: the worker then forgets all that the pool has there."""
        self._is_closed = True
        if self._comm is not None:
            self._comm.abort()
