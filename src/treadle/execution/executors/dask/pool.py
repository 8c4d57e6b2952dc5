"""The pool of a dask cluster's workers: it finds them, also while a run goes on, and runs jobs on them through `link.py`.

::

    driver                                               dask worker n
    ┌──────────────────────────────┐                    ┌───────────────────────────────────────┐
    │ DaskPool      jobs ──► Link n ════ stream ═══════►│ HostedPool: queue of jobs             │
    │               tasks ─► scheduler ── dask task ───►│ run_jobs: runs the jobs               │
    │   facts, logs ◄─────── Link n ◄═══ stream ════════│ facts, logs                           │
    │ ClusterStore: handles        │                    │ values ◄═══ read by other workers ═══►│
    └──────────────────────────────┘                    └───────────────────────────────────────┘

The module is long because it is the whole pool, as the protocol has it. State: the current run. Runs in the driver. Neighbours:
`links.py` has the links.
"""

from __future__ import annotations

import asyncio
import logging
import pickle
import time
import uuid
from typing import TYPE_CHECKING, Any

from treadle.errors import RunnerError
from treadle.execution.executors.dask.blackboard_file import last_nodes, ran_in
from treadle.execution.executors.dask.code import ProjectCode
from treadle.execution.executors.dask.fetching import ValueGoneError, read_value
from treadle.execution.executors.dask.health import ClusterHealth
from treadle.execution.executors.dask.link import Ended, Leaving, Unusable
from treadle.execution.executors.dask.links import Links
from treadle.execution.executors.dask.messages import InputsLost, RunFiles, ShutDown, TaskEnded
from treadle.execution.executors.dask.received import for_this_machine
from treadle.execution.executors.dask.scaling import Scaling
from treadle.execution.executors.dask.sent_parts import RunParts
from treadle.execution.executors.dask.worker_checks import remote
from treadle.execution.executors.events import Report, SetupFailed, WorkerDown, WorkerLeaving, WorkerUp
from treadle.execution.executors.mailbox import Mailbox
from treadle.execution.executors.protocol import Capabilities
from treadle.execution.executors.unreported import UnreportedResults
from treadle.execution.protocol.messages import (
    BeginRun,
    Cancel,
    EndRun,
    Failed,
    Finished,
    Hello,
    JobsReturned,
    Logged,
    Output,
    Started,
)
from treadle.execution.worker.forwarding import log_record, write_output

if TYPE_CHECKING:
    from collections.abc import Callable

    from treadle.execution.executors.dask.hosted_run import PickledValue
    from treadle.execution.executors.dask.link import Link
    from treadle.execution.executors.dask.messages import ClusterValue
    from treadle.execution.executors.events import PoolEvent
    from treadle.execution.packing.bundle import RunBundle
    from treadle.execution.protocol.messages import Job, Release, Transfer
    from treadle.execution.protocol.project import ProjectSpec

_logger = logging.getLogger(__name__)

_CHECK_SECONDS = 0.5
"""How often a `wait` without messages checks the cluster."""
_GRACE_SECONDS = 1.0
"""How long `close` waits for the dask tasks, which end by themselves; dask logs a warning for each that it has to cancel."""
_KINDS_WITH_TEXT = frozenset({Logged, Output, Hello, Failed})
_NO_CODE = ProjectCode("", b"")


