"""Every error Treadle raises, in one tree.

::

    TreadleError
    ├── ProjectError            pyproject.toml, settings.py or pipeline_registry.py is wrong
    │   ├── ProjectNotFoundError    no project at or above a path
    │   └── NotConfiguredError      neither bootstrap_project nor configure_project was called (a ValueError)
    ├── ConfigError             a file or a key of conf/ is wrong
    │   └── MissingConfigError      no file matches the patterns of a kind of config
    ├── PipelineError           nodes that cannot be connected (a ValueError)
    │   ├── CircularDependencyError
    │   └── UnknownNameError        a node, pipeline, tag or dataset that does not exist
    ├── DatasetError            a dataset that cannot be built, loaded or saved
    │   ├── UnknownDatasetError
    │   └── DataValidationError     data that its validator refuses
    ├── HookError               a hook that cannot be registered or pickled, or that raised outside of a node
    ├── SessionError            a session used in the wrong state, such as after it was closed
    ├── StoreError              the store cannot be opened, migrated or written
    ├── ReportError             the report of a run cannot be written
    ├── ServerError             the HTTP server cannot start
    ├── RunnerError             a runner, or an argument of a runner, is invalid (a ValueError)
    └── RunError                a run that did not succeed
        ├── RunCancelledError       the run was cancelled by its program
        ├── NodeError               a node failed
        │   ├── NodeTimeoutError        the attempt took longer than the node's policy allows
        │   └── WorkerLostError         the worker that ran the node died
        └── WorkerSetupError        a worker could not be set up

Every error stores its facts as attributes, listed in `fields`, and can be pickled: `__reduce__` rebuilds it from its message and
fields. Registered secrets are masked in every message. State: none.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any, ClassVar

from treadle.exits import signal_of
from treadle.secrets import mask_secrets

if TYPE_CHECKING:
    from treadle.events import Failure


def _rebuild(cls: type[TreadleError], message: str, fields: dict[str, Any], notes: list[str]) -> TreadleError:
    error = cls(message, **fields)
    for note in notes:
        error.__dict__.setdefault("__notes__", []).append(note)
    return error


class TreadleError(Exception):
    """The root of all errors that Treadle raises on purpose.

    Args:
        message: what happened, to what, the likely cause, and what to do next.
        **fields: values of the class's `fields`, by name; a missing one is None.
    """

    fields: ClassVar[tuple[str, ...]] = ()

    def __init__(self, message: str, **fields: Any) -> None:
        super().__init__(mask_secrets(message))
        unknown = sorted(set(fields) - set(self.fields))
        if unknown:
            msg = f"{type(self).__name__} has no field {unknown[0]!r}"
            raise TypeError(msg)
        for name in self.fields:
            setattr(self, name, fields.get(name))

    def __reduce__(self) -> tuple[Any, ...]:
        fields = {name: getattr(self, name) for name in self.fields}
        return _rebuild, (type(self), self.args[0], fields, list(getattr(self, "__notes__", ())))


class ProjectError(TreadleError):
    """A project whose pyproject.toml, settings.py or pipeline_registry.py is wrong.

    Fields: file (path of the incorrect file), key (the entry in it).
    """

    fields: ClassVar[tuple[str, ...]] = ("file", "key")
    file: str | None
    key: str | None


class ProjectNotFoundError(ProjectError):
    """There is no project at a path or in a directory above it."""


class NotConfiguredError(ProjectError, ValueError):
    """The process has no configured project."""


class ConfigError(TreadleError):
    """A configuration file, or a key in one, that cannot be used.

    Fields: file (path), line (from 1), key (dotted).
    """

    fields: ClassVar[tuple[str, ...]] = ("file", "line", "key")
    file: str | None
    line: int | None
    key: str | None


class MissingConfigError(ConfigError):
    """No file contains the requested kind of configuration."""


class PipelineError(TreadleError, ValueError):
    """Nodes that cannot be connected. Fields: nodes (their names)."""

    fields: ClassVar[tuple[str, ...]] = ("nodes",)
    nodes: tuple[str, ...] | None


class CircularDependencyError(PipelineError):
    """Nodes that depend on each other in a circle."""


class UnknownNameError(PipelineError):
    """A node, pipeline, tag, namespace or dataset that does not exist. Fields: nodes, name, close (similar names)."""

    fields: ClassVar[tuple[str, ...]] = ("nodes", "name", "close")
    name: str | None
    close: tuple[str, ...] | None


class DatasetError(TreadleError):
    """A dataset that cannot be built, loaded or saved. Fields: dataset (name), node (name of the node that uses it)."""

    fields: ClassVar[tuple[str, ...]] = ("dataset", "node")
    dataset: str | None
    node: str | None


class UnknownDatasetError(DatasetError):
    """A dataset that is not in the catalog. Fields: dataset, node, close (similar names)."""

    fields: ClassVar[tuple[str, ...]] = ("dataset", "node", "close")
    close: tuple[str, ...] | None


class DataValidationError(DatasetError):
    """Data that the validator of its dataset refuses.

    Fields: dataset, node, validator (its path), moment (`load` or `save`), failures (a tuple of
    `treadle.io.validation.failures.CheckFailure`).
    """

    fields: ClassVar[tuple[str, ...]] = ("dataset", "node", "validator", "moment", "failures")
    validator: str | None
    moment: str | None
    failures: tuple[Any, ...] | None


class HookError(TreadleError):
    """A hook that cannot be registered or pickled, or that raised in the main process, outside of a node.

    Fields: hook (spec name), plugin (its name and its source), failure (the record of the exception that it raised, which is also
    the `__cause__`; None if the hook was not called).
    """

    fields: ClassVar[tuple[str, ...]] = ("hook", "plugin", "failure")
    hook: str | None
    plugin: str | None
    failure: Failure | None


class SessionError(TreadleError):
    """A session used in the wrong state, such as after it was closed. Fields: session_id."""

    fields: ClassVar[tuple[str, ...]] = ("session_id",)
    session_id: str | None


class StoreError(TreadleError):
    """The store of sessions cannot be opened, migrated or written.

    Fields: url (password masked), is_misconfigured (True if its settings or the installed packages have to be corrected).
    """

    fields: ClassVar[tuple[str, ...]] = ("url", "is_misconfigured")
    url: str | None
    is_misconfigured: bool | None


class ReportError(TreadleError):
    """The report of a run cannot be written. Fields: path."""

    fields: ClassVar[tuple[str, ...]] = ("path",)
    path: str | None


class ServerError(TreadleError):
    """The HTTP server cannot start, or an option of it is invalid."""


class RunError(TreadleError):
    """A run that did not succeed. Fields: run_id."""

    fields: ClassVar[tuple[str, ...]] = ("run_id",)
    run_id: str | None


class RunCancelledError(RunError):
    """A run was cancelled by the program that had submitted it.

    Fields: run_id, abandoned (names of the nodes that still run, in threads, which cannot be ended; an empty tuple if there are
    none).
    """

    fields: ClassVar[tuple[str, ...]] = ("run_id", "abandoned")
    abandoned: tuple[str, ...] | None


class RunnerError(TreadleError, ValueError):
    """A runner, or an argument of a runner, is invalid. Fields: name (of the runner or argument), close (similar names)."""

    fields: ClassVar[tuple[str, ...]] = ("name", "close")
    name: str | None
    close: tuple[str, ...] | None


class NodeError(RunError):
    """A node failed.

    Fields: run_id, node (name), worker (its label), attempt (from 1), failure (the record that the worker sent), resume_from
    (names of the nodes to start from to finish the run), resume (the whole command that resumes the run, if a session knows it),
    others (a tuple: the errors of the other nodes that failed in the same run, in order).
    `__cause__` is the node's own exception if it could be pickled, otherwise a placeholder with its type and text.
    """

    fields: ClassVar[tuple[str, ...]] = ("run_id", "node", "worker", "attempt", "failure", "resume_from", "resume", "others")
    node: str
    worker: str | None
    attempt: int | None
    failure: Failure | None
    resume_from: tuple[str, ...] | None
    resume: str | None
    others: tuple[NodeError, ...] | None

    @property
    def failures(self) -> tuple[NodeError, ...]:
        """The errors of all nodes that failed in the run, in order: this one is the first."""
        return (self, *(self.others or ()))

    @property
    def exit_code(self) -> int | None:
        """The exit code that the node passed to `sys.exit`, as Python reads it; None for any other exception.

        It is also None if other nodes failed in the same run, because then the exit is not the only cause.
        """
        cause = self.__cause__
        if not isinstance(cause, SystemExit) or self.others:
            return None
        if cause.code is None:
            return 0
        return cause.code & 0xFF if isinstance(cause.code, int) else 1

    def __str__(self) -> str:
        parts = []
        for each in self.failures:
            parts.append(str(each.args[0]))
            if each.failure is not None and each.failure.traceback:
                parts.append(each.failure.traceback.rstrip())
        if self.resume:
            parts.append(f"Resume the run from here with:\n  {self.resume}")
        return "\n\n".join(parts)


class NodeTimeoutError(NodeError):
    """An attempt took longer than the node's policy allows. Fields: those of NodeError, timeout and elapsed (seconds)."""

    fields: ClassVar[tuple[str, ...]] = (*NodeError.fields, "timeout", "elapsed")
    timeout: float | None
    elapsed: float | None


