"""What a worker pool reports to the parent: messages of its workers, and what became of the workers themselves. State: none."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from treadle.events import Failure
    from treadle.execution.protocol.messages import Fact


class Report(NamedTuple):
    """A fact that a worker sent."""

    worker: int
    fact: Fact


class WorkerUp(NamedTuple):
    """A worker is set up; how many times its process ran `configure_project` is for tests and `treadle check`."""

    worker: int
    pid: int
    configured: int


class WorkerDown(NamedTuple):
    """A worker died; `node` is what it was running, by plan index, None where it was idle."""

    worker: int
    pid: int
    exitcode: int | None
    node: int | None
    started: float | None
    peak_memory: int
    seconds: float | None = None
    """For how long it had been in the node."""
    failure: Failure | None = None
    """The error outside of any attempt that ended it, where it could still send one."""


class SetupFailed(NamedTuple):
    """A worker could not be set up: its set-up raised, or it died before it was ready."""

    worker: int
    failure: Failure | None
    """The exception that its set-up raised; None where the process died."""
    exitcode: int | None
    pid: int = 0


PoolEvent: TypeAlias = "Report | WorkerUp | WorkerDown | SetupFailed"
