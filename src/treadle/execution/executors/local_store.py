"""The store of values that live in this process as they are: for pools whose workers share its memory.

State: the values of one run. Runs in the parent. Neighbours: `serial.py` and `threads.py` run nodes on it.
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
    """Values as objects of this process; `values` are the current run's, and a late node of an earlier run keeps that run's."""

    def __init__(self) -> None:
        self.values = LocalValues(lambda _dataset: None)

    def begin(self, run: RunBundle) -> None:
        """Begin a run."""
        self.values = LocalValues(run.copy_mode)

    def put(self, dataset: int, value: Any) -> Placement:
        """Keep a value that the caller gives up."""
        self.values.adopt(dataset, value)
        return SHARED

    def give(self, dataset: int, value: Any) -> Handle:
        """Keep a snapshot of a value."""
        self.values.put(dataset, value)
        return LocalValue(value)

    def take(self, dataset: int, *, last: bool) -> Any:
        """Return a value that is the caller's own; `last` where no other node takes it."""
        return self.values.take(dataset, last=last)

    def keep(self, dataset: int, handle: Handle, worker: int) -> None:
        """Do nothing: nodes keep their values here themselves."""

    def keep_transferred(self, dataset: int, handle: Handle, worker: int) -> bool:  # noqa: ARG002 - nothing is transferred here
        """Return False: no value is in one worker only."""
        return False

    def handles(self, datasets: Iterable[int]) -> Sequence[tuple[int, Handle]]:  # noqa: ARG002 - workers take values from here
        """Return none: workers take values from here."""
        return ()

    def spare(self, dataset: int) -> int | None:  # noqa: ARG002 - nothing is transferred here
        """Return None: nothing is transferred."""
        return None

    def release(self, dataset: int) -> None:
        """Forget a value."""
        self.values.drop(dataset)

    def size(self, dataset: int) -> int:  # noqa: ARG002 - the bytes of objects are not counted
        """Return 0: the bytes of objects are not counted."""
        return 0

    def detach(self, dataset: int) -> Handle | None:
        """Give a value to the caller; None where it is not here."""
        return LocalValue(self.values.take(dataset, last=True)) if dataset in self.values else None

    def forget_worker(self, worker: int) -> None:
        """Do nothing: no value is in one worker only."""

    def clear(self) -> None:
        """Forget the run's values; a node that still runs after an interrupt keeps those it has."""
        self.values = LocalValues(lambda _dataset: None)

    def close(self) -> None:
        """Forget the run's values."""
        self.clear()
