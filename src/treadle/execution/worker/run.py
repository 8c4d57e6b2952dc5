"""What a worker process has of one run: its nodes, catalog and hooks, each made when it is first used, and its values.

State: that of the run in this process. Neighbours: `worker.py` hands it jobs, `attempt.py` takes each node through its steps.
"""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Any

from treadle.errors import DatasetError
from treadle.execution.attempt.attempt import AttemptFailedError, attempt_node
from treadle.execution.attempt.failure import record_failure
from treadle.execution.protocol.handles import CannotLeaveError, Handle, Inline, PinnedValue, RemoteValue, Segment
from treadle.execution.protocol.messages import Failed, Finished, Job, RunSpec
from treadle.execution.values.ownership import large_size
from treadle.execution.values.pickling import ATOMS
from treadle.execution.values.transfer import (
    RESIDENT_BYTES,
    LocalValues,
    NoRoomError,
    describe_no_room,
    publish,
)
from treadle.execution.worker.facts import worker_facts
from treadle.execution.worker.forwarding import flush_forwarded
from treadle.execution.worker.open_run import OpenRun
from treadle.forks import fork_safe

if TYPE_CHECKING:
    from collections.abc import Mapping

    from treadle.execution.values.budget import Budget
    from treadle.execution.worker.bootstrap import WorkerProcess

FLUSH_BATCH_SIZE = 32
"""So many facts go out at once: half of what may wait in a worker, so that it has work while the parent sends more."""


