"""The events of a run, and the protocol of the observers that receive them.

The runner emits events in the parent process, in the order in which it receives them from workers. An observer (progress, log,
store) is a callable that takes one event. Times are seconds since the epoch (`time.time`), sizes are bytes. State: none.
"""

from __future__ import annotations

from enum import Enum
from typing import Any, Protocol, TypeAlias, get_args

from treadle.named_tuple import NamedTuple


class Outcome(Enum):
    """How a node, a run or a session ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"
    REUSED = "reused"
    """Of a node: it was up to date, and its outputs from an earlier run were used."""
    INTERRUPTED = "interrupted"

    @property
    def symbol(self) -> str:
        """One character for a terminal."""
        return {"succeeded": "✔", "failed": "✘", "skipped": "·", "reused": "=", "interrupted": "■"}[self.value]


class Failure(NamedTuple):
    """An exception as plain values that can always be pickled, so that it can cross a process boundary.

    Attributes:
        type_name: the exception's class, as `module.QualName` (builtins without the module).
        message: `str(exception)`, or a note that `str` failed.
        traceback: the formatted traceback with its chain of causes, without Treadle's own frames.
        pickled: the exception itself; None if it cannot be pickled and unpickled.
        dataset: the dataset that was being loaded or saved, if that is what failed.
        phase: the step that failed: `"setup"`, `"load"`, `"run"`, `"save"`, `"confirm"` or `"hook"`; `"timeout"` if the attempt
            took too long.
        hook: the hook that was being called, if that is what failed.
        plugin: the plugin that implements the hook: its class or module, and its source.
        seconds: how long the attempt had loaded, run and saved when it failed; None if that is not known.
    """

    type_name: str
    message: str
    traceback: str
    pickled: bytes | None = None
    dataset: str | None = None
    phase: str = "run"
    hook: str | None = None
    plugin: str | None = None
    seconds: tuple[float, float, float] | None = None

    @property
    def ends_well(self) -> bool:
        """Whether it is a `sys.exit(0)`: the node's code ended the run on purpose, with success."""
        return self.type_name == "SystemExit" and self.message in {"", "0", "None", "False"}


class ContentRecord(NamedTuple):
    """The content of a dataset at one time.

    Attributes:
        dataset: name of the dataset.
        location: the path or URI of its file or folder, with passwords masked; None if it has no file.
        version: the version, if the dataset is versioned.
        size: bytes; of a folder, of all its files.
        mtime_ns: time of the last modification; of a folder, that of the file that was modified last. None for remote files.
        digest: `xxh3:…`, a hash of the bytes (of a folder: of the names and bytes of its files); or `md5:…`, `etag:…` or
            `version:…` from the metadata of a remote file; None if the content cannot be verified.
        taken_ns: when the other fields were read, in nanoseconds since the epoch.
        listing: of a folder, a hash of the name, size, time of modification and inode of each file.
        problem: why there is no digest, in one sentence.
        inode: of a local file: another file in its place, by a link for example, may have the same size and times.
    """

    dataset: str
    location: str | None
    version: str | None
    size: int | None
    mtime_ns: int | None
    digest: str | None
    taken_ns: int | None
    listing: str | None = None
    problem: str | None = None
    inode: int | None = None

    def same_content(self, other: ContentRecord | None) -> bool:
        """Return whether both are known to have the same content; False if either cannot be verified."""
        return other is not None and self.digest is not None and self.digest == other.digest


class RunStarted(NamedTuple):
    """A run began: its plan is compiled, and its workers are about to start."""

    run_id: str
    at: float
    runner: str
    start_method: str | None
    workers: int
    nodes: tuple[str, ...]
    """Names of all the nodes of the run, in plan order."""
    reason: str | None = None
    """Why this runner was chosen, if `runner="auto"` chose it."""
    start_method_reason: str | None = None
    """Why this start method was chosen; None if the caller or the application has set it."""


