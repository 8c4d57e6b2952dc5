"""Build the record of a session from its facts: as it is while it runs, and when it closes.

State: none. Neighbours: `session.py` holds the facts, `facts.py` collects git state and versions, `masking.py` masks secrets,
`treadle.observe.store` stores the record.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from treadle.config.params import merge_params
from treadle.config.writing import yaml_value
from treadle.errors import RunCancelledError
from treadle.events import Outcome
from treadle.execution.processes.safe_points import is_interrupt
from treadle.named_tuple import NamedTuple
from treadle.observe.store.records import ErrorRecord, RunRecord, SessionRecord
from treadle.secrets import mask_text
from treadle.session.facts import GitFacts, installed_versions
from treadle.session.masking import mask_command, mask_params

if TYPE_CHECKING:
    from pathlib import Path

    from treadle.observe.store.liveness import SessionProcess


class SessionFacts(NamedTuple):
    """The facts of a session that are known when it is created.

    `conf_source` is the folder in use, `given_conf_source` the caller's argument; `extra_params` and `command` are not masked.
    """

    session_id: str
    project_path: Path
    package_name: str
    env: str | None
    conf_source: Path
    given_conf_source: str | None
    extra_params: Mapping[str, Any]
    command: str | None
    started: float
    user: str | None
    host: str | None
    pid: int
    environment: Mapping[str, str]
    resumed_from: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the facts as a dictionary, for plugins.

        Returns:
            Facts by name; mappings are copies.
        """
        facts = self._asdict().items()
        return {name: merge_params(fact, {}) if isinstance(fact, Mapping) else fact for name, fact in facts}


def outcome_of(error: BaseException | None, runs: Sequence[RunRecord]) -> Outcome | None:
    """Return how a session ended.

    Args:
        error: the exception that left the session's `with` block, if any.
        runs: the runs of the session.

    Returns:
        The outcome; None if nothing ran and nothing failed. `sys.exit()` without an error code is not a failure.
    """
    if isinstance(error, RunCancelledError) or (error is not None and is_interrupt(error)):
        return Outcome.INTERRUPTED
    if is_failure(error):
        return Outcome.FAILED
    return runs[-1].outcome if runs else None


def is_failure(error: BaseException | None) -> bool:
    """Return whether an exception that left a `with` block is a failure.

    Args:
        error: the exception; None if the block ended normally.

    Returns:
        False for a normal end, `sys.exit()` without an error code, and the closing of a generator.
    """
    if isinstance(error, SystemExit):
        return error.code not in (None, 0)
    return error is not None and not isinstance(error, GeneratorExit)


def masked_error(error: BaseException) -> ErrorRecord:
    """Make the record of an error, with secrets masked.

    Args:
        error: the exception.

    Returns:
        The record.
    """
    return _masked(ErrorRecord.from_exception(error))


def masked_run(run: RunRecord) -> RunRecord:
    """Mask secrets in the record of a run: in its arguments and its errors.

    Args:
        run: the run.

    Returns:
        The record with masked messages, tracebacks and params.
    """
    nodes = tuple(node._replace(error=_masked(node.error)) if node.error is not None else node for node in run.nodes)
    error = _masked(run.error) if run.error is not None else None
    return run._replace(nodes=nodes, error=error, params=yaml_value(mask_params(run.params)))


def _masked(error: ErrorRecord) -> ErrorRecord:
    return error._replace(message=mask_text(error.message), traceback=mask_text(error.traceback))


def make_record(
    facts: SessionFacts,
    runs: Sequence[RunRecord],
    git: GitFacts,
    *,
    error: BaseException | None,
    finished: float | None,
    sources: str | None = None,
    process: SessionProcess | None = None,
    versions: Mapping[str, str] | None = None,
) -> SessionRecord:
    """Make the record of a session, secrets masked.

    Args:
        facts: the facts known when the session was created.
        runs: the runs of the session, in order.
        git: the git state of the sources.
        error: the exception that left the session's `with` block, if any.
        finished: when it closed, seconds since the epoch; None for a session that is running.
        sources: the digest of code and configuration.
        process: the process of the session, by which its end can be noticed; None if the record is only saved as a whole.
        versions: the installed versions, if they were read before.

    Returns:
        The record.
    """
    if error is not None and outcome_of(error, ()) is not None:
        recorded_error: ErrorRecord | None = masked_error(error)
    else:
        recorded_error = runs[-1].error if runs else None
    return SessionRecord(
        session_id=facts.session_id,
        project_path=str(facts.project_path),
        package_name=facts.package_name,
        env=facts.env,
        conf_source=str(facts.conf_source),
        extra_params=yaml_value(mask_params(facts.extra_params)),
        command=mask_command(facts.command) if facts.command else None,
        started=facts.started,
        finished=finished,
        outcome=outcome_of(error, runs),
        user=facts.user,
        host=facts.host,
        pid=facts.pid,
        git_commit=git.commit,
        git_dirty=git.dirty,
        environment=facts.environment,
        versions=installed_versions() if versions is None else versions,
        runs=tuple(runs),
        error=recorded_error,
        sources=sources,
        process_started=process.started if process is not None else None,
        boot_id=process.boot_id if process is not None else None,
        heartbeat=time.time() if process is not None else None,
        resumed_from=facts.resumed_from,
    )
