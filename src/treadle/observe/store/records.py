"""What is remembered of a session: frozen records, apart from how they are kept.

A `SessionRecord` holds its `RunRecord`s, and each of these its `NodeRecord`s and `WorkerRecord`s. Records hold no live
object: text, numbers, and mappings of what JSON can say. Times are seconds since the epoch, sizes are bytes.

Neighbours: `recorder.py` makes the run records from events, `treadle.session` makes the session record, `rows.py` turns
both into rows and back, and any other store may do with them what it likes.
"""

from __future__ import annotations

import traceback
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from treadle.errors import HookError, NodeError, WorkerSetupError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from treadle.events import Failure, Outcome


@dataclass(frozen=True, slots=True)
class ErrorRecord:
    """What is remembered of an exception.

    Attributes:
        type_name: its class, as `module.QualName` (builtins without the module).
        message: its text.
        traceback: the formatted traceback; of a failed node, the one its worker sent back.
        node: the node that failed, None where it was not a node.
    """

    type_name: str
    message: str
    traceback: str
    node: str | None = None

    @classmethod
    def from_failure(cls, failure: Failure, node: str | None = None) -> ErrorRecord:
        """Keep what a worker told of a failure.

        Args:
            failure: the facts that the worker sent back.
            node: the node that failed.

        Returns:
            The record, without the pickled exception.
        """
        return cls(failure.type_name, failure.message, failure.traceback, node)

    @classmethod
    def from_exception(cls, error: BaseException) -> ErrorRecord:
        """Keep what can be told of an exception that reached the parent.

        Args:
            error: the exception; a node's, a hook's or a worker's carries what was raised there, whose traceback is kept.

        Returns:
            The record.
        """
        failure = error.failure if isinstance(error, (HookError, NodeError, WorkerSetupError)) else None
        if failure is not None:
            trace = failure.traceback  # empty where the worker was killed
        else:
            trace = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        node = error.node if isinstance(error, NodeError) else None
        return cls(class_name(type(error)), message_of(error), trace, node)


@dataclass(frozen=True, slots=True)
class NodeRecord:
    """One attempt at a node; attempt 0 stands for a node that was never started."""

    node: str
    attempt: int
    outcome: Outcome
    worker: str | None = None
    started: float | None = None
    finished: float | None = None
    load_seconds: float | None = None
    run_seconds: float | None = None
    save_seconds: float | None = None
    sizes: tuple[tuple[str, int], ...] = ()
    """Bytes of each in-memory output that was handed over, by dataset name."""
    error: ErrorRecord | None = None


@dataclass(frozen=True, slots=True)
class WorkerRecord:
    """A worker that took part in a run; `lost` is when it died without being asked to."""

    worker: str
    pid: int
    started: float | None = None
    lost: float | None = None
    exitcode: int | None = None


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run of a session.

    Attributes:
        number: 1 for the session's first run; only a session whose first run failed has more.
        run_id: the id that hooks and versioned datasets saw.
        pipelines: names of the pipelines that were asked for.
        runner: the runner's name.
        start_method: how worker processes were started, None where there were none.
        worker_count: workers at the start, None where the run did not come so far.
        started, finished: when it began and ended.
        outcome: how it ended.
        params: the arguments of the run that were given, by name; `load_versions` holds all versions that it loaded, whether
            they were given or were the newest then.
        nodes: every attempt at every node of the run, in plan order.
        workers: those who took part, in order of appearance.
        error: what ended it, None where it succeeded.
    """

    number: int
    run_id: str
    pipelines: tuple[str, ...]
    runner: str
    start_method: str | None
    worker_count: int | None
    started: float
    finished: float
    outcome: Outcome
    params: Mapping[str, Any] = field(default_factory=dict)
    nodes: tuple[NodeRecord, ...] = ()
    workers: tuple[WorkerRecord, ...] = ()
    error: ErrorRecord | None = None


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """A session: how it was made, with what, and what came of it.

    Attributes:
        session_id: sorts by time; also the run id and the save version.
        project_path: absolute path of the project.
        package_name: the project's package.
        env: the configuration environment, None for the default one.
        conf_source: where the configuration was read.
        extra_params: params given to the session; values under secret-looking names are masked.
        command: the command line as typed, secrets masked; None where a program made the session.
        started, finished: when it was created and closed.
        outcome: of its last run, or of what followed; None where nothing ran and nothing failed.
        user, host, pid: who ran it and where.
        git_commit, git_dirty: the commit, and whether code or configuration differed from it; None where it is not known.
        environment: the environment variables that matter, secrets masked.
        versions: of Python, Treadle, the platform, and every installed distribution.
        runs: in order.
        error: what ended the session, None where nothing did.
        sources: a digest of the files of code and configuration as the first run found them; None where it is not known.
    """

    session_id: str
    project_path: str
    package_name: str
    env: str | None
    conf_source: str
    extra_params: Mapping[str, Any]
    command: str | None
    started: float
    finished: float
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


@dataclass(frozen=True, slots=True)
class SessionSummary:
    """One line about a session: what a list of sessions shows, without reading every node's record.

    `pipelines`, `runner`, `start_method` and the counts of nodes are those of the last run; None or 0 where nothing ran.
    """

    session_id: str
    env: str | None
    command: str | None
    started: float
    finished: float
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
    """Message of what ended the session."""


def class_name(cls: type) -> str:
    """Name a class as a reader would import it.

    Args:
        cls: any class.

    Returns:
        `module.QualName`, builtins without the module.
    """
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def message_of(error: BaseException) -> str:
    """Take the text of an exception, whatever its `__str__` does.

    Args:
        error: any exception.

    Returns:
        Its text; of a failed node, without the command that resumes the run.
    """
    if isinstance(error, NodeError):
        return str(error.args[0])
    try:
        return str(error)
    except Exception as broken:  # noqa: BLE001 - a user's __str__ may raise anything, and the record must still be written
        return f"(the text of this {type(error).__name__} cannot be made: {type(broken).__name__} in its __str__)"
