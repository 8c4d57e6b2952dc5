"""The executor protocol: where jobs run. Serial, threads, loky slots (and others to come) all look like this.

An executor owns its workers and the values of in-memory datasets, which the loop knows by their index only. Nothing here
blocks but `start` and `wait`. One contract test suite runs over every implementation and every start method.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

    from treadle.events import Failure
    from treadle.execution.handles import Handle
    from treadle.execution.job import Fact
    from treadle.execution.material import RunMaterial
    from treadle.execution.placement import Placement
    from treadle.execution.scheduling.instructions import RunJob


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an executor can do; the loop asks this, and never what kind it is.

    Attributes:
        processes: its workers are other processes, and the worker MAIN is this one.
        cancels_running: it can end a node that runs.
        queues: a worker can hold jobs that wait, and gives them back when it is asked to or when a node takes long.
    """

    processes: bool
    cancels_running: bool
    queues: bool


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
    failure: Failure | None = None
    """The error outside of any attempt that ended it, where it could still send one."""


class SetupFailed(NamedTuple):
    """A worker could not be set up: its code raised, or it died before it said hello."""

    worker: int
    failure: Failure | None
    """The exception that its set-up raised; None where the process died."""
    exitcode: int | None
    pid: int = 0


ExecutorEvent: TypeAlias = "Report | WorkerUp | WorkerDown | SetupFailed"


class Executor(Protocol):
    """Runs jobs somewhere."""

    @property
    def capabilities(self) -> Capabilities:
        """What it can do."""

    def label(self, worker: int) -> str:
        """Return a worker's label, as events and logs show it."""

    def begin(self, run: RunMaterial) -> frozenset[int]:
        """Take a run in; workers that are not there yet are started.

        Returns:
            The nodes that must run in the main process beyond those that the plan says.

        Raises:
            NodeError: a node's function cannot go to the workers.
            HookError: a plugin cannot go to the workers.
        """

    def submit(self, job: RunJob) -> None:
        """Give a job to its worker, with the values that travel with it; never blocks."""

    def cancel(self, worker: int) -> None:
        """Ask a worker to give back the jobs that have not begun; each comes back as Dropped."""

    def replace(self, worker: int) -> None:
        """Start another worker in the place of one that is gone."""

    def kill(self, worker: int) -> None:
        """End a worker whatever it does; its WorkerDown follows. Only asked of an executor that can."""

    def begun(self, worker: int, node: int) -> float | None:
        """Return when a worker began the node that it is in (seconds since the epoch), None where it is not in that one."""

    def under_way(self) -> list[Report]:
        """Return the starts of nodes that nobody has been told of yet: for the end of a run that is interrupted."""

    def wait(self, timeout: float | None = None) -> list[ExecutorEvent]:
        """Block until something happened, for so many seconds at most, and say what."""

    def keep_turning(self, turns: Callable[[Callable[[], bool]], None]) -> None:
        """Where `wait` would be inside a node for long, call `turns` from another thread meanwhile.

        Args:
            turns: turns the loop until what it is given says that it is over.
        """

    def put(self, dataset: int, value: Any) -> Placement:
        """Take a value that jobs need into the store.

        Returns:
            Where it is now.
        """

    def transfer(self, dataset: int, worker: int) -> None:
        """Have a worker give a value to the store; Published follows. Only asked where a value was said to be in one worker."""

    def release(self, dataset: int, workers: tuple[int, ...] = ()) -> None:
        """Forget a value; these workers hold it or a copy of it."""

    def size(self, dataset: int) -> int:
        """Return the bytes of a value, 0 where nobody counted them."""

    def detach(self, dataset: int) -> Handle | None:
        """Hand a value over to the caller, who closes it; None where it is not here."""

    def end(self) -> None:
        """Forget the run."""

    def close(self, *, kill: bool = False) -> None:
        """End the workers: those that are idle say goodbye; `kill` ends them whatever they do."""
