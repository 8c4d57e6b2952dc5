"""The driver's store of a run's values: handles of values in workers, and the pickles of those that come from the driver.

State: as `inline_store.py`. Runs in the driver. Neighbours: `pool.py` reads values from workers for nodes of the main process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from treadle.execution.executors.dask.messages import ClusterValue, Pushed
from treadle.execution.executors.inline_store import InlineStore, pickled_inline
from treadle.execution.values.transfer import INLINE_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from treadle.execution.executors.dask.hosted_run import PickledValue
    from treadle.execution.protocol.handles import Handle


class ClusterStore(InlineStore):
    """The handles of a run's values.

    Args:
        read: reads a value from a worker: takes its handle and its index; returns None if the value was lost.
    """

    def __init__(self, read: Callable[[ClusterValue, int], PickledValue | None]) -> None:
        super().__init__()
        self._read = read
        self._fetched: dict[int, PickledValue] = {}

    def _pickle(self, value: Any) -> Handle:
        handle = pickled_inline(value)
        return handle if handle.size <= INLINE_BYTES else Pushed(*handle)

    def fetch(self, datasets: Iterable[int]) -> bool:
        """Read the inputs of a job of this process from their workers; return False if one was lost with its worker."""
        for dataset in datasets:
            with self._lock:
                handle = self._handles.get(dataset)
                if handle is None and dataset not in self._local_values and dataset not in self._fetched:
                    return False
            if isinstance(handle, ClusterValue) and dataset not in self._fetched:
                value = self._read(handle, dataset)
                if value is None:
                    return False
                self._fetched[dataset] = value
        return True

    def workers_with_values(self) -> set[int]:
        """Return the workers that have values, also such as cannot leave them."""
        with self._lock:
            return {handle.worker for handle in self._handles.values() if handle.worker is not None}

    def load_input(self, dataset: int, *, last: bool) -> Any:
        """Return an input for a node in this process."""
        with self._lock:
            fetched = self._fetched.pop(dataset, None) if last else self._fetched.get(dataset)
        return super().load_input(dataset, last=last) if fetched is None else fetched.load(last=last)

    def detach(self, datasets: Iterable[int], values: dict[int, Any], handles: dict[int, Handle]) -> None:
        """Remove values and add them to `values`, or their handles to `handles`, with those of workers in this process."""
        wanted = list(datasets)
        for dataset in wanted:
            handle = self._handles.get(dataset)
            if isinstance(handle, ClusterValue) and (value := self._read(handle, dataset)) is not None:
                self._handles[dataset] = self._pickle(value.load(last=True))
        super().detach(wanted, values, handles)

    def release(self, dataset: int) -> None:
        """Release a value."""
        self._fetched.pop(dataset, None)
        super().release(dataset)

    def forget_worker(self, worker: int) -> None:
        """Forget the values that only this worker held; a node of this process may use those that it has read."""
        with self._lock:
            for dataset in [each for each, handle in self._handles.items() if handle.worker == worker]:
                super().release(dataset)

    def clear(self) -> None:
        """Release the run's values."""
        self._fetched.clear()
        super().clear()
