"""Every error Treadle raises, in one tree.

::

    TreadleError
    ├── ProjectError            pyproject.toml, settings.py or pipeline_registry.py is wrong
    │   ├── ProjectNotFoundError    no project at or above a path
    │   └── NotConfiguredError      nobody called bootstrap_project or configure_project (a ValueError)
    ├── ConfigError             a file or a key of conf/ is wrong
    │   └── MissingConfigError      no file matches the patterns of a kind of config
    ├── PipelineError           nodes that cannot be wired (a ValueError)
    │   ├── CircularDependencyError
    │   └── UnknownNameError        a node, pipeline, tag or dataset nobody declared
    ├── DatasetError            a dataset that cannot be built, loaded or saved
    │   └── UnknownDatasetError
    ├── HookError               a hook that cannot be registered or rebuilt, or that raised outside of nodes
    ├── SessionError            a session used out of turn
    ├── StoreError              the store cannot be opened, migrated or written
    ├── RunnerError             a runner, or an argument of one, that cannot be used (a ValueError)
    └── RunError                a run that did not succeed
        ├── NodeError               a node failed: node, worker, attempt, failure
        │   ├── NodeTimeoutError        its attempt took longer than its policy allows: the limit, the time it took
        │   └── WorkerLostError         the worker running it died: exit code, signal, peak memory
        └── WorkerSetupError        a worker could not be set up

Every error keeps its facts as fields and survives pickling both ways: the fields are keyword arguments, kept on
the instance, and `__reduce__` rebuilds the error from its message and fields. The secrets that the process knows are masked
in every message.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any, ClassVar

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
        **fields: the facts by name; each class says which it takes, and a missing one is None.
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

    Fields: file (path of the file at fault), key (the entry in it).
    """

    fields: ClassVar[tuple[str, ...]] = ("file", "key")
    file: str | None
    key: str | None


class ProjectNotFoundError(ProjectError):
    """No project stands at a path, nor above it."""


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
    """No file holds the kind of configuration that was asked for."""


class PipelineError(TreadleError, ValueError):
    """Nodes that cannot be wired together. Fields: nodes (the names at fault)."""

    fields: ClassVar[tuple[str, ...]] = ("nodes",)
    nodes: tuple[str, ...] | None


class CircularDependencyError(PipelineError):
    """Nodes that wait for one another."""


class UnknownNameError(PipelineError):
    """A node, pipeline, tag, namespace or dataset that nobody declared. Fields: name, close (close matches)."""

    fields: ClassVar[tuple[str, ...]] = ("nodes", "name", "close")
    name: str | None
    close: tuple[str, ...] | None


class DatasetError(TreadleError):
    """A dataset that cannot be built, loaded or saved. Fields: dataset (name), node (name, where one asked)."""

    fields: ClassVar[tuple[str, ...]] = ("dataset", "node")
    dataset: str | None
    node: str | None


class UnknownDatasetError(DatasetError):
    """A dataset that is not in the catalog. Fields: dataset, node, close (close matches)."""

    fields: ClassVar[tuple[str, ...]] = ("dataset", "node", "close")
    close: tuple[str, ...] | None


class HookError(TreadleError):
    """A hook that cannot be registered or rebuilt, or that raised in the main process, outside of nodes.

    Fields: hook (spec name), plugin (its name, and where it came from), failure (the record of what it raised, which is the
    `__cause__` too; None where it was not called).
    """

    fields: ClassVar[tuple[str, ...]] = ("hook", "plugin", "failure")
    hook: str | None
    plugin: str | None
    failure: Failure | None


class SessionError(TreadleError):
    """A session used out of turn. Fields: session_id."""

    fields: ClassVar[tuple[str, ...]] = ("session_id",)
    session_id: str | None


class StoreError(TreadleError):
    """The store of sessions cannot be opened, migrated or written. Fields: url (password masked)."""

    fields: ClassVar[tuple[str, ...]] = ("url",)
    url: str | None


class RunError(TreadleError):
    """A run that did not succeed. Fields: run_id."""

    fields: ClassVar[tuple[str, ...]] = ("run_id",)
    run_id: str | None


class RunnerError(TreadleError, ValueError):
    """A runner, or an argument of one, that cannot be used. Fields: name (of the runner or argument), close (matches)."""

    fields: ClassVar[tuple[str, ...]] = ("name", "close")
    name: str | None
    close: tuple[str, ...] | None


class NodeError(RunError):
    """A node failed.

    Fields: run_id, node (name), worker (its label), attempt (from 1), failure (the record the worker sent back),
    resume_from (names of the nodes to start from to finish the run), resume (the whole command that does it, where a
    session knows it), others (the errors of the other nodes that failed in the same run, in order; a tuple).
    `__cause__` is the node's own exception where it survived the way back, else a stand-in with its type and text.
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
        """The exit code that the node gave to `sys.exit`, as Python reads it; None where it raised anything else.

        None too where other nodes failed beside it: what ended the run was not that alone.
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
    """An attempt at a node took longer than its policy allows. Fields: those of NodeError, timeout and elapsed (seconds)."""

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
        """The signal that ended the worker, None where it exited by itself or nobody saw how."""
        if self.exitcode is None or self.exitcode >= 0:
            return None
        try:
            return signal.Signals(-self.exitcode)
        except ValueError:
            return None


class WorkerSetupError(RunError):
    """A worker could not be set up. Fields: run_id, worker (its label), failure (the record the worker sent back)."""

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
