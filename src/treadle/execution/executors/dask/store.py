"""The driver's store of a run's values: handles of values in workers, and the pickles of those that come from the driver.

State: as `inline_store.py`. Runs in the driver. Neighbours: `pool.py` reads values from workers for nodes of the main process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from treadle.execution.executors.dask.messages import ClusterValue, Pushed
from treadle.execution.executors.inline_store import InlineStore, pickled_inline
from treadle.execution.protocol.handles import PinnedValue, UnpicklableValueError
from treadle.execution.protocol.messages import MAIN
from treadle.execution.values.transfer import INLINE_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from treadle.execution.protocol.handles import Handle
    from treadle.execution.protocol.placement import Placement


class ClusterStore(InlineStore):
    """The handles of a run's values.

    Args:
        read: reads a value from a worker: takes its handle and its index, and returns it.
    """

    def __init__(self, read: Callable[[ClusterValue, int], Any]) -> None:
        super().__init__()
        self._read = read

    def put(self, dataset: int, value: Any) -> Placement:
        """Store a value that jobs need; one that cannot be pickled stays in this process."""
        with self._lock:
            try:
                handle = _pickled(value)
            except UnpicklableValueError as exc:
                self._local_values.store_as_is(dataset, value)
                handle = PinnedValue(MAIN, str(exc))
            self.keep(dataset, handle, MAIN)
            return handle.placement

    def store_output(self, dataset: int, value: Any) -> Handle:
        """Store an output of a node in this process during its attempt; `keep` follows if the attempt succeeds."""
        with self._lock:
            self._local_values.discard(dataset)  # an earlier chunk of a generator
            try:
                return _pickled(value)
            except UnpicklableValueError as exc:
                self._local_values.store_copy(dataset, value)
                return PinnedValue(MAIN, str(exc))

    def load_input(self, dataset: int, *, last: bool) -> Any:
        """Return an input for a node in this process, read from its worker if it is in one."""
        with self._lock:
            if dataset in self._local_values:
                return self._local_values.load_input(dataset, last=last)
            handle = self._handles[dataset]
        return self._read(handle, dataset) if isinstance(handle, ClusterValue) else handle.load()

    def detach(self, dataset: int) -> Handle | None:
        """Remove a value and return its handle, with the value in this process; None if the store does not have it."""
        with self._lock:
            handle = self._handles.get(dataset)
            if isinstance(handle, ClusterValue):
                self._handles[dataset] = _pickled(self._read(handle, dataset))
        return super().detach(dataset)


def _pickled(value: Any) -> Handle:
    handle = pickled_inline(value)
    return handle if handle.size <= INLINE_BYTES else Pushed(*handle)
