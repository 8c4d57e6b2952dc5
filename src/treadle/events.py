"""The facts of a run, and the protocol of those who take them.

A run emits events in the parent process, in the order in which the runner learns of them; an observer (progress,
log, store, trace) is a callable that takes one event. Times are seconds since the epoch (`time.time`), sizes are bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol, TypeAlias


class Outcome(Enum):
    """How a node, a run or a session ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"
    INTERRUPTED = "interrupted"

    @property
    def symbol(self) -> str:
        """One character for a terminal."""
        return {"succeeded": "✔", "failed": "✘", "skipped": "·", "interrupted": "■"}[self.value]


@dataclass(frozen=True, slots=True)
class Failure:
    """What is left of an exception once it crossed a process: plain facts that always pickle.

    Attributes:
        type_name: the exception's class, as `module.QualName` (builtins without the module).
        message: `str(exception)`, or a note that it could not be made.
        traceback: the formatted traceback, the user's own frames only, cause chain included.
        pickled: the exception itself, where it survived a round trip of pickle; else None.
        dataset: the dataset that was being loaded or saved, if that is what failed.
        phase: `"setup"`, `"load"`, `"run"`, `"save"`, `"confirm"` or `"hook"`: what the worker was doing; `"timeout"` where it
            was too slow.
        hook: the hook that was being called, where that is what failed.
        plugin: the plugin whose hook it was: its class or module, and where it came from.
    """

    type_name: str
    message: str
    traceback: str
    pickled: bytes | None = None
    dataset: str | None = None
    phase: str = "run"
    hook: str | None = None
    plugin: str | None = None

    @property
    def ends_well(self) -> bool:
        """Whether it is a `sys.exit(0)`: the code ended the run on purpose, and says that all is well."""
        return self.type_name == "SystemExit" and self.message in {"", "0", "None", "False"}


@dataclass(frozen=True, slots=True)
class RunStarted:
    """A run begins: its plan is made, its workers are about to start."""

    run_id: str
    at: float
    runner: str
    start_method: str | None
    workers: int
    nodes: tuple[str, ...]
    """Names of all the nodes of the run, in plan order."""


@dataclass(frozen=True, slots=True)
class WorkerStarted:
    """A worker is set up and takes jobs."""

    worker: str
    """Label of the worker: `main`, `thread-1`, `worker-1`, …; one label at a time belongs to one worker."""
    pid: int
    at: float


@dataclass(frozen=True, slots=True)
class NodeStarted:
    """A worker began an attempt at a node."""

    node: str
    worker: str
    attempt: int
    at: float


@dataclass(frozen=True, slots=True)
class NodeFinished:
    """An attempt at a node succeeded: its outputs are saved."""

    node: str
    worker: str
    attempt: int
    started: float
    at: float
    load_seconds: float
    run_seconds: float
    save_seconds: float
    sizes: tuple[tuple[str, int], ...] = ()
    """Bytes of each in-memory output that was handed over, by dataset name."""


@dataclass(frozen=True, slots=True)
class NodeFailed:
    """An attempt at a node failed."""

    node: str
    worker: str
    attempt: int
    started: float | None
    at: float
    failure: Failure
    final: bool = True
    """False where the node will be tried again."""


@dataclass(frozen=True, slots=True)
class NodeSkipped:
    """A node will not run, because something before it failed or the run stopped."""

    node: str
    at: float


@dataclass(frozen=True, slots=True)
class DatasetReleased:
    """Nobody needs an in-memory dataset any more: its memory was given back."""

    dataset: str
    at: float


@dataclass(frozen=True, slots=True)
class WorkerLost:
    """A worker died without being asked to."""

    worker: str
    pid: int
    at: float
    exitcode: int | None
    node: str | None
    """The node it was running, None where it was idle."""


@dataclass(frozen=True, slots=True)
class RunFinished:
    """The run is over; `outcome` says how, and `resume_from` where one that did not succeed can go on, if anything was done."""

    run_id: str
    at: float
    outcome: Outcome
    failed: tuple[str, ...] = ()
    resume_from: tuple[str, ...] = ()


Event: TypeAlias = (
    RunStarted
    | WorkerStarted
    | NodeStarted
    | NodeFinished
    | NodeFailed
    | NodeSkipped
    | DatasetReleased
    | WorkerLost
    | RunFinished
)


class Observer(Protocol):
    """Something that takes the events of a run; it is called in the thread that runs the loop, and must not block."""

    def __call__(self, event: Event, /) -> Any:
        """Take one event."""
