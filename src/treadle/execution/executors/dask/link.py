"""The driver's end of the stream to one dask worker.

::

    thread of the run                 event loop of the client
    queue, flush ───────────────────► stream to the worker ; a dask task (a turn), unless one takes the jobs already
    DaskPool.wait ◄── queue of news ── facts of the worker, and the end of the stream

A turn takes jobs until none is left, and reports its end with the ticket of the last job that it knew of. Jobs that were sent
after that one need another turn. State: the commands that were not flushed, the running node, the dask tasks. Runs in the driver,
in two threads.
Neighbours: `pool.py` owns the links, `host.py` is the other end.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import os
import pickle
import uuid
from collections import deque
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from treadle.execution.attempt.failure import record_failure
from treadle.execution.executors.dask.board import BoardReader
from treadle.execution.executors.dask.host import install, run_turn
from treadle.execution.executors.dask.messages import KILL, OPEN, RunFiles, Ticketed, UseBoard
from treadle.execution.executors.dask.sent_parts import SentParts
from treadle.execution.executors.dask.shared_files import probes, unseen
from treadle.execution.executors.dask.versions import differences, table, versions
from treadle.execution.protocol.messages import Cancel, Failed, Finished, Hello, Job, JobsReturned, Release, Started

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from treadle.execution.executors.dask.code import ProjectCode
    from treadle.execution.executors.dask.host import Installed
    from treadle.execution.executors.dask.messages import TurnEnded
    from treadle.execution.executors.dask.sent_parts import RunParts
    from treadle.execution.protocol.messages import BeginRun, Fact

_logger = logging.getLogger(__name__)

_KILL_SECONDS = 1.0
"""A worker that has not ended itself after this time, because compiled code holds it up, is ended by its nanny."""
_ENOUGH_NODES = 16
"""A worker that has so many nodes is not sent more of them one by one: a message costs more than a tiny node."""
_WRITE_SECONDS = 10.0
"""The longest time for which a cancellation that does not get through is waited for."""


class Ended(NamedTuple):
    """The end of a link.

    Attributes:
        reason: why it could not be set up; None if it was.
        board: the content of the worker's blackboard; None if there is none.
    """

    reason: str | None
    board: bytes | None = None


class Unusable(NamedTuple):
    """A worker that cannot run the nodes of this driver, and why: the run ends."""

    reason: str


class UnusableWorkerError(Exception):
    """A worker cannot run the nodes of this driver; the text says why."""


class Link:
    """One dask worker.

    Args:
        client: the client of the cluster.
        address: the worker's address.
        number: its number in the pool.
        pool: id of the pool.
        news: takes what happens: the link, and a list of facts or an Ended. Called on the client's event loop.
    """

    def __init__(self, client: Any, address: str, number: int, pool: str, news: Callable[[Link, Any], None]) -> None:
        self.address, self.number = address, number
        self.pid = 0
        self.ready = False
        """True once the worker is set up."""
        self.started: Started | None = None
        """The running node, as far as it was reported."""
        self._client, self._pool, self._news = client, pool, news
        self._id = uuid.uuid4().hex[:12]
        self._unreported = 0  # how many nodes were sent to the worker and not reported yet
        self._sent: SentParts | None = None  # what the worker has of the current run
        self._commands: list[Any] = []
        self._is_urgent = False  # whether a command other than a job or a release was queued
        self._ticket = 0
        self._turn = 0
        self._waiting: deque[tuple[int, str]] = deque()  # jobs that no turn has reported: ticket, name of the first node
        self._has_turn = False  # whether a dask task takes the jobs that are sent
        self._turns: deque[Any] = deque()  # dask futures, in order
        self.finished = 0
        """How many nodes the worker has reported as finished, in all runs."""
        self._board: BoardReader | None = None
        self._comm: Any = None
        self._is_closed = False

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
                self._ticket += 1
                self._waiting.append((self._ticket, name_of(command.nodes[0])))
                self._unreported += len(command.nodes)
                datasets = self._sent.new_datasets(command) if self._sent is not None else ()
                commands[position] = Ticketed(self._ticket, command, datasets)
        written = asyncio.run_coroutine_threadsafe(
            self._write(pickle.dumps(commands, protocol=5)), self._client.loop.asyncio_loop
        )
        if any(type(command) is Cancel for command in commands):  # it is worth nothing if it comes too late
            with suppress(concurrent.futures.TimeoutError):  # the built-in one from Python 3.11 on
                written.result(_WRITE_SECONDS)
        self._need_turn()

    def turn_ended(self, ended: TurnEnded) -> None:
        """A turn ended: submit another one for the jobs that it did not know of."""
        self._has_turn = False
        while self._waiting and self._waiting[0][0] <= ended.ticket:
            self._waiting.popleft()
        self._need_turn()

    def _need_turn(self) -> None:
        if self._waiting and not self._has_turn:
            self._submit(self._waiting[0][1], self._waiting[0][0])

    def _submit(self, name: str, ticket: int) -> None:
        self._has_turn, self._turn = True, self._turn + 1
        self._turns.append(
            self._client.submit(
                run_turn,
                self._pool,
                ticket,
                key=f"{name}-{self._turn}-{self._id}",  # never used before: dask would not run a known key again
                workers=[self.address],
                allow_other_workers=False,
                pure=False,
                retries=0,
            )
        )

    def failed_turn(self) -> BaseException | None:
        """Return the error of a dask task that failed outside of any job, None if there is none."""
        for turn in self._turns:
            if turn.status == "error" and not self._is_closed:
                error: BaseException = turn.exception()
                return error
        return None

    def release_turns(self) -> None:
        """Have dask forget the tasks, also those that its dead worker can no longer run."""
        self._turns.clear()

    @property
    def has_turns(self) -> bool:
        """Whether there are dask tasks that were not released."""
        return bool(self._turns)

    # --- the event loop of the client ------------------------------------------------------------------------------------

    async def run(self, project: bytes, code: ProjectCode, folders: Mapping[str, str]) -> None:
        """Set the worker up and pass on what it reports, until the stream ends.

        Args:
            project: the pickled ProjectSpec.
            code: the project's code.
            folders: folders that the worker must see, each with the name of a dataset that has a file there.
        """
        reason: str | None = None
        try:
            await self._open(project, code, folders)
        except UnusableWorkerError as exc:
            self._news(self, Unusable(str(exc)))
        except OSError as exc:
            reason = f"{type(exc).__name__}: {exc}"
        except Exception as exc:  # noqa: BLE001 - what installing the handlers raised in the worker: the pool reports it
            self._news(self, [Hello(self.number, 0, 0, record_failure(exc, phase="setup"))])
        else:
            with suppress(OSError):  # CommClosedError is one
                while True:
                    self._news(self, pickle.loads(await self._comm.read()))  # noqa: S301 - a worker of the user's cluster
        has_died = self._board is not None and not self._is_closed
        self.close()
        board = await self._board.read(partial(remote, self._client)) if self._board is not None and has_died else None
        self._news(self, Ended(reason, board))

    async def _open(self, project: bytes, code: ProjectCode, folders: Mapping[str, str]) -> None:
        from distributed.comm import connect

        with probes(folders) as files:
            installed: Installed = await self._call(install, digest=code.digest, probes=list(files))
            self._check_versions(installed.versions)
            self._check_files(installed.unseen, files)
        self._comm = await connect(self.address, **self._client.security.get_connection_args("client"))
        message = {"op": OPEN, "reply": False, "pool": self._pool, "number": self.number, "label": self.label}
        await self._comm.write(
            {**message, "project": project, "code": (code.digest, b"" if installed.has_code else code.archive)}
        )
        self._board = BoardReader(await self._comm.read(), installed.nanny)
        if self._board.is_possible:
            await self._write(pickle.dumps([UseBoard()]))
        self._submit("treadle-setup", 0)

    def remote(self) -> Any:
        """Return a connection to the worker, for a `with`; the client would keep its own open."""
        return remote(self._client, self.address)

    async def _call(self, function: Callable[..., Any], **arguments: Any) -> Any:
        """Call a function of Treadle's in the worker, on its event loop."""
        async with self.remote() as worker:
            answer = await worker.run(function=pickle.dumps(function), kwargs=pickle.dumps(arguments))
        if answer["status"] == "OK":
            return answer["result"]
        if isinstance(answer["exception"], ModuleNotFoundError):
            missing = answer["exception"].name
            msg = (
                f"The dask worker at {self.address} cannot import '{missing}'. Workers need Treadle, in the version of this "
                f"process ({versions()['treadle']}): install 'treadle[dask]' in their environment."
            )
            raise UnusableWorkerError(msg)
        raise answer["exception"]

    async def check_folders(self, folders: Mapping[str, str]) -> None:
        """Raise if the worker does not see folders of this machine.

        Args:
            folders: the folders, each with the name of a dataset that has a file there.

        Raises:
            UnusableWorkerError: it does not.
        """
        with probes(folders) as files:
            self._check_files(await self._call(unseen, paths=list(files)), files)

    def _check_files(self, missing: list[str], files: Mapping[str, str]) -> None:
        if missing:
            folder = os.path.dirname(missing[0])
            msg = (
                f"The dask worker at {self.address} does not see the files of this machine: dataset '{files[missing[0]]}' has "
                f"its file in {folder}. Keep it where all workers can reach it (a shared file system, S3, a database), or run "
                "its nodes in the main process (run_in: main). If the file system is shared and this is a mistake, say so: "
                "shared_file_system=True."
            )
            raise UnusableWorkerError(msg)

    def _check_versions(self, there: Mapping[str, str]) -> None:
        here = versions()
        breaking, differ = differences(here, there)
        if breaking:
            msg = (
                f"The dask worker at {self.address} has other versions of {', '.join(breaking)} than this process, so that "
                f"values could not be passed on:\n{table(here, there, differ)}\nInstall the same versions on both sides."
            )
            raise UnusableWorkerError(msg)
        if differ:
            _logger.warning("The dask worker at %s has other versions:\n%s", self.address, table(here, there, differ))

    async def _write(self, data: bytes) -> None:
        with suppress(OSError):  # the worker is gone, and `run` reports it
            await self._comm.write(data)

    def release_done_turns(self) -> None:
        """Have dask forget the tasks that are done: it would run them again if the worker that holds their results died."""
        while self._turns and self._turns[0].status == "finished":
            self._turns.popleft()

    async def kill(self) -> None:
        """End the worker's process."""
        worker = asyncio.ensure_future(self._ask_to_end())
        _done, waiting = await asyncio.wait([worker], timeout=_KILL_SECONDS)
        if waiting:
            worker.cancel()
            await self._client.scheduler.restart_workers(workers=[self.address], timeout=30, on_error="return")

    async def _ask_to_end(self) -> None:
        with suppress(OSError):  # it has ended
            async with self.remote() as worker:
                await getattr(worker, KILL)(pool=self._pool)

    def close(self) -> None:
        """End the stream: the worker then forgets all that the pool has there."""
        self._is_closed = True
        if self._comm is not None:
            self._comm.abort()


def remote(client: Any, address: str) -> Any:
    """Return a connection to a worker, for an `async with`.

    Args:
        client: has the security settings of the cluster.
        address: the worker's address.
    """
    from distributed.core import rpc

    return rpc(address, connection_args=client.security.get_connection_args("client"))
