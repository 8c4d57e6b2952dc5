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
import os
import pickle
import select
import socket
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from treadle.errors import DatasetError
from treadle.execution.attempt import AttemptFailedError, RunScope, attempt_node
from treadle.execution.bootstrap import this_worker
from treadle.execution.channel import ChannelClosedError
from treadle.execution.exchange import RESIDENT_BYTES, CannotLeaveError, LocalValues, close_handle, load_handle, publish, size_of
from treadle.execution.failure import record_failure
from treadle.execution.forwarding import flush_forwarded
from treadle.execution.handover import large_size
from treadle.execution.job import (
    BeginRun,
    Cancel,
    Drop,
    Dropped,
    EndRun,
    Failed,
    Finished,
    Handle,
    Hello,
    HookPayload,
    Job,
    Kept,
    Publish,
    Published,
    Resident,
    RunSpec,
    Segment,
    Started,
    Stop,
)
from treadle.hooks import create_hook_manager
from treadle.io.catalog import Catalog, CatalogPart
from treadle.io.memory import CopyMode
from treadle.project.configure import configure_count, configured_project
from treadle.project.logging import apply_levels

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pluggy

    from treadle.execution.bootstrap import WorkerProcess
    from treadle.pipeline import Node


PATIENCE_SECONDS = 0.01
"""How long facts wait for company, and how long a node may run before the jobs behind it are given back."""


def serve() -> None:
    """Serve the parent until it says stop or is gone: the pool's one task in this process."""
    worker = this_worker()
    worker.channel.send(Hello(worker.number, os.getpid(), configure_count(), worker.failure))
    if worker.failure is not None:
        with contextlib.suppress(ChannelClosedError):
            worker.channel.receive()  # the parent's goodbye: to return now would end the process before it was heard
        return
    server = _Server(worker)
    try:
        server.serve()
    except ChannelClosedError:
        return  # the parent closed the conversation: it is done with this worker, or gone


