"""One run in a loky worker process: run the nodes of its jobs, keep their values, report the results.

Runs in workers. `server.py` passes it jobs and other commands, `open_run.py` sets up the run's nodes, catalog and hooks, and
`attempt/attempt.py` runs one node. State: the values of the run that are in this process, and the handles of the job's inputs.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from treadle.errors import DatasetError
from treadle.execution.attempt.attempt import AttemptFailedError, attempt_node
from treadle.execution.attempt.failure import record_failure
from treadle.execution.protocol.handles import (
    IN_MESSAGE,
    Atom,
    Handle,
    PinnedValue,
    RemoteValue,
    Segment,
    UnpicklableValueError,
    is_small_atom,
)
from treadle.execution.protocol.messages import Failed, Finished, Job, RunSpec
from treadle.execution.values.pickling import ATOMS
from treadle.execution.values.sizes import large_size
from treadle.execution.values.transfer import (
    RESIDENT_BYTES,
    LocalValues,
    NoRoomError,
    describe_no_room,
    describe_unpicklable_result,
    publish,
)
from treadle.execution.worker.facts import worker_facts
from treadle.execution.worker.forwarding import flush_forwarded
from treadle.execution.worker.open_run import OpenRun
from treadle.execution.worker.streams import unfinished_lines
from treadle.forks import fork_safe
from treadle.named_tuple import new_record

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Mapping

    from treadle.execution.processes.heap import Heap
    from treadle.execution.values.budget import Budget
    from treadle.execution.worker.bootstrap import WorkerProcess

FLUSH_BATCH_SIZE = 128
"""Number of facts that are sent together: few of the nodes that may be queued in a worker, so it has work until more arrive."""

FLUSH_SECONDS = 0.004
"""How long facts wait at most, unless a node takes longer: less than the work that may be queued in a worker takes."""


class WorkerRun:
    """The state of one run in this worker process.

    Args:
        number: number of the run.
        spec: description of the run.
        wiring: number of its wiring.
        worker: this process.
        files: the memory files that this worker received, by dataset: a live dictionary that the server fills.
        budget: the memory that values take in all processes.
        heap: the free memory of this process.
    """

    def __init__(
        self,
        number: int,
        spec: RunSpec,
        wiring: int,
        worker: WorkerProcess,
        files: dict[int, Handle],
        budget: Budget,
        heap: Heap,
    ) -> None:
        self._number = number
        self._spec = spec
        self._worker = worker
        self._handles: dict[int, Handle] = {}
        self._files = files
        self._budget = budget
        self._heap = heap
        self._index = -1  # of the current node
        self._last: dict[int, int] = {}  # of the current job: the last consumer of each dataset that it uses up
        self._local: frozenset[int] = frozenset()  # the datasets that only the current job uses
        self._outputs: dict[int, Handle] = {}  # of the current node: handles of the outputs that are reported to the parent
        self._kept: dict[int, Any] = {}  # of the current node: outputs that stay in this process
        self._flush_at = 0.0  # by the monotonic clock
        self._ended = False
        run = OpenRun(spec, worker_facts(worker), worker.between_runs, on_node=self._enter_node, wiring=wiring)
        self._context = run.context
        self._values = LocalValues(run.copy_modes.get)
        self._values_lock = fork_safe(threading.Lock())  # the monitor thread publishes while the main thread runs nodes

    def accept(self, job: Job) -> None:
        """Keep the handles of a job's inputs. The server has added those in memory files to `files` already."""
        self._last = dict(job.last) if job.last else {}
        self._local = frozenset(job.local)
        for dataset, handle in job.inputs:
            if not handle.needs_descriptor:
                self._handles[dataset] = handle

    def forget_inputs(self) -> None:
        """Forget the handles of the last job's inputs."""
        self._handles.clear()

    def attempt(self, index: int, dependent: deque[int]) -> None:
        """Run one node of a job and report the result.

        Args:
            index: plan index of the node.
            dependent: the later nodes of the job that need this one. If it fails, they are removed and reported as not started.
        """
        worker = self._worker
        self._index = index
        started, since = time.time(), time.monotonic()
        worker.blackboard.begin(worker.place, self._number, index, started, since)
        worker.current = (self._number, index, started)
        handles, kept = self._outputs, self._kept
        storing: int | None = None
        try:
            times = attempt_node(
                self._context, index, load_input=self._load_input, store_output=self._store_output, started=started
            )
            if kept:
                with self._values_lock:
                    for dataset in list(kept):
                        storing = dataset
                        # `large_size` has looked at all cells of a value that stays here as it is.
                        is_plain = dataset in handles and handles[dataset].placement.movable
                        self._values.store_output(kept, dataset, is_plain=is_plain)
        except BaseException as exc:  # noqa: BLE001 - user code raises anything, copying a value to keep it included: report it
            at = started + time.monotonic() - since
            self._outputs, self._kept = {}, {}
            self._leave_node()
            worker.blackboard.end(worker.place)
            self._report_failure(index, (started, at), take_all(dependent), exc, storing, handles)
            return
        self._leave_node()
        descriptors: list[int] = []  # the channel closes them after sending
        for dataset, handle in handles.items():
            if type(handle) not in IN_MESSAGE and handle.fd is not None:
                descriptors.append(handle.fd)
                handles[dataset] = handle.with_descriptor(None)
        _started, at, load_seconds, run_seconds, save_seconds, contents = times
        worker.blackboard.finish(worker.place, self._number, index, started, at)
        outputs = tuple(handles.items())
        handles.clear()
        fields = (self._number, index, started, at, load_seconds, run_seconds, save_seconds, outputs, contents)
        took = at - started
        if worker.channel.post(new_record(Finished, fields), descriptors) >= FLUSH_BATCH_SIZE or since + took >= self._flush_at:
            self._flush_at = since + took + FLUSH_SECONDS
            worker.channel.flush()
        if self._heap.node_ended(took):
            worker.channel.flush()  # the parent need not wait for it
            self._heap.trim()

    def _report_failure(
        self,
        index: int,
        times: tuple[float, float],
        rest: tuple[int, ...],
        exc: BaseException,
        storing: int | None,
        handles: Mapping[int, Handle],
    ) -> None:
        """Report a failed attempt and free the outputs that it had published.

        Args:
            index: plan index of the node.
            times: start and end of the attempt, in seconds since the epoch.
            rest: the later nodes of the job.
            exc: exception of the attempt, or of storing an output in this process.
            storing: the dataset that was being stored in this process, if any.
            handles: handles of the published outputs.
        """
        for handle in handles.values():
            self._free_unreported(handle)
        if isinstance(exc, AttemptFailedError):
            failure = exc.failure
        else:
            name = self._spec.dataset_names[storing] if storing is not None else None
            failure = record_failure(exc, phase="save" if name is not None else "run", dataset=name)
        self._worker.channel.send(Failed(self._number, index, *times, failure, rest))

    def _load_input(self, dataset: int) -> Any:
        """Load the value of an in-memory input for the current node."""
        last = self._last.get(dataset) == self._index
        with self._values_lock:
            handle = self._files.get(dataset) or self._handles.get(dataset)
            if dataset in self._values and (last or handle is None):
                return self._values.load_input(dataset, last=last)
        if handle is None:
            name = self._spec.dataset_names[dataset]
            msg = (
                f"The value of '{name}' is not in this worker: it was released, or moved to another process. Run the node that "
                "makes it again."
            )
            raise DatasetError(msg, dataset=name)
        return handle.load()

    def publish(self, dataset: int, spare: int | None = None) -> Handle:
        """Pickle a value that stayed in this worker, so that other processes can load it.

        If the pickle is in a file, later nodes of this worker load the value from it too, and the object is freed, so that the
        value is not in memory twice.

        Args:
            dataset: index of the dataset.
            spare: descriptor of an unused memory file to overwrite, if the parent sent one.

        Returns:
            The value's handle; a PinnedValue with the reason if the value cannot be pickled or there is no space for it.
        """
        with self._values_lock:
            is_stored = dataset in self._values
            value = self._values.peek(dataset) if is_stored else None
        if not is_stored:
            if spare is not None:
                os.close(spare)
            return PinnedValue(self._worker.number, "its worker no longer has it")
        handle: Handle
        try:
            handle = publish(value, self._worker.spec.scratch, budget=self._budget, spare=spare)
        except UnpicklableValueError as exc:
            handle = PinnedValue(self._worker.number, str(exc))
        except NoRoomError as exc:
            handle = PinnedValue(self._worker.number, str(exc), large_size(value))
        del value
        self._count(handle)
        if isinstance(handle, Segment) and (reopened := handle.reopened()) is not None:
            with self._values_lock:
                if self._ended:  # the run ended during the pickling, and its files are closed
                    reopened.close()
                else:
                    self._files[dataset] = reopened
                    self._values.discard(dataset)
        return handle

    def end(self) -> None:
        """Mark the run as ended: a `publish` that is still in progress leaves no open file behind."""
        with self._values_lock:
            self._ended = True

    def release(self, dataset: int) -> None:
        """Free a value if it is stored here."""
        with self._values_lock:
            self._values.discard(dataset)

    def _store_output(self, dataset: int, value: Any) -> None:
        """Store an output of the current node: the value if it stays in this process, and its handle if it is reported.

        A generator's dataset is stored once for each chunk; the last chunk replaces the earlier ones.
        """
        handles, kept = self._outputs, self._kept
        if dataset in self._local:
            kept[dataset] = value
            return
        if handles:  # more than one output, or more than one chunk
            kept.pop(dataset, None)
            if (earlier_chunk := handles.pop(dataset, None)) is not None:
                self._free_unreported(earlier_chunk)
        if is_small_atom(value):  # the nodes that make these are the tiniest
            handles[dataset] = new_record(Atom, (value,))
            return
        size = 0 if type(value) in ATOMS or self._spec.is_result[dataset] else large_size(value)
        if size >= RESIDENT_BYTES and self._worker.spec.keeps_values and self._budget.has_room(size):
            kept[dataset] = value
            handles[dataset] = RemoteValue(self._worker.number, size)
            self._count(handles[dataset])
            return
        try:
            handles[dataset] = handle = publish(value, self._worker.spec.scratch, budget=self._budget)
            if type(handle) not in IN_MESSAGE:  # most values are
                self._count(handle)
        except NoRoomError as exc:
            name, node = self._spec.dataset_names[dataset], self._worker.running
            raise DatasetError(describe_no_room(name, node, exc), dataset=name, node=node) from exc
        except UnpicklableValueError as exc:
            name = self._spec.dataset_names[dataset]
            if self._spec.is_result[dataset]:
                msg = describe_unpicklable_result(name, exc)
                raise DatasetError(msg, dataset=name) from exc
            kept[dataset] = value
            handles[dataset] = PinnedValue(self._worker.number, str(exc))

    def _count(self, handle: Handle, sign: int = 1) -> None:
        """Count a value towards the memory budget; with `sign=-1`, no longer count it."""
        size, files = handle.memory
        if size:
            self._budget.add_created(self._worker.place, sign * size, sign * files)

    def _free_unreported(self, handle: Handle) -> None:
        """Free a published value that was not reported to the parent."""
        self._count(handle, -1)
        handle.close()

    def _enter_node(self, name: str) -> None:
        self._worker.running = name

    def _leave_node(self) -> None:
        worker = self._worker
        if unfinished_lines.may_exist:
            flush_forwarded()
        if worker.sender.has_output:
            worker.sender.post()  # the node's output goes before its result
        worker.running = None
        worker.current = None


def take_all(nodes: deque[int]) -> tuple[int, ...]:
    """Remove and return all nodes; each goes to one thread only, even if another one takes some at the same time."""
    taken = []
    with suppress(IndexError):
        while True:
            taken.append(nodes.popleft())
    return tuple(taken)
