"""The events of a worker pool: reports that workers sent, and workers that became ready or were lost.

Used in the parent. State: none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from treadle.execution.protocol.messages import FinishedNodes
from treadle.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from treadle.events import Failure, WorkerStart
    from treadle.execution.protocol.messages import Fact


class Report(NamedTuple):
    """A fact that a worker sent."""

    worker: int
    fact: Fact


class WorkerUp(NamedTuple):
    """A worker is set up. `configured` counts the calls of `configure_project` in its process, for tests and `treadle check`."""

    worker: int
    pid: int
    configured: int
    start: WorkerStart | None = None
    """How its process was started, if that is known and was not reported before."""


class WorkerDown(NamedTuple):
    """A worker died; `node` is the plan index of the node that it was running, None if it was idle."""

    worker: int
    pid: int
    exitcode: int | None
    node: int | None
    started: float | None
    peak_memory: int
    seconds: float | None = None
    """How long it had been running the node."""
    failure: Failure | None = None
    """The error outside of any attempt that ended the worker, if it could still send one."""
    reason: str | None = None
    """Why whatever manages the workers ended it, if that is known: a sentence."""
    left: bool = False
    """True if it was shut down in an orderly way, from outside: the node that it was running is not at fault."""
    was_idle: bool = False
    """True if it was ready before the run, and ran none of its nodes: it may have died before the run."""


class WorkerLeaving(NamedTuple):
    """A worker will be shut down soon. It keeps its running node and its values, and must get no more jobs."""

    worker: int
    is_leaving: bool = True
    """False if it stays after all."""


class SetupFailed(NamedTuple):
    """A worker could not be set up: its set-up raised, or it died before it was ready."""

    worker: int
    failure: Failure | None
    """The exception that its set-up raised; None if the process died."""
    exitcode: int | None
    pid: int = 0


def separate(events: Iterable[PoolEvent]) -> list[PoolEvent]:
    """Return the same events, but each report of several finished nodes as one report for each node."""
    separated: list[PoolEvent] = []
    for event in events:
        if type(event) is Report and type(event.fact) is FinishedNodes:
            separated += [Report(event.worker, fact) for fact in event.fact.separate()]
        else:
            separated.append(event)
    return separated


PoolEvent: TypeAlias = "Report | WorkerUp | WorkerDown | WorkerLeaving | SetupFailed"