class WorkerLostError(NodeError):
    """The worker that ran a node died. Fields: those of NodeError, exitcode (negative: minus the signal), peak_memory (bytes)."""

    fields: ClassVar[tuple[str, ...]] = (*NodeError.fields, "exitcode", "peak_memory")
    exitcode: int | None
    peak_memory: int | None

    @property
    def signal(self) -> signal.Signals | None:
        """The signal that ended the worker; None if it exited by itself, or if its exit code is unknown."""
        return signal_of(self.exitcode)


class WorkerSetupError(RunError):
    """A worker could not be set up. Fields: run_id, worker (its label), failure (the record that the worker sent)."""

    fields: ClassVar[tuple[str, ...]] = ("run_id", "worker", "failure")
    worker: str | None
    failure: Failure | None

    def __str__(self) -> str:
        trace = self.failure.traceback.rstrip() if self.failure is not None else ""
        return "\n\n".join(part for part in (str(self.args[0]), trace) if part)


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP arrived during a run; like Ctrl-C, it stops the run and unwinds the caller.

    Args:
        message: what happened.
        signal: the signal's number.
    """

    def __init__(self, message: str = "SIGTERM arrived during the run", signal: int = signal.SIGTERM) -> None:
        super().__init__(message, signal)
        self.signal = signal

    def __str__(self) -> str:
        return str(self.args[0])
