"""The location of a value, as its store reports it to the scheduler. Used in the parent only. State: none."""

from __future__ import annotations

from treadle.named_tuple import NamedTuple


class Placement(NamedTuple):
    """The location of a value.

    Attributes:
        worker: the only worker that has the value; None if the store has it and can send it to any worker.
        movable: whether the value can be transferred to another process.
        size: size of the value in bytes; 0 if it is not known.
        retained: whether a worker that receives the value keeps it until it is released.
        reason: why the value cannot be transferred.
        direct: whether other workers read the value from its worker themselves, so that the store never has it.
    """

    worker: int | None = None
    movable: bool = True
    size: int = 0
    retained: bool = False
    reason: str = ""
    direct: bool = False


SHARED = Placement()
"""The store has the value and sends it to a worker with each job that needs it."""
