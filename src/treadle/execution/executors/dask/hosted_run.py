"""One run in a dask worker: its nodes and its values, which other workers read from here.

State: the values of the run in this process, in one of three forms: objects, pickles, and handles of what is elsewhere. Runs in
dask workers. Neighbours: `hosted_pool.py` runs jobs on it, `fetching.py` reads values from other workers.
"""

from __future__ import annotations

import pickle
import threading
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from treadle.errors import DatasetError
from treadle.execution.executors.dask.messages import ClusterValue
from treadle.execution.executors.inline_store import pickled_inline
from treadle.execution.protocol.handles import Inline, PinnedValue, UnpicklableValueError
from treadle.execution.values.pickling import ATOMS, pickle_value
from treadle.execution.values.sizes import large_size
from treadle.execution.values.transfer import (
    INLINE_BYTES,
    RESIDENT_BYTES,
    LocalValues,
    describe_lost_value,
    describe_unpicklable_result,
)
from treadle.forks import fork_safe
from treadle.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from treadle.execution.executors.dask.messages import DatasetPart
    from treadle.execution.executors.dask.run_files import RunFolder
    from treadle.execution.protocol.handles import Handle
    from treadle.execution.worker.open_run import OpenRun


class PickledValue(NamedTuple):
    """A value as it was pickled here, or as it was read from another worker."""

    data: bytes
    buffers: tuple[memoryview, ...]

    @property
    def size(self) -> int:
        """Bytes of the pickle and its buffers."""
        return len(self.data) + sum(buffer.nbytes for buffer in self.buffers)

    def load(self, *, last: bool) -> Any:
        """Unpickle the value, for the last consumer without a copy of its buffers."""
        buffers = [each if last and not each.readonly else bytearray(each) for each in self.buffers]
        return pickle.loads(self.data, buffers=buffers)  # noqa: S301 - a worker of the same cluster pickled it


@dataclass(slots=True)
class RunSlot:
    """A run that has begun, with what the driver has sent to this process.

    Attributes:
        spec: the pickled RunSpec.
        datasets: datasets that were sent with jobs and are not in the run's catalog yet.
        folder: this process's directory of the run; None if the run's processes share no files.
        inputs: handles of inputs that came with jobs before the run was opened. The driver does not send them again, even if the
            run could not be opened for that job.
        run: the run, once a job of it has been here.
    """

    spec: bytes
    datasets: deque[DatasetPart] = field(default_factory=deque)
    folder: RunFolder | None = None
    inputs: dict[int, Handle] = field(default_factory=dict)
    run: HostedRun | None = None
    _lock: threading.Lock = field(default_factory=lambda: fork_safe(threading.Lock()), init=False, repr=False, compare=False)
    """Held while inputs are added, moved to the run or released: the event loop does it, and the thread that runs the jobs."""

    def add_inputs(self, inputs: Sequence[tuple[int, Handle]]) -> None:
        """Note the handles of a job's inputs; they are kept until the values are released."""
        with self._lock:
            if self.run is None:
                self.inputs.update(inputs)
            else:
                self.run.add_inputs(inputs)

    def open(self, run: HostedRun) -> None:
        """Set the run, and move the inputs that came before to it."""
        with self._lock:
            run.add_inputs(list(self.inputs.items()))
            self.inputs.clear()
            self.run = run

    def release(self, dataset: int) -> None:
        """Forget a value."""
        with self._lock:
            self.inputs.pop(dataset, None)
            if self.run is not None:
                self.run.drop(dataset)

    def close(self) -> None:
        """Remove the directory."""
        if self.folder is not None:
            self.folder.remove()