class WorkerStart(NamedTuple):
    """How the start of a worker process went: when, and how many seconds each part took until it was ready.

    Attributes:
        launched: when the main process began to start it, in seconds since the epoch.
        interpreter: until Treadle's code ran in it: the start of Python, or a fork.
        imports: the import of Treadle's modules; 0 if it inherited them.
        project: the import of the project, its settings and the large libraries that it uses; 0 if it inherited them.
        set_up: the rest: connection, environment, logging.
    """

    launched: float
    interpreter: float
    imports: float
    project: float
    set_up: float

    @property
    def seconds(self) -> float:
        """How long it took altogether."""
        return self.interpreter + self.imports + self.project + self.set_up


class WorkerStarted(NamedTuple):
    """A worker is set up and ready for jobs."""

    worker: str
    """Label of the worker: `main`, `thread-1`, `worker-1`, …; a later worker may reuse the label of one that ended."""
    pid: int
    at: float
    start: WorkerStart | None = None
    """How its process was started; None if it was ready before this run, or is no process of this machine."""


class Dispatch(NamedTuple):
    """When an attempt at a node was sent to its worker, and what it waited for before.

    Attributes:
        submitted: when its job was sent to the worker.
        assigned: when a worker was chosen for it, if values had to be loaded or transferred before its job could be sent.
        delayed_until: end of the delay before it, if it is a repeated attempt with a delay.
    """

    submitted: float
    assigned: float | None = None
    delayed_until: float | None = None


class NodeStarted(NamedTuple):
    """A worker began an attempt at a node."""

    node: str
    worker: str
    attempt: int
    at: float
    dispatch: Dispatch | None = None
    """When it was sent to the worker; None if that is not known."""


class NodeFinished(NamedTuple):
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
    """Dataset name and bytes of each in-memory output that was transferred."""
    outputs: tuple[ContentRecord, ...] = ()
    """The content of each persistent output as the node saved it, by name; empty if no observer of the run `records_outputs`."""
    dispatch: Dispatch | None = None
    """When it was sent to the worker; None if that is not known."""


class NodeFailed(NamedTuple):
    """An attempt at a node failed."""

    node: str
    worker: str
    attempt: int
    started: float | None
    at: float
    failure: Failure
    final: bool = True
    """False if the node will be retried."""
    dispatch: Dispatch | None = None
    """When it was sent to the worker; None if that is not known."""


class NodeSkipped(NamedTuple):
    """A node will not run, because a node that it depends on failed or the run stopped."""

    node: str
    at: float


class NodeReused(NamedTuple):
    """A node did not run, because it is up to date: its outputs from an earlier run are used.

    If a node that runs needs one of its values in memory, it runs after all, and its `NodeStarted` follows.
    """

    node: str
    at: float


class DatasetReleased(NamedTuple):
    """An in-memory dataset was released after its last consumer, and its memory freed."""

    dataset: str
    at: float


class WorkerLost(NamedTuple):
    """A worker died unexpectedly."""

    worker: str
    pid: int
    at: float
    exitcode: int | None
    node: str | None
    """The node that it was running; None if it was idle."""


class RunFinished(NamedTuple):
    """The run ended. If it did not succeed, `resume_from` has the nodes to start from; it is empty if no node can be skipped."""

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
    | NodeReused
    | DatasetReleased
    | WorkerLost
    | RunFinished
)


def _equal(event: Any, other: Any) -> bool:
    """Compare events by their class too: a skipped and a reused node have the same fields."""
    return type(event) is type(other) and bool(tuple.__eq__(event, other))


def _unequal(event: Any, other: Any) -> bool:
    return not _equal(event, other)


for _event in get_args(Event):
    _event.__eq__, _event.__ne__ = _equal, _unequal


class Observer(Protocol):
    """Receives the events of a run. It is called in the thread that runs the loop, so it must not block.

    It may have a method `before_first_node()`, which is called once while the workers start; the first node waits for it. It may
    have a method `plan_ready(plan, limits)`, which is called before the first event with the `treadle.planning.Plan` of the run
    and the limits of its resources, by name.

    If it has an attribute `records_outputs` that is True, the run records the content of each persistent output when it is saved,
    for `NodeFinished.outputs`. That costs reading the files that other libraries have written.

    It may have an attribute `ignored_events`, the types of the events that it does nothing with. A run does not create a
    `DatasetReleased` that all its observers ignore.
    """

    def __call__(self, event: Event, /) -> Any:
        """Handle one event."""
