"""The records of a session: named tuples, independent of how a store saves them.

A `SessionRecord` contains `RunRecord`s, and each of these `NodeRecord`s and `WorkerRecord`s. Records contain only strings,
numbers, and mappings of JSON-compatible values. Times are seconds since the epoch, sizes are bytes.

State: none. Neighbours: `recorder.py` creates the run records from events, `treadle.session` creates the session record,
`rows.py` converts both to database rows and back.
"""

from __future__ import annotations

import traceback
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from treadle.errors import HookError, NodeError, WorkerSetupError
from treadle.events import Outcome
from treadle.named_tuple import NamedTuple, new_record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from treadle.events import ContentRecord, Dispatch, Failure, NodeFailed, NodeFinished, NodeStarted
    from treadle.observe.store.log_lines import LogBatch
    from treadle.observe.store.memory_samples import MemoryRecord
    from treadle.observe.store.run_graph import RunGraph
    from treadle.planning.reuse.facts import LastSuccess


_NONE_GIVEN: Final[Mapping[str, Any]] = {}
"""The params of a run without params; never changed."""


class SessionState(Enum):
    """Whether a session still runs, as far as a reader of its record can tell."""

    RUNNING = "running"
    FINISHED = "finished"
    LOST = "lost"
    """Its process is gone and did not complete the record: it was killed, or its machine went down."""


class ErrorRecord(NamedTuple):
    """The record of an exception.

    Attributes:
        type_name: its class, as `module.QualName` (builtins without the module).
        message: its message.
        traceback: the formatted traceback; of a failed node, the one its worker sent back.
        node: the node that failed; None for other errors.
    """

    type_name: str
    message: str
    traceback: str
    node: str | None = None

    @classmethod
    def from_failure(cls, failure: Failure, node: str | None = None) -> ErrorRecord:
        """Make the record of a failure reported by a worker.

        Args:
            failure: the failure sent by the worker.
            node: the node that failed.

        Returns:
            The record, without the pickled exception.
        """
        return cls(failure.type_name, failure.message, failure.traceback, node)

    @classmethod
    def from_exception(cls, error: BaseException) -> ErrorRecord:
        """Make the record of an exception raised in the parent.

        Args:
            error: the exception; for a node, hook or worker error, the traceback of the original failure is recorded.

        Returns:
            The record.
        """
        failure = error.failure if isinstance(error, (HookError, NodeError, WorkerSetupError)) else None
        if failure is not None:
            trace = failure.traceback  # empty if the worker was killed
        else:
            trace = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        node = error.node if isinstance(error, NodeError) else None
        return cls(class_name(type(error)), message_of(error), trace, node)