class HostedRun:
    """A run in this process.

    Args:
        opened: the run.
        worker: this worker's number.
        address: this worker's address.
        pool: the pool that the run belongs to.
    """

    def __init__(self, opened: OpenRun, worker: int, address: str, pool: str) -> None:
        self.opened = opened
        self._values = LocalValues(opened.copy_modes.get)
        self._pickled: dict[int, PickledValue] = {}
        self._handles: dict[int, Handle] = {}
        self._offered: set[int] = set()  # values that other workers may read
        self._worker, self._address, self._pool = worker, address, pool

    @property
    def has_values(self) -> bool:
        """Whether there are values here that other workers may read, or that only this worker can use."""
        return bool(self._offered) or len(self._values) > 0

    # --- values that come in ---------------------------------------------------------------------------------------------

    def add_inputs(self, inputs: Sequence[tuple[int, Handle]]) -> None:
        """Note the handles of a job's inputs; they are kept until the values are released."""
        self._handles.update(inputs)

    def missing_inputs(self, nodes: Sequence[int]) -> list[tuple[int, ClusterValue]]:
        """Return those of the inputs of some nodes that must be read from other workers first."""
        missing: list[tuple[int, ClusterValue]] = []
        for node in nodes if self._handles else ():
            for dataset in self.opened.spec.inputs[node]:
                handle = self._handles.get(dataset)
                if isinstance(handle, ClusterValue) and dataset not in self._pickled and dataset not in self._values:
                    missing.append((dataset, handle))
        return missing

    def add_fetched(self, dataset: int, value: PickledValue) -> None:
        """Keep a value that was read from another worker."""
        self._pickled[dataset] = value

    def load_input(self, dataset: int, last: bool) -> Any:  # noqa: FBT001 - the signature that job_steps calls
        """Return an input for a node."""
        if dataset in self._values:
            return self._values.load_input(dataset, last=last)
        if dataset in self._pickled:
            pickled = self._pickled.pop(dataset) if last else self._pickled[dataset]
            return pickled.load(last=last)
        handle = self._handles.get(dataset)
        if handle is None or handle.worker is not None:
            name = self.opened.spec.dataset_names[dataset]
            msg = describe_lost_value(name)
            raise DatasetError(msg, dataset=name)
        return handle.load()

    # --- values that nodes make ------------------------------------------------------------------------------------------

    def keep_large(self, dataset: int, value: Any) -> Handle | None:
        """Return the handle of a large array or frame that stays here as it is; None for any other value."""
        if type(value) in ATOMS or self.opened.spec.is_result[dataset]:
            return None
        size = large_size(value)
        return self._offer(dataset, size) if size >= RESIDENT_BYTES else None

    def _offer(self, dataset: int, size: int) -> ClusterValue:
        self._offered.add(dataset)
        return ClusterValue(self._worker, size, self._address, self._pool)

    def store_output(self, dataset: int, value: Any) -> Handle:
        """Store an output: a small one, or a result of the run, travels with the report; a large one stays here."""
        self.drop(dataset)  # an earlier chunk of a generator, or an earlier attempt
        is_result = self.opened.spec.is_result[dataset]
        try:
            if is_result:
                return pickled_inline(value)
            data, buffers = pickle_value(value)
        except UnpicklableValueError as exc:
            if is_result:
                name = self.opened.spec.dataset_names[dataset]
                msg = describe_unpicklable_result(name, exc)
                raise DatasetError(msg, dataset=name) from exc
            self._values.store_copy(dataset, value)
            return PinnedValue(self._worker, str(exc))
        if len(data) + sum(buffer.nbytes for buffer in buffers) <= INLINE_BYTES:
            return Inline(data, tuple(bytes(buffer) for buffer in buffers))
        # The node may change its arrays after this, so their buffers are copied.
        pickled = self._pickled[dataset] = PickledValue(data, tuple(memoryview(bytearray(buffer)) for buffer in buffers))
        return self._offer(dataset, pickled.size)

    def keep(self, made: dict[int, Any], dataset: int) -> None:
        """Keep an output as an object, after the attempt."""
        self._pickled.pop(dataset, None)
        self._values.store_output(made, dataset)

    # --- values that others read, and the end ----------------------------------------------------------------------------

    def read(self, dataset: int) -> PickledValue | None:
        """Return a value for another worker, pickled; None if it is not here.

        Raises:
            UnpicklableValueError: it cannot be pickled.
        """
        pickled = self._pickled.get(dataset)
        if pickled is not None:
            return pickled
        try:
            value = self._values.peek(dataset)
        except KeyError:
            return None
        data, buffers = pickle_value(value)
        return PickledValue(data, tuple(buffers))

    def drop(self, dataset: int) -> None:
        """Release a value."""
        self._values.discard(dataset)
        self._pickled.pop(dataset, None)
        self._handles.pop(dataset, None)
        self._offered.discard(dataset)