class _Server:
    """Takes commands in their order; between nodes it looks for a Cancel that overtakes them.

    Facts of tiny nodes wait in the channel until the worker has nothing more to do, at most some milliseconds: the
    attendant, a thread, sends them when a node takes longer, and then gives back the jobs that wait behind it.
    """

    def __init__(self, worker: WorkerProcess) -> None:
        self._worker = worker
        self._channel = worker.channel
        self._lock = threading.Lock()  # of the commands: the attendant takes jobs out
        self._commands: deque[tuple[Any, list[int]]] = deque()
        self._specs: dict[int, bytes] = {}
        self._runs: dict[int, WorkerRun] = {}
        self._reading = threading.Lock()  # of the channel: one thread reads at a time
        self._standing_in = False
        self._wake_read, self._wake_write = socket.socketpair()
        self._wake_read.setblocking(False)  # noqa: FBT003 - the socket's own signature
        self._wake_write.setblocking(False)  # noqa: FBT003 - the same
        self._attention = threading.Event()
        self._busy = False  # with a job: between two nodes of it there is no current one
        threading.Thread(target=self._attend, name="treadle-attendant", daemon=True).start()

    def serve(self) -> None:
        while True:
            command, descriptors = self._next()
            if isinstance(command, Job):
                self._busy = True
                self._attention.set()
                self._run(command, descriptors)
                self._busy = False
            elif isinstance(command, Publish):
                self._publish(command)
            elif isinstance(command, Drop):
                if command.run in self._runs:
                    self._runs[command.run].drop(command.dataset)
            elif isinstance(command, BeginRun):
                self._specs[command.run] = command.spec
            elif isinstance(command, EndRun):
                self._specs.pop(command.run, None)
                self._runs.pop(command.run, None)
            elif isinstance(command, Stop):
                return

    def _next(self) -> tuple[Any, list[int]]:
        with self._lock:
            if self._commands:
                return self._commands.popleft()
        self._channel.flush()
        with self._reading:
            with self._lock:
                if self._commands:  # the attendant has read on in the meantime
                    return self._commands.popleft()
            return self._channel.receive()

    def _attend(self) -> None:
        """Send what waits while a node takes its time."""
        asleep = threading.Event()  # never set: to wait a while
        with contextlib.suppress(ChannelClosedError):
            while self._attention.wait():
                self._attention.clear()
                current = self._worker.current
                asleep.wait(PATIENCE_SECONDS)
                if current is not None and self._worker.current is current:
                    self._channel.post(current)
                    self._give_back_waiting()
                    self._channel.flush()
                    self._publish_waiting()  # the main thread may have read them between two nodes of its job
                    self._stand_in(current)
                self._channel.flush()
                if self._busy:  # the next node of the job needs attention too
                    self._attention.set()

    def _stand_in(self, current: Started) -> None:
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
                if self._worker.current is current:
                    self._take_in(current)
        finally:
            self._standing_in = False

    def _take_in(self, current: Started) -> None:
        with self._reading:
            if self._worker.current is not current:
                return
            arrived = self._channel.receive_ready()
            with self._lock:  # before the main thread may read: it finds them, and in their order
                self._commands.extend(arrived)
        self._publish_waiting()
        self._give_back_waiting()
        self._channel.flush()

    def _relieve(self) -> None:
        """From the main thread: the node is over, it reads again itself."""
        if self._standing_in:
            with contextlib.suppress(BlockingIOError):
                self._wake_write.send(b"\0")

    def _publish_waiting(self) -> None:
        """What others wait for goes out now, whatever else waits here."""
        with self._lock:
            asked = [command for command, _fds in self._commands if isinstance(command, Publish)]
            if asked:
                self._commands = deque(item for item in self._commands if not isinstance(item[0], Publish))
        for command in asked:
            self._publish(command)

    def _publish(self, command: Publish) -> None:
        run = self._runs.get(command.run)
        if run is None:
            return
        handle = run.publish(command.dataset, spill=command.spill)
        if handle is not None:
            descriptors = [handle.fd] if isinstance(handle, Segment) and handle.fd is not None else []
            travelling = handle._replace(fd=None) if isinstance(handle, Segment) else handle
            self._channel.post(Published(command.run, command.dataset, travelling), descriptors)
            self._channel.flush()

    def _give_back_waiting(self) -> None:
        """A node takes long: the jobs behind it may run elsewhere."""
        with self._lock:
            waiting = [(command, fds) for command, fds in self._commands if isinstance(command, Job)]
            self._commands = deque(item for item in self._commands if not isinstance(item[0], Job))
        for job, descriptors in waiting:
            for fd in descriptors:
                os.close(fd)
            self._channel.post(Dropped(job.run, job.nodes))

    def _run(self, job: Job, descriptors: list[int]) -> None:
        begun = time.time()
        try:
            run = self._open(job.run)
        except Exception as exc:  # noqa: BLE001 - unpickling hooks and datasets imports the project's code: its error is the first job's
            for fd in descriptors:
                os.close(fd)
            failure = record_failure(exc, phase="setup")
            self._channel.post(Failed(job.run, job.nodes[0], begun, time.time(), failure, job.nodes[1:]))
            return
        run.accept(job, descriptors)
        self._attempt_nodes(run, job)
        run.forget_inputs()

    def _attempt_nodes(self, run: WorkerRun, job: Job) -> None:
        for position, index in enumerate(job.nodes):
            if self._cancelled(job.run):
                self._channel.post(Dropped(job.run, job.nodes[position:]))
                return
            succeeded = run.attempt(index, job, job.nodes[position + 1 :])
            self._relieve()
            if not succeeded:
                return

    def _open(self, number: int) -> WorkerRun:
        if number not in self._runs:
            self._runs[number] = WorkerRun(number, pickle.loads(self._specs[number]), self._worker)  # noqa: S301
        return self._runs[number]

    def _cancelled(self, run: int) -> bool:
        """Look for a Cancel of this run; the jobs of it that wait are given back."""
        with self._reading:
            arrived = self._channel.receive_ready()
        with self._lock:
            self._commands.extend(arrived)
            if not any(isinstance(command, Cancel) and command.run == run for command, _ in self._commands):
                return False
            self._commands = deque(item for item in self._commands if not isinstance(item[0], Cancel))
        self._give_back_waiting()
        return True