class NodeRecord(NamedTuple):
    """One attempt at a node; attempt 0 is a node that never started. `outcome` is None while the node runs."""

    node: str
    attempt: int
    outcome: Outcome | None
    worker: str | None = None
    started: float | None = None
    finished: float | None = None
    load_seconds: float | None = None
    run_seconds: float | None = None
    save_seconds: float | None = None
    sizes: tuple[tuple[str, int], ...] = ()
    """Size of each in-memory output that was transferred, by dataset name."""
    outputs: tuple[ContentRecord, ...] = ()
    """The content of each persistent output as the attempt saved it."""
    error: ErrorRecord | None = None
    dispatch: Dispatch | None = None
    """When it was sent to its worker, and what it waited for before; None if that is not known."""
    retried: bool = False
    """Of a failed attempt: whether the node is attempted again. Without a later attempt, the node waits for that."""
    success: LastSuccess | None = None
    """What the outputs of a successful node depend on; None if it is not known, or the record was read from a store. Two records
    that differ only in it are equal."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NodeRecord) and self[:-1] == other[:-1]

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(self[:-1])

    @classmethod
    def from_started(cls, event: NodeStarted) -> NodeRecord:
        """Make the record of an attempt that is running."""
        return cls(event.node, event.attempt, None, event.worker, event.at, dispatch=event.dispatch)

    @classmethod
    def from_finished(cls, event: NodeFinished) -> NodeRecord:
        """Make the record of an attempt that succeeded."""
        # All fields by position: a run may have thousands of these a second, and by name they take three times as long.
        node, worker, attempt, started, at, load, run, save, sizes, outputs, dispatch = event
        outcome = Outcome.SUCCEEDED
        fields = (node, attempt, outcome, worker, started, at, load, run, save, sizes, outputs, None, dispatch, False, None)
        return new_record(cls, fields)

    @classmethod
    def from_failed(cls, event: NodeFailed) -> NodeRecord:
        """Make the record of an attempt that failed."""
        load, run, save = event.failure.seconds or (None, None, None)
        return cls(
            node=event.node,
            attempt=event.attempt,
            outcome=Outcome.FAILED,
            worker=event.worker,
            started=event.started,
            finished=event.at,
            load_seconds=load,
            run_seconds=run,
            save_seconds=save,
            error=ErrorRecord.from_failure(event.failure, event.node),
            dispatch=event.dispatch,
            retried=not event.final,
        )


class WorkerRecord(NamedTuple):
    """A worker of a run; `started` is when it was ready, `lost` when it died unexpectedly."""

    worker: str
    pid: int
    started: float | None = None
    lost: float | None = None
    exitcode: int | None = None
    launched: float | None = None
    """When its process was launched; None if unknown, as for a process of another machine."""


class RunRecord(NamedTuple):
    """One run of a session.

    Attributes:
        number: 1 for the session's first run; only a session whose first run failed has more.
        run_id: the id passed to hooks and versioned datasets.
        pipelines: names of the requested pipelines.
        runner: the runner's name.
        start_method: how worker processes were started; None without worker processes.
        worker_count: number of workers at the start; None if the run never started.
        started, finished: when it began and ended; `finished` is None until then.
        outcome: how it ended; None until then.
        params: the given arguments of the run, by name; `load_versions` contains all loaded versions, whether requested or
            the newest at that time.
        nodes: every attempt at every node of the run, in plan order.
        workers: the workers of the run, in order of appearance.
        error: the error that ended it; None if it succeeded.
        node_count: number of nodes of its plan; None if the run never started.
        parameters: the params that its nodes loaded, by name of the dataset, with secrets masked.
        graph: its nodes and datasets; None if unknown, as for a run that a custom runner executed.
        memory: samples of the memory of its processes; None if there are none.
        log: the log lines of its nodes, in batches (`treadle.observe.store.log_lines`); empty if they are not recorded.
    """

    number: int
    run_id: str
    pipelines: tuple[str, ...]
    runner: str
    start_method: str | None
    worker_count: int | None
    started: float
    finished: float | None
    outcome: Outcome | None
    params: Mapping[str, Any] = _NONE_GIVEN
    nodes: tuple[NodeRecord, ...] = ()
    workers: tuple[WorkerRecord, ...] = ()
    error: ErrorRecord | None = None
    node_count: int | None = None
    graph: RunGraph | None = None
    memory: MemoryRecord | None = None
    parameters: Mapping[str, Any] = _NONE_GIVEN
    log: tuple[LogBatch, ...] = ()


class SessionRecord(NamedTuple):
    """The record of a session: its origin, settings, environment and runs.

    Attributes:
        session_id: sorts by time; also the run id and the save version.
        project_path: absolute path of the project.
        package_name: the project's package.
        env: the configuration environment; None for the default.
        conf_source: the configuration folder or archive.
        extra_params: params given to the session; values with secret-looking names are masked.
        command: the command line as typed, with secrets masked; None if a program created the session.
        started, finished: when it was created and closed; `finished` is None until then.
        outcome: the outcome of the session, until it closes that of its last run; None if no run has ended and nothing failed.
        user, host, pid: user, machine and process.
        git_commit, git_dirty: the commit, and whether code or configuration differed from it; None if unknown.
        environment: relevant environment variables, with secrets masked.
        versions: versions of Python, the platform, and every installed distribution.
        runs: its runs, in order.
        error: the error that ended the session, if any.
        sources: digest of the code and configuration files at the first run; None if unknown.
        process_started: when the process was started, in seconds after the machine's; with `pid` and `boot_id` it identifies the
            process. None if unknown.
        boot_id: identifies the machine's current boot, and the process's namespace of process ids.
        heartbeat: when the session was last known to run; written every few seconds during a run.
        resumed_from: id of the session that this one resumes, if any.
        state: whether it runs, has finished, or is lost; determined when the record is read.
    """

    session_id: str
    project_path: str
    package_name: str
    env: str | None
    conf_source: str
    extra_params: Mapping[str, Any]
    command: str | None
    started: float
    finished: float | None
    outcome: Outcome | None
    user: str | None
    host: str | None
    pid: int
    git_commit: str | None
    git_dirty: bool | None
    environment: Mapping[str, str]
    versions: Mapping[str, str]
    runs: tuple[RunRecord, ...] = ()
    error: ErrorRecord | None = None
    sources: str | None = None
    process_started: float | None = None
    boot_id: str | None = None
    heartbeat: float | None = None
    resumed_from: str | None = None
    state: SessionState = SessionState.FINISHED


class SessionSummary(NamedTuple):
    """The summary of a session for lists of sessions, without the records of its nodes.

    `pipelines`, `runner`, `start_method` and the node counts are those of the last run; empty, None or 0 if nothing ran.
    """

    session_id: str
    env: str | None
    command: str | None
    started: float
    finished: float | None
    outcome: Outcome | None
    user: str | None
    git_commit: str | None
    git_dirty: bool | None
    runs: int
    pipelines: tuple[str, ...]
    runner: str | None
    start_method: str | None
    succeeded: int
    failed: int
    error: str | None
    """Message of the error that ended the session."""
    state: SessionState = SessionState.FINISHED
    """Whether it runs, has finished, or is lost."""
    heartbeat: float | None = None
    """When the session was last known to run."""
    resumed_from: str | None = None
    """Id of the session that this one resumes, if any."""
    reused: int = 0
    """Number of nodes of the last run that were up to date."""
    skipped: int = 0
    """Number of nodes of the last run that did not run because a node before them failed, or the run ended."""
    nodes: int | None = None
    """Number of nodes of the last run; None if it never started."""


def class_name(cls: type) -> str:
    """Return the qualified name of a class.

    Args:
        cls: any class.

    Returns:
        `module.QualName`; for builtins without the module.
    """
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def message_of(error: BaseException) -> str:
    """Return the message of an exception, even if its `__str__` raises.

    Args:
        error: any exception.

    Returns:
        The message; for a failed node, without the command that resumes the run.
    """
    if isinstance(error, NodeError):
        return str(error.args[0])
    try:
        return str(error)
    except Exception as broken:  # noqa: BLE001 - a user's __str__ may raise anything, and the record must still be written
        return f"(this {type(error).__name__} has no message: its __str__ raised {type(broken).__name__})"