class WorkerRun:
    """What this process has of one run."""

    def __init__(
        self,
        number: int,
        spec: RunSpec,
        worker: WorkerProcess,
        files: dict[int, Handle],
        budget: Budget,
    ) -> None:
        self._number = number
        self._spec = spec
        self._worker = worker
        self._handles: dict[int, Handle] = {}
        self._files = files
        self._budget = budget
        self._last: dict[int, int] = {}
        self._is_over = False
        run = OpenRun(spec, worker_facts(worker), worker.between_runs, on_node=self._enter_node)
        self._context = run.context
        self._values = LocalValues(run.copy_modes.get)
        self._values_lock = fork_safe(threading.Lock())  # the monitor thread publishes while the main thread runs nodes

    def accept(self, job: Job) -> None:
        """Take a job's inputs in; those in memory files are among the files already."""
        self._last = dict(job.last)
        for dataset, handle in job.inputs:
            if not handle.needs_descriptor:
                self._handles[dataset] = handle

    def forget_inputs(self) -> None:
        """Forget what came with the last job."""
        self._handles.clear()

    def attempt(self, index: int, job: Job, rest: tuple[int, ...]) -> bool:
        """Run one node of a job and report; False where it failed, and the rest of the job with it."""
        worker = self._worker
        begun, since = time.time(), time.monotonic()
        worker.blackboard.begin(worker.place, self._number, index, begun, since)
        worker.current = (self._number, index, begun)
        given: dict[int, Handle] = {}
        made: dict[int, Any] = {}  # what stays in this process
        keeping: int | None = None
        try:
            times = attempt_node(
                self._context,
                index,
                take=lambda dataset: self._take(dataset, index),
                give=lambda dataset, value: self._give(dataset, value, job, given, made),
            )
            if made:
                with self._values_lock:
                    for dataset in list(made):
                        keeping = dataset
                        self._values.settle(made, dataset)
        except BaseException as exc:  # noqa: BLE001 - the worker's edge: copying a value to keep runs the code of its class
            self._report_failure(index, (begun, begun + time.monotonic() - since), rest, exc, keeping, given)
            return False
        finally:
            flush_forwarded()
            worker.sender.post()  # before the node's own fact
            worker.running = None
            worker.current = None
            worker.blackboard.end(worker.place)
        descriptors: list[int] = []  # the channel takes them over
        for dataset, handle in given.items():
            if handle.fd is not None:
                descriptors.append(handle.fd)
                given[dataset] = handle.with_descriptor(None)  # as it travels
        outputs = tuple(given.items())
        worker.blackboard.finish(worker.place, self._number, index, begun, times.at)
        message = Finished(
            self._number, index, begun, times.at, times.load_seconds, times.run_seconds, times.save_seconds, outputs
        )
        if worker.channel.post(message, descriptors) >= FLUSH_BATCH_SIZE:
            worker.channel.flush()
        return True

    def _report_failure(
        self,
        index: int,
        times: tuple[float, float],
        rest: tuple[int, ...],
        exc: BaseException,
        keeping: int | None,
        given: Mapping[int, Handle],
    ) -> None:
        """Report that an attempt failed, or that a value that it made could not be kept, and give back what it handed over."""
        for handle in given.values():
            self._take_back(handle)
        if isinstance(exc, AttemptFailedError):
            failure = exc.failure
        else:
            name = self._spec.dataset_names[keeping] if keeping is not None else None
            failure = record_failure(exc, phase="save" if name is not None else "run", dataset=name)
        self._worker.channel.send(Failed(self._number, index, *times, failure, rest))

    def _take(self, dataset: int, index: int) -> Any:
        last = self._last.get(dataset) == index
        with self._values_lock:
            handle = self._files.get(dataset) or self._handles.get(dataset)
            if dataset in self._values and (last or handle is None):
                return self._values.take(dataset, last=last)
        if handle is None:
            name = self._spec.dataset_names[dataset]
            msg = f"The value of '{name}' is gone: the worker that had it has given it away. Run its node again."
            raise DatasetError(msg, dataset=name)
        return handle.load()

    def publish(self, dataset: int, spare: int | None = None) -> Handle:
        """Make a resident value fit to travel, in a spare memory file where one came along.

        Who takes it here until the parent has it dropped gets it from the file as well, so that it is not in memory twice.

        Returns:
            Its handle; PinnedValue, with the reason, where it cannot travel.
        """
        with self._values_lock:
            here = dataset in self._values
            value = self._values.peek(dataset) if here else None
        if not here:
            if spare is not None:
                os.close(spare)
            return PinnedValue(self._worker.number, "its worker no longer has it")
        handle: Handle
        try:
            handle = publish(value, self._worker.spec.scratch, budget=self._budget, spare=spare)
        except CannotLeaveError as exc:
            handle = PinnedValue(self._worker.number, str(exc))
        except NoRoomError as exc:
            handle = PinnedValue(self._worker.number, str(exc), large_size(value))
        del value
        self._count(handle)
        if isinstance(handle, Segment) and (own := handle.reopened()) is not None:
            with self._values_lock:
                if self._is_over:  # meanwhile, and its files are closed
                    own.close()
                else:
                    self._files[dataset] = own
                    self._values.drop(dataset)
        return handle

    def end(self) -> None:
        """The run is over: what is published from now on leaves nothing here."""
        with self._values_lock:
            self._is_over = True

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
            self._take_back(before)
        size = 0 if type(value) in ATOMS or self._spec.is_result[dataset] else large_size(value)
        if size >= RESIDENT_BYTES and self._worker.spec.keeps_values and self._budget.has_room(size):
            made[dataset] = value
            given[dataset] = RemoteValue(self._worker.number, size)
            self._count(given[dataset])
            return
        try:
            given[dataset] = publish(value, self._worker.spec.scratch, budget=self._budget)
            self._count(given[dataset])
        except NoRoomError as exc:
            name, node = self._spec.dataset_names[dataset], self._worker.running
            raise DatasetError(describe_no_room(name, node, exc), dataset=name, node=node) from exc
        except CannotLeaveError as exc:
            name = self._spec.dataset_names[dataset]
            if self._spec.is_result[dataset]:
                msg = (
                    f"The value of '{name}' cannot leave the worker process that made it: {exc}. It is a free output, so the run "
                    "must hand it over; give it an entry in the catalog, return something that pickles, or use a "
                    "runner without worker processes (sequential or thread)."
                )
                raise DatasetError(msg, dataset=name) from exc
            made[dataset] = value
            given[dataset] = PinnedValue(self._worker.number, str(exc))

    def _count(self, handle: Handle, sign: int = 1) -> None:
        if type(handle) is Inline:
            return
        size, files = handle.memory
        if size:
            self._budget.note_made(self._worker.place, sign * size, sign * files)

    def _take_back(self, handle: Handle) -> None:
        """Give back what was handed over, before the parent heard of it."""
        self._count(handle, -1)
        handle.close()

    def _enter_node(self, name: str) -> None:
        self._worker.running = name