class WorkerRun:
    """What this process has of one run."""

    def __init__(self, number: int, spec: RunSpec, worker: WorkerProcess) -> None:
        self._number = number
        self._spec = spec
        self._worker = worker
        self._groups: dict[int, tuple[Node, ...]] = {}
        self._handles: dict[int, Handle] = {}
        self._last: dict[int, int] = {}
        self._copy_modes = {dataset: CopyMode(mode) for dataset, mode in spec.copy_modes}
        self._values = LocalValues(self._copy_modes.get)
        self._values_lock = threading.Lock()  # the attendant publishes while the main thread runs nodes
        self._pickled = dict(spec.objects)
        apply_levels(spec.levels, worker.levels)
        worker.levels = spec.levels
        # Another framework's run has a catalog of its own, behind the conduct; ours stays empty then.
        catalog_class = pickle.loads(spec.catalog_class) if spec.opener is None else Catalog  # noqa: S301 - the parent sent it
        self._catalog: Catalog = catalog_class.from_part(CatalogPart(spec.recipes, (), spec.save_version))
        if spec.parameters is not None:
            self._catalog.add_parameters(pickle.loads(spec.parameters))  # noqa: S301 - the parent sent it
        self._scope = RunScope(
            run_id=spec.run_id,
            node=self._node,
            inputs=spec.inputs,
            outputs=spec.outputs,
            dataset_names=spec.dataset_names,
            in_memory=spec.in_memory,
            copy_mode=self._copy_modes.get,
            catalog=self._catalog,
            hooks=_rebuild_hooks(spec.hooks),
            is_async=spec.is_async,
            conduct=pickle.loads(spec.opener).open() if spec.opener is not None else None,  # noqa: S301 - the parent sent it
        )

    def accept(self, job: Job, descriptors: list[int]) -> None:
        """Take a job's inputs in."""
        self._last = dict(job.last)
        arrived = iter(descriptors)
        for dataset, handle in job.inputs:
            if isinstance(handle, Segment) and handle.path is None:
                handle = handle._replace(fd=next(arrived))  # noqa: PLW2901 - the same handle, with its descriptor here
            self._handles[dataset] = handle

    def forget_inputs(self) -> None:
        """Close what came with the last job: a value that was loaded from it keeps its own map."""
        _close(self._handles.values())
        self._handles.clear()

    def attempt(self, index: int, job: Job, rest: tuple[int, ...]) -> bool:
        """Run one node of a job and report; False where it failed, and the rest of the job with it."""
        worker = self._worker
        begun = time.time()
        worker.blackboard.begin(worker.place, self._number, index, begun)
        worker.current = Started(self._number, index, begun)
        given: dict[int, Handle] = {}
        made: dict[int, Any] = {}  # what stays in this process
        try:
            times = attempt_node(
                self._scope,
                index,
                take=lambda dataset: self._take(dataset, index),
                give=lambda dataset, value: self._give(dataset, value, job, given, made),
            )
        except AttemptFailedError as failed:
            for handle in given.values():
                close_handle(handle)
            worker.channel.post(Failed(self._number, index, begun, time.time(), failed.failure, rest))
            return False
        finally:
            flush_forwarded()
            worker.running = None
            worker.current = None
            worker.blackboard.end(worker.place)
        with self._values_lock:
            for dataset in list(made):
                self._values.settle(made, dataset)
        outputs: list[tuple[int, Handle]] = []
        sizes: list[tuple[int, int]] = []
        descriptors: list[int] = []  # the channel takes them over
        for dataset, handle in given.items():
            sizes.append((dataset, size_of(handle)))
            if isinstance(handle, Segment) and handle.fd is not None:
                descriptors.append(handle.fd)
                handle = handle._replace(fd=None)  # noqa: PLW2901 - as it travels
            outputs.append((dataset, handle))
        message = Finished(
            self._number,
            index,
            begun,
            times.at,
            times.load_seconds,
            times.run_seconds,
            times.save_seconds,
            tuple(outputs),
            tuple(sizes),
        )
        worker.channel.post(message, descriptors)
        return True

    def _take(self, dataset: int, index: int) -> Any:
        last = self._last.get(dataset) == index
        with self._values_lock:
            if dataset in self._values and (last or dataset not in self._handles):
                return self._values.take(dataset, last=last)
        return load_handle(self._handles[dataset])

    def publish(self, dataset: int, *, spill: bool) -> Handle | None:
        """Make a resident value fit to travel; it stays here too. None where it is here no more."""
        with self._values_lock:
            if dataset not in self._values:
                return None
            value = self._values.peek(dataset)
        try:
            return publish(value, self._worker.spec.scratch, spill=spill)
        except (CannotLeaveError, OSError) as exc:
            return Kept(self._worker.number, str(exc))

    def drop(self, dataset: int) -> None:
        """Forget a value."""
        with self._values_lock:
            self._values.drop(dataset)

    def _give(self, dataset: int, value: Any, job: Job, given: dict[int, Handle], made: dict[int, Any]) -> None:
        if dataset in job.local:
            made[dataset] = value
            return
        made.pop(dataset, None)  # a generator's earlier chunk
        if (before := given.pop(dataset, None)) is not None:
            close_handle(before)
        if not self._spec.is_result[dataset] and (size := large_size(value)) >= RESIDENT_BYTES:
            made[dataset] = value
            given[dataset] = Resident(self._worker.number, size)
            return
        try:
            given[dataset] = publish(value, self._worker.spec.scratch, spill=job.spill)
        except CannotLeaveError as exc:
            name = self._spec.dataset_names[dataset]
            if self._spec.is_result[dataset]:
                msg = (
                    f"The value of '{name}' cannot leave the worker process that made it: {exc}. It is a free output, so the run "
                    "must hand it over; give it an entry in the catalog, return something that pickles, or run with "
                    "runner='sequential' or 'thread'."
                )
                raise DatasetError(msg, dataset=name) from exc
            made[dataset] = value
            given[dataset] = Kept(self._worker.number, str(exc))

    def _node(self, index: int) -> Node:
        group, position = self._spec.node_at[index]
        if group not in self._groups:
            self._groups[group] = pickle.loads(self._spec.node_groups[group])  # noqa: S301 - the parent sent it
        node = self._groups[group][position]
        self._worker.running = node.name
        for name in (*node.inputs, *node.outputs, *node.confirms) if self._pickled else ():
            if name in self._pickled:  # a dataset that was given as an object
                self._catalog[name] = pickle.loads(self._pickled[name])  # noqa: S301 - the parent sent it
                del self._pickled[name]
        return node


def _close(handles: Iterable[Handle]) -> None:
    """Close this process's descriptors of memory files; files with a path belong to the parent."""
    for handle in handles:
        if isinstance(handle, Segment) and handle.fd is not None:
            os.close(handle.fd)


def _rebuild_hooks(payloads: tuple[HookPayload, ...]) -> pluggy.PluginManager | None:
    """Register the run's plugins in their order, so that they are called in the order they have in the parent."""
    if not payloads:
        return None
    manager = create_hook_manager()
    for payload in payloads:
        if payload.pickled is not None:
            plugin = pickle.loads(payload.pickled)  # noqa: S301 - the parent sent it
        else:
            plugin = configured_project().settings.HOOKS[payload.settings_index or 0]
        manager.register(plugin, payload.name)
    return manager
