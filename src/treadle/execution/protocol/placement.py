"""Where a value is, as the store that holds it reports it to the scheduler. State: none. Crosses no process."""

from __future__ import annotations

from typing import NamedTuple


class Placement(NamedTuple):
    """Where a value is, and who can have it.

    Attributes:
        worker: the only worker that has the value; None where the store has it, so that any worker can.
        movable: False where the value cannot leave that worker.
        size: bytes of the value, 0 where nobody counted them.
        retained: True where a worker that receives the value keeps it until it is released.
        reason: why the value cannot leave its worker.
    """

    worker: int | None = None
    movable: bool = True
    size: int = 0
    retained: bool = False
    reason: str = ""


SHARED = Placement()
"""The store has the value, and workers receive it anew with each job."""
