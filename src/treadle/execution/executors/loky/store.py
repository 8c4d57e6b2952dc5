"""The parent's store of a run's in-memory values: their handles, by dataset.

State: the handles, and the values that cannot leave this process. The scheduler tracks where each value is and which nodes need
it; a handle is only used to load, send or free a value. Runs in the parent. Neighbours: `segments.py` owns the memory files.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

from treadle.errors import DatasetError
from treadle.execution.executors.loky.segments import Segments
from treadle.execution.protocol.handles import (
    DESCRIPTOR_LIMIT,
    IN_MESSAGE,
    Atom,
    Handle,
    Inline,
    PinnedValue,
    RemoteValue,
    Segment,
    UnpicklableValueError,
)
from treadle.execution.protocol.messages import MAIN
from treadle.execution.protocol.spilled import open_spilled
from treadle.execution.values.sizes import large_size
from treadle.execution.values.transfer import LocalValues, NoRoomError, describe_no_room, publish
from treadle.forks import fork_safe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from treadle.execution.packing.bundle import RunBundle
    from treadle.execution.protocol.placement import Placement


class SegmentStore:
    """The handles of a run's in-memory datasets; this process owns all their memory files, and frees them.

    Args:
        scratch: directory for values that are spilled.
        workers: number of workers.
        limit: bytes that values may take in memory; half of the memory that this process may use if None.
    """

    def __init__(self, scratch: str, workers: int, limit: int | None = None) -> None:
        self._scratch = scratch
        self._segments = Segments(scratch, workers, limit)
        self._owner = os.getpid()
        self._lock = fork_safe(threading.RLock())  # a node here uses the store while another thread runs the loop
        self._handles: dict[int, Handle] = {}
        self._local_values = LocalValues(lambda _dataset: None)

    def begin(self, run: RunBundle) -> None:
        """Start a run."""
        datasets = run.plan.datasets
        self._segments.begin()
        self._name: Callable[[int], str] = lambda index: datasets[index].name
        self._handles = {}
        self._local_values = LocalValues(run.copy_mode)

    def put(self, dataset: int, value: Any) -> Placement:
        """Store a value; one that cannot leave this process is kept as an object, for the worker MAIN.

        Returns:
            The placement of the value.

        Raises:
            DatasetError: there is no room for it.
        """
        with self._lock:
            try:
                handle = self._publish(dataset, value)
            except UnpicklableValueError as exc:
                self._local_values.store_as_is(dataset, value)
                handle = PinnedValue(MAIN, str(exc))
            self.keep([(dataset, handle)], MAIN)
            return handle.placement

    def store_output(self, dataset: int, value: Any) -> Handle:
        """Store an output of a node in this process during its attempt; `keep` follows if the attempt succeeds.

        Raises:
            DatasetError: there is no room for it.
        """
        with self._lock:
            self._local_values.discard(dataset)  # an earlier chunk of a generator
            try:
                return self._publish(dataset, value)
            except UnpicklableValueError as exc:
                self._local_values.store_copy(dataset, value)
                return PinnedValue(MAIN, str(exc))

    def _publish(self, dataset: int, value: Any) -> Handle:
        size = large_size(value) if self._segments.has_idle else 0  # determining the size of a data frame takes time
        try:
            spare = self._segments.spare(size) if size else None
            return publish(value, self._scratch, budget=self._segments.budget, spare=spare)
        except NoRoomError as exc:
            name = self._name(dataset)
            raise DatasetError(describe_no_room(name, None, exc), dataset=name) from exc

    def fetch(self, datasets: Iterable[int]) -> bool:  # noqa: ARG002 - the values are here
        """Return True: every value that a node of this process loads is in this process."""
        return True

    def load_input(self, dataset: int, *, last: bool) -> Any:
        """Return an input for a node in this process, which may change it; `last` is True for the last consumer of the value."""
        with self._lock:
            if dataset in self._local_values:
                return self._local_values.load_input(dataset, last=last)
            handle = self._handles[dataset]
            if handle.fd is None:
                return handle.load()
            fd = self._segments.share(handle.fd)
        try:
            return handle.with_descriptor(fd).load()
        finally:
            os.close(fd)

    def keep(self, outputs: Iterable[tuple[int, Handle]], worker: int) -> None:
        """Keep the handles of a node's outputs.

        If the store has a value already, the node ran again because another output of it was lost. The first value is kept,
        because jobs that were sent refer to it.
        """
        handles, made = self._handles, dict(outputs)
        with self._lock:
            if IN_MESSAGE.issuperset(map(type, made.values())) and handles.keys().isdisjoint(made):
                handles.update(made)  # most values, and often those of many nodes
                return
            for dataset, handle in made.items():
                if dataset in handles and handles[dataset].worker is None:
                    self._free(handle, worker)
                    continue
                handles[dataset] = handle
                if type(handle) not in IN_MESSAGE:
                    self._segments.add(handle, worker)

    def keep_transferred(self, dataset: int, handle: Handle, worker: int) -> bool:
        """Keep the handle of a value that a worker transferred.

        Returns:
            False if the value is no longer expected, and was freed.
        """
        with self._lock:
            before = self._handles.get(dataset)
            if before is None or not before.placement.movable or before.worker is None:
                self._free(handle, worker)
                return False
            self._handles[dataset] = handle
            self._segments.add(handle, worker)
            return True

    def _free(self, handle: Handle, worker: int) -> None:
        """Free a value that a worker made and no node needs."""
        self._segments.add(handle, worker)
        self._segments.free(handle)

    def handles(self, datasets: Iterable[int]) -> list[tuple[int, Handle]]:
        """Return handles that can be sent; their descriptors belong to the message, and are closed after it was sent."""
        found: list[tuple[int, Handle]] = []
        shared: list[int] = []
        with self._lock:
            try:
                for dataset in datasets:
                    handle = self._handles[dataset]
                    if type(handle) not in IN_MESSAGE and handle.fd is not None:  # most values are
                        shared.append(fd := self._segments.share(handle.fd))
                        handle = handle.with_descriptor(fd)
                    found.append((dataset, handle))
            except BaseException:  # this process may not open more files
                for fd in shared:
                    os.close(fd)
                raise
        return found

    def expect_transferred(self, dataset: int, worker: int) -> int | None:
        """Expect a value from a worker, also if it has stayed within a job so far, so that its size is not known.

        Returns:
            The descriptor of a reusable memory file for the value, which belongs to the message; None if there is none.
        """
        with self._lock:
            handle = self._handles.setdefault(dataset, RemoteValue(worker, 0))
            return self._segments.spare(handle.size) if handle.size else None

    def forget_worker(self, worker: int) -> None:
        """Forget the handles of values that were only in a lost worker."""
        with self._lock:
            self._segments.forget_worker(worker)
            for dataset in [each for each, handle in self._handles.items() if handle.placement.worker == worker]:
                self.release(dataset)

    def size(self, dataset: int) -> int:
        """Return the size of a value in bytes, 0 if it is unknown."""
        handle = self._handles.get(dataset)
        return handle.size if handle is not None else 0

    def release(self, dataset: int) -> None:
        """Release a value and free its memory."""
        with self._lock:
            handle = self._handles.pop(dataset, None)
            if type(handle) in IN_MESSAGE:  # most values
                return
            self._local_values.discard(dataset)
            if handle is not None:
                self._segments.free(handle)

    def detach(self, datasets: Iterable[int], values: dict[int, Any], handles: dict[int, Handle]) -> None:
        """Remove values and add them to `values`, or their handles to `handles`."""
        pop = self._handles.pop
        for dataset in datasets:
            handle = pop(dataset, None)
            if type(handle) is Atom:  # most values of a run with very many
                values[dataset] = handle.value
            elif type(handle) is Inline:
                handles[dataset] = handle
            elif handle is not None and handle.worker is None:
                handles[dataset] = self._detached(dataset, handle)
            elif dataset in self._local_values:
                values[dataset] = self._local_values.load_input(dataset, last=True)

    def _detached(self, dataset: int, handle: Handle) -> Handle:
        """Return the handle of a file for a caller; a spilled one stays open, but is no longer in the scratch directory."""
        self._segments.remove(handle)
        if isinstance(handle, Segment) and handle.path is not None:
            try:
                source = open_spilled(handle.path)
            except FileNotFoundError as exc:
                name = self._name(dataset)
                msg = f"The value of '{name}' is lost: its temporary file cannot be opened ({exc.strerror}). Run its node again."
                raise DatasetError(msg, dataset=name) from exc
            if source > DESCRIPTOR_LIMIT:
                with open(source, "rb") as spilled:
                    content = spilled.read()
                data, *buffers = (content[start : start + length] for start, length in handle.spans)
                kept: Handle = Inline(data, tuple(buffers))
            else:
                kept = handle._replace(path=None, fd=source)
            handle.close()
            return kept
        return handle

    def clear(self) -> None:
        """Release the run's values."""
        with self._lock:
            for dataset in list(self._handles):
                self.release(dataset)
            self._local_values.clear()

    def close(self) -> None:
        """Free everything; in a forked child nothing, because the parent owns it."""
        if os.getpid() == self._owner:
            self.clear()
            self._segments.close()

    def abandon(self) -> None:
        """In a forked child: close its copies of the descriptors."""
        for handle in self._handles.values():
            if handle.fd is not None:
                os.close(handle.fd)
        self._segments.abandon()
