"""The driver's store of a run's values: handles of values in workers, and the pickles of those that come from the driver.

State: as `inline_store.py`. Runs in the driver. Neighbours: `pool.py` reads values from workers for nodes of the main process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from treadle.execution.executors.dask.messages import ClusterValue, Pushed
from treadle.execution.executors.inline_store import InlineStore, pickled_inline
from treadle.execution.values.transfer import INLINE_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from treadle.execution.protocol.handles import Handle


class ClusterStore(InlineStore):
    """The handles of a run's values.

    Args:
        read: reads a value from a worker: takes its handle and its index, and returns it.
    """

    def __init__(self, read: Callable[[ClusterValue, int], Any]) -> None:
        super().__init__()
        self._read = read

    def _pickle(self, value: Any) -> Handle:
        handle = pickled_inline(value)
        return handle if handle.size <= INLINE_BYTES else Pushed(*handle)

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
                self._handles[dataset] = self._pickle(self._read(handle, dataset))
        return super().detach(dataset)
