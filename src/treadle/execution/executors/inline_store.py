"""A value store for backends whose values travel inside messages, through the parent.

State: the handles of one run's values, and the values that cannot be pickled and so stay in this process. Runs in the parent.
Neighbours: `inline_worker.py` is the other side.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from treadle.execution.protocol.handles import Handle, Inline, PinnedValue, UnpicklableValueError
from treadle.execution.protocol.messages import MAIN
from treadle.execution.values.pickling import pickle_value
from treadle.execution.values.transfer import LocalValues
from treadle.forks import fork_safe

if TYPE_CHECKING:
    from collections.abc import Iterable

    from treadle.execution.packing.bundle import RunBundle
    from treadle.execution.protocol.placement import Placement


def pickled_inline(value: Any) -> Inline:
    """Pickle a value into a handle that contains it.

    Raises:
        UnpicklableValueError: the value cannot be pickled.
    """
    data, buffers = pickle_value(value)
    return Inline(data, tuple(bytes(buffer) for buffer in buffers))


class InlineStore:
    """Pickled values, each in its handle; a job carries the handles of its inputs to the worker."""

    def __init__(self) -> None:
        self._lock = fork_safe(threading.RLock())  # a node in this process runs while another thread runs the loop
        self._handles: dict[int, Handle] = {}
        self._local_values = LocalValues(lambda _dataset: None)

    def begin(self, run: RunBundle) -> None:
        """Start a run."""
        self._handles, self._local_values = {}, LocalValues(run.copy_mode)

    def put(self, dataset: int, value: Any) -> Placement:
        """Store a value, which then belongs to the store; one that cannot be pickled stays in this process."""
        with self._lock:
            try:
                handle = self._pickle(value)
            except UnpicklableValueError as exc:
                self._local_values.store_as_is(dataset, value)
                handle = PinnedValue(MAIN, str(exc))
            self.keep([(dataset, handle)], MAIN)
            return handle.placement

    def store_output(self, dataset: int, value: Any) -> Handle:
        """Store an output of a node in this process during its attempt; `keep` follows if the attempt succeeds."""
        with self._lock:
            self._local_values.discard(dataset)  # an earlier chunk of a generator
            try:
                return self._pickle(value)
            except UnpicklableValueError as exc:
                self._local_values.store_copy(dataset, value)
                return PinnedValue(MAIN, str(exc))

    def _pickle(self, value: Any) -> Handle:
        """Return a handle that contains the pickled value; a subclass may choose another kind."""
        return pickled_inline(value)

    def fetch(self, datasets: Iterable[int]) -> bool:  # noqa: ARG002 - the values are here
        """Return True: every value that a node of this process loads is in this process."""
        return True

    def load_input(self, dataset: int, *, last: bool) -> Any:
        """Return an input for a node in this process, which may change it."""
        with self._lock:
            return (
                self._local_values.load_input(dataset, last=last)
                if dataset in self._local_values
                else self._handles[dataset].load()
            )

    def keep(self, outputs: Iterable[tuple[int, Handle]], worker: int) -> None:  # noqa: ARG002 - a handle names the worker if it matters
        """Keep the handles of a node's outputs, except those of values that the store has already."""
        with self._lock:
            for dataset, handle in outputs:
                before = self._handles.get(dataset)
                if before is None or before.worker is not None:
                    self._handles[dataset] = handle

    def keep_transferred(self, dataset: int, handle: Handle, worker: int) -> bool:  # noqa: ARG002 - workers keep no value that moves
        """Return False: no value is transferred."""
        return False

    def handles(self, datasets: Iterable[int]) -> list[tuple[int, Handle]]:
        """Return handles that can be sent with a job."""
        with self._lock:
            return [(dataset, self._handles[dataset]) for dataset in datasets]

    def expect_transferred(self, dataset: int, worker: int) -> int | None:  # noqa: ARG002 - there are no memory files
        """Return None: there are no memory files."""
        return None

    def release(self, dataset: int) -> None:
        """Release a value."""
        with self._lock:
            self._handles.pop(dataset, None)
            self._local_values.discard(dataset)

    def size(self, dataset: int) -> int:
        """Return the size of a value in bytes, 0 if the store does not have it."""
        handle = self._handles.get(dataset)
        return handle.size if handle is not None else 0

    def detach(self, datasets: Iterable[int], values: dict[int, Any], handles: dict[int, Handle]) -> None:
        """Remove values and add them to `values`, or their handles to `handles`."""
        with self._lock:
            for dataset in datasets:
                handle = self._handles.pop(dataset, None)
                if handle is not None and handle.worker is None:
                    handles[dataset] = handle
                elif dataset in self._local_values:
                    values[dataset] = self._local_values.load_input(dataset, last=True)

    def forget_worker(self, worker: int) -> None:
        """Forget the values that only this worker held."""
        with self._lock:
            for dataset in [each for each, handle in self._handles.items() if handle.worker == worker]:
                self.release(dataset)

    def clear(self) -> None:
        """Release the run's values."""
        with self._lock:
            self._handles.clear()
            self._local_values.clear()

    def close(self) -> None:
        """Free everything."""
        self.clear()
