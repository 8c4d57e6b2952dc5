"""The store of values as plain objects of this process, for pools whose workers share its memory.

State: the values of one run. Runs in the parent. Neighbours: `serial.py` and `threads.py` use it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from treadle.execution.protocol.handles import Handle, LocalValue
from treadle.execution.protocol.placement import SHARED, Placement
from treadle.execution.values.transfer import LocalValues

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from treadle.execution.packing.bundle import RunBundle


class LocalStore:
    """Values as objects of this process. `values` belongs to the current run; a late node of an earlier run keeps its own."""

    def __init__(self) -> None:
        self.values = LocalValues(lambda _dataset: None)

    def begin(self, run: RunBundle) -> None:
        """Start a run."""
        self.values = LocalValues(run.copy_mode)

    def put(self, dataset: int, value: Any) -> Placement:
        """Store a value, which then belongs to the store."""
        self.values.store_as_is(dataset, value)
        return SHARED

    def store_output(self, dataset: int, value: Any) -> Handle:
        """Store a snapshot of a value."""
        self.values.store_copy(dataset, value)
        return LocalValue(value)

    def fetch(self, datasets: Iterable[int]) -> bool:  # noqa: ARG002 - the values are here
        """Return True: every value that a node of this process loads is in this process."""
        return True

    def load_input(self, dataset: int, *, last: bool) -> Any:
        """Return a value that the caller may change; `last` is True for its last consumer."""
        return self.values.load_input(dataset, last=last)

    def keep(self, outputs: Iterable[tuple[int, Handle]], worker: int) -> None:
        """Do nothing: nodes store their values directly."""

    def keep_transferred(self, dataset: int, handle: Handle, worker: int) -> bool:  # noqa: ARG002 - nothing is transferred here
        """Return False: no value is in only one worker."""
        return False

    def handles(self, datasets: Iterable[int]) -> Sequence[tuple[int, Handle]]:  # noqa: ARG002 - workers read the store directly
        """Return nothing: workers read the store directly."""
        return ()

    def expect_transferred(self, dataset: int, worker: int) -> int | None:  # noqa: ARG002 - nothing is transferred here
        """Return None: nothing is transferred."""
        return None

    def release(self, dataset: int) -> None:
        """Release a value."""
        self.values.discard(dataset)

    def size(self, dataset: int) -> int:  # noqa: ARG002 - the bytes of objects are not counted
        """Return 0: the bytes of objects are not counted."""
        return 0

    def detach(self, datasets: Iterable[int], values: dict[int, Any], handles: dict[int, Handle]) -> None:  # noqa: ARG002 - as above
        """Remove values and add them to `values`."""
        stored = self.values
        for dataset in datasets:
            if dataset in stored:
                values[dataset] = stored.load_input(dataset, last=True)

    def forget_worker(self, worker: int) -> None:
        """Do nothing: no value is in only one worker."""

    def clear(self) -> None:
        """Release the run's values; a node that still runs after an interrupt keeps those that it uses."""
        self.values = LocalValues(lambda _dataset: None)

    def close(self) -> None:
        """Release the run's values."""
        self.clear()
