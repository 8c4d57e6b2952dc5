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
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from treadle.errors import DatasetError
from treadle.execution.attempt import AttemptFailedError, RunScope, attempt_node
from treadle.execution.bootstrap import this_worker
from treadle.execution.channel import ChannelClosedError
from treadle.execution.exchange import CannotLeaveError, LocalValues, load_handle, publish, size_of
from treadle.execution.failure import record_failure
from treadle.execution.forwarding import flush_forwarded
from treadle.execution.job import (
    BeginRun,
    Cancel,
    Dropped,
    EndRun,
    Failed,
    Finished,
    Handle,
    Hello,
    HookPayload,
    Job,
    Kept,
    RunSpec,
    Segment,
    Started,
    Stop,
)
from treadle.hooks import create_hook_manager
from treadle.io.catalog import CatalogPart
from treadle.io.memory import CopyMode
from treadle.project.configure import configure_count, configured_project
from treadle.project.logging import apply_levels

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pluggy

    from treadle.execution.bootstrap import WorkerProcess
    from treadle.io import Catalog
    from treadle.pipeline import Node


PATIENCE_SECONDS = 0.01
"""How long facts wait for company, and how long a node may run before the jobs behind it are given back."""


def serve() -> None:
    """Serve the parent until it says stop or is gone: the pool's one task in this process."""
    worker = this_worker()
    worker.channel.send(Hello(worker.number, os.getpid(), configure_count(), worker.failure))
    if worker.failure is not None:
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
        self._attention = threading.Event()
        threading.Thread(target=self._attend, name="treadle-attendant", daemon=True).start()

    def serve(self) -> None:
        while True:
            command, descriptors = self._next()
            if isinstance(command, Job):
                self._attention.set()
                self._run(command, descriptors)
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
        return self._channel.receive()

    def _attend(self) -> None:
        """Send what waits while a node takes its time."""
        asleep = threading.Event()  # never set: to wait a while
        with contextlib.suppress(ChannelClosedError):
            while self._attention.wait():
                began = self._worker.began
                asleep.wait(PATIENCE_SECONDS)
                self._channel.flush()
                if began and self._worker.began == began:
                    self._give_back_waiting()
                if not self._worker.began or self._worker.began == began:
                    self._attention.clear()

    def _give_back_waiting(self) -> None:
        """A node takes long: the jobs behind it may run elsewhere."""
        with self._lock:
            waiting = [(command, fds) for command, fds in self._commands if isinstance(command, Job)]
            self._commands = deque(item for item in self._commands if not isinstance(item[0], Job))
        for job, descriptors in waiting:
            for fd in descriptors:
                os.close(fd)
            self._channel.post(Dropped(job.run, job.nodes))
        self._channel.flush()

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
            if not run.attempt(index, job, job.nodes[position + 1 :]):
                return

    def _open(self, number: int) -> WorkerRun:
        if number not in self._runs:
            self._runs[number] = WorkerRun(number, pickle.loads(self._specs[number]), self._worker)  # noqa: S301
        return self._runs[number]

    def _cancelled(self, run: int) -> bool:
        """Look for a Cancel of this run; the jobs of it that wait are given back."""
        with self._lock:
            self._commands.extend(self._channel.receive_ready())
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
        self._pickled = dict(spec.objects)
        apply_levels(spec.levels, worker.levels)
        worker.levels = spec.levels
        catalog_class = pickle.loads(spec.catalog_class)  # noqa: S301 - the parent sent it
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
        worker.began = begun
        worker.channel.post(Started(self._number, index, begun))
        given: dict[int, Handle] = {}
        try:
            times = attempt_node(
                self._scope,
                index,
                take=lambda dataset: self._take(dataset, index),
                give=lambda dataset, value: self._give(dataset, value, job, given),
            )
        except AttemptFailedError as failed:
            _close(given.values())
            worker.channel.post(Failed(self._number, index, begun, time.time(), failed.failure, rest))
            return False
        finally:
            flush_forwarded()
            worker.running = None
            worker.began = 0.0
            worker.blackboard.end(worker.place)
        handles = tuple(given.items())
        descriptors = [handle.fd for _, handle in handles if isinstance(handle, Segment) and handle.fd is not None]
        sizes = tuple((dataset, size_of(handle)) for dataset, handle in handles)
        outputs = tuple(
            (dataset, handle._replace(fd=None) if isinstance(handle, Segment) else handle) for dataset, handle in handles
        )
        message = Finished(
            self._number,
            index,
            begun,
            times.at,
            times.load_seconds,
            times.run_seconds,
            times.save_seconds,
            outputs,
            sizes,
        )
        worker.channel.post(message, descriptors)
        _close(given.values())
        return True

    def _take(self, dataset: int, index: int) -> Any:
        if dataset in self._values:
            return self._values.take(dataset, last=self._last.get(dataset) == index)
        return load_handle(self._handles[dataset])

    def _give(self, dataset: int, value: Any, job: Job, given: dict[int, Handle]) -> None:
        if dataset in job.local:
            self._values.put(dataset, value)
            return
        before = given.pop(dataset, None)
        if before is not None:
            _close((before,))  # a generator's earlier chunk
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
            self._values.put(dataset, value)
            given[dataset] = Kept(self._worker.number, str(exc))

    def _node(self, index: int) -> Node:
        group, position = self._spec.node_at[index]
        if group not in self._groups:
            self._groups[group] = pickle.loads(self._spec.node_groups[group])  # noqa: S301 - the parent sent it
        node = self._groups[group][position]
        self._worker.running = node.name
        for name in (*node.inputs, *node.outputs) if self._pickled else ():
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