class DaskPool:
    """The workers of a dask cluster.

    Args:
        client: the client, which stays open when the pool is closed.
        project: what the workers are set up from.
        code: the project's code, for workers that do not have it.
        max_workers: the most workers to use; None for all.
        worker_timeout: seconds without any worker after which a run fails.
        shared_file_system: whether workers see the files of this machine; None to find out.
        before_kill: called before workers are killed when the pool is closed.
        closed: called when the pool has been closed.
    """

    def __init__(
        self,
        client: Any,
        project: ProjectSpec,
        code: ProjectCode = _NO_CODE,
        *,
        max_workers: int | None = None,
        worker_timeout: float = 60.0,
        shared_file_system: bool | None = None,
        before_kill: Callable[[], None] = lambda: None,
        closed: Callable[[], None] = lambda: None,
    ) -> None:
        self._client, self._code = client, code
        self._project = pickle.dumps(project._replace(code_paths=()), protocol=5)  # they are paths of this machine
        self._before_kill, self._closed = before_kill, closed
        pool = uuid.uuid4().hex[:8]
        self._links = Links(client, pool, max_workers, lambda *message: self._messages.put(message), self._run_link)
        self._messages: Mailbox[tuple[Link, Any]] = Mailbox()
        self.scaling = Scaling(client, pool, self._links)
        """What dask is shown of the pool's work."""
        self.capabilities = Capabilities(
            processes=True, can_kill=True, queues=True, local=False, label_of=self._links.label, follow=self.scaling.follow
        )
        self._run = 0
        self._message: BeginRun | None = None
        self._parts: RunParts | None = None
        self._unreported = UnreportedResults()
        self._name_of: Callable[[int], str] = str
        self._ready: list[PoolEvent] = []
        self._warm: set[int] = set()  # process ids of the workers that were ready when the run began
        self._is_closed = False
        self._health = ClusterHealth(client, worker_timeout, shared_file_system=shared_file_system)

    # --- a run -----------------------------------------------------------------------------------------------------------

    def start(self, number: int, run: RunBundle) -> frozenset[int]:
        """Start a run on the workers that are set up; others are reported when they are."""
        self._parts = RunParts(run)
        self._health.check_folders(run, self._links)
        self._links.watch()
        self._run, nodes = number, run.plan.nodes
        self._message = None
        self._messages.handle_all(self._handle)  # those that arrived between two runs
        self._message = BeginRun(number, self._parts.spec)
        self._name_of = lambda index: nodes[index].name
        self._unreported.begin(number, run.plan)
        self._health.begin()
        self._ready, self._warm = [], {link.pid for link in self._links if link.ready}
        self.scaling.begin()
        for link in self._links:
            link.started = None
            if link.ready:
                link.begin(self._message, self._parts)
                self._ready.append(WorkerUp(link.number, link.pid, 0))
                if link.is_leaving:
                    self._ready.append(WorkerLeaving(link.number))
        return self._parts.main_only

    def send(self, worker: int, *commands: Job | Transfer | Release | Cancel) -> None:
        """Queue commands; `flush` sends them."""
        if (link := self._links.get(worker)) is not None:
            for command in commands:
                link.queue(command)

    def flush(self) -> None:
        """Send the queued commands."""
        for link in self._links:
            link.flush(self._name_of)

    def wait(self, timeout: float | None = None) -> list[PoolEvent]:
        """Block until there are events. The next call returns those that were received before an interrupt."""
        self.flush()
        end = None if timeout is None else time.monotonic() + timeout
        while not self._ready:
            if self.scaling.update():
                self.flush()
            left = _CHECK_SECONDS if end is None else min(_CHECK_SECONDS, end - time.monotonic())
            if self._messages.wait(left):
                if self._messages.handle_all(self._handle):
                    break
                continue
            self._health.check(self._links)
            if end is not None and time.monotonic() >= end:
                break
        events, self._ready = self._ready, []
        return events

    def wake(self) -> None:
        """End a `wait` that another thread is in."""
        self._messages.wake()

    def running(self) -> dict[int, Started]:
        """Return the running nodes, as far as they were reported."""
        return {link.number: link.started for link in self._links if link.started is not None}

    def kill(self, worker: int) -> None:
        """End a worker's process; its nanny starts another one."""
        if (link := self._links.get(worker)) is not None:
            self._client.loop.add_callback(link.kill)

    def restart(self, worker: int) -> None:
        """Do nothing: the nanny, or whatever manages the cluster, starts workers, and the pool uses those that come."""

    def worn(self) -> list[int]:
        """Return no worker: workers are not replaced."""
        return []

    def retire(self, worker: int) -> None:
        """Do nothing: workers are not replaced."""

    def end(self) -> None:
        """End the run: its values are freed in the workers."""
        self.scaling.end()
        self._message = self._parts = None
        for link in self._links:
            if link.ready:
                link.keep_alive(has_values=False)
                link.queue(EndRun(self._run))
                link.flush(self._name_of)
            link.started = None

    def close(self, *, kill: bool = False) -> None:
        """Close the streams: the workers forget the pool; `kill` ends those whose node goes on."""
        if self._is_closed:
            return
        self._is_closed = True
        self._links.stop()
        busy = [link for link in self._links if link.is_busy] if kill else []
        if busy:
            self._before_kill()
        try:
            self._client.sync(self._close, busy)
        except RuntimeError:
            if self._client.status not in ("closing", "closed"):
                raise  # else the application has closed the client, and its event loop is over
        finally:  # also after Ctrl-C
            self._links.clear()
            self.scaling.end()
            self._closed()

    async def _close(self, busy: list[Link]) -> None:
        await asyncio.gather(*(link.kill_to_close() for link in busy), return_exceptions=True)
        for link in busy:
            link.tasks.release()  # no task of a killed worker ends
        for link in self._links:
            link.close()
        await asyncio.gather(*(link.remove_blackboard() for link in self._links), return_exceptions=True)
        end = time.monotonic() + _GRACE_SECONDS
        while not all(link.tasks.are_released for link in self._links) and time.monotonic() < end:
            await asyncio.sleep(0.005)
            for link in self._links:
                link.tasks.release_finished()

    # --- values ----------------------------------------------------------------------------------------------------------

    def read(self, handle: ClusterValue, dataset: int) -> PickledValue | None:
        """Read a value from its worker, for a node of the main process; None if it was lost: the worker is then given up.

        Args:
            handle: where it is.
            dataset: its index.
        """
        try:
            value: PickledValue = self._client.sync(self._read, handle, dataset)
        except ValueGoneError as exc:
            _logger.warning("A value for a node of the main process was lost: %s.", exc)
            for link in self._links.at(handle.address):
                self._client.loop.add_callback(link.close)
                self._messages.put((link, Ended(None)))
            return None
        return value

    async def _read(self, handle: ClusterValue, dataset: int) -> PickledValue:
        async with remote(self._client, handle.address) as worker:
            return await read_value(lambda _address: worker, handle, self._run, dataset)

    # --- what happens in the cluster -------------------------------------------------------------------------------------

    async def _run_link(self, link: Link) -> None:
        await link.run(self._project, self._code, self._health.folders)

    def _handle(self, item: tuple[Link, Any]) -> None:
        link, message = item
        if isinstance(message, Ended):
            self._ready += self._lost(link, message)
        elif isinstance(message, Leaving):
            self._ready += self._leaving(link, message)
        elif isinstance(message, Unusable):
            raise RunnerError(message.reason, name="dask")
        else:
            while message:  # a list of facts
                link.finished += type(message[0]) is Finished
                self._ready += self._handle_fact(link, message[0])
                del message[0]

    def _handle_fact(self, link: Link, fact: Any) -> list[PoolEvent]:
        kind = type(fact)
        if kind in _KINDS_WITH_TEXT:
            fact = for_this_machine(fact, self._code)
        if kind is Logged:
            log_record(fact)
        elif kind is Output:
            write_output(fact)
        elif kind is Hello:
            return self._set_up(link, fact)
        elif kind is TaskEnded:
            link.tasks.task_ended(fact)
        elif kind is ShutDown:
            link.was_shut_down = True
        elif fact.run != self._run or self._message is None or not self._links.has(link):
            pass  # of an earlier run
        elif kind is InputsLost:
            return self._inputs_lost(link, fact)
        else:
            if kind is Started:
                fact = fact._replace(since=time.monotonic())
            link.note(fact)
            return [Report(link.number, fact)] if kind is not RunFiles else []
        return []

    def _set_up(self, link: Link, hello: Hello) -> list[PoolEvent]:
        if hello.failure is not None:
            return [SetupFailed(link.number, hello.failure, None, hello.pid)]
        link.ready, link.pid = True, hello.pid
        if self._message is None or self._parts is None:
            return []
        link.begin(self._message, self._parts)
        leaving = [WorkerLeaving(link.number)] if link.is_leaving else []
        return [WorkerUp(link.number, hello.pid, hello.configured), *leaving]

    def _leaving(self, link: Link, message: Leaving) -> list[PoolEvent]:
        """Have a worker that retires return its jobs, because dask starts no task there; or use it again."""
        if not link.ready or self._message is None or not self._links.has(link):
            return []
        if message.is_leaving:
            link.queue(Cancel(self._run))
        return [WorkerLeaving(link.number, message.is_leaving)]

    def _lost(self, link: Link, ended: Ended) -> list[PoolEvent]:
        if not self._links.has(link):
            return []
        self._links.remove(link, ended.reason)
        self._health.begin()
        if not link.ready or self._message is None:
            return []
        started, finished, was_idle = link.started, [], False
        if ended.blackboard is not None:
            was_idle = link.pid in self._warm and not ran_in(ended.blackboard, self._run)
            started, unreported = last_nodes(ended.blackboard, self._run, link.finished)
            finished = self._unreported.facts(link.number, unreported)
        down = WorkerDown(link.number, link.pid, ended.exit.code, None, None, 0, reason=ended.exit.reason)
        down = down._replace(left=link.was_shut_down, was_idle=was_idle)
        if started is not None:
            down = down._replace(node=started.node, started=started.at, seconds=max(0.0, time.time() - started.at))
        return [*(Report(link.number, fact) for fact in finished), down]

    def _inputs_lost(self, link: Link, fact: InputsLost) -> list[PoolEvent]:
        """Give up the worker that an input could not be read from; the nodes that were to take it run later."""
        events: list[PoolEvent] = []
        for holder in self._links.at(fact.address):
            self._client.loop.add_callback(holder.close)
            events += self._lost(holder, Ended(None))
        returned = JobsReturned(fact.run, fact.nodes)
        link.note(returned)
        return [*events, Report(link.number, returned)]
