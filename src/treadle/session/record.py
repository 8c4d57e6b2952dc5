"""The record of a session, made from its facts when it closes.

State: none. Neighbours: `session.py` keeps the facts, `facts.py` finds git's and the versions, `masking.py` takes the secrets
out, `treadle.observe.store` keeps the record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from treadle.config.params import merge_params
from treadle.events import Outcome
from treadle.observe.store.plain import plain_value
from treadle.observe.store.records import ErrorRecord, RunRecord, SessionRecord
from treadle.session.facts import GitFacts, installed_versions
from treadle.session.masking import mask_command, mask_known, mask_params, secret_values

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class SessionFacts:
    """What is known of a session from its start.

    `conf_source` is the folder in use, `given_conf_source` what the caller gave for it; `extra_params` and `command` are as
    given, unmasked.
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

    def as_dict(self) -> dict[str, Any]:
        """List the facts for plugins.

        Returns:
            Each by its name; mappings are copies.
        """
        facts = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: merge_params(fact, {}) if isinstance(fact, Mapping) else fact for name, fact in facts.items()}


def outcome_of(error: BaseException | None, runs: Sequence[RunRecord]) -> Outcome | None:
    """Say how a session ended.

    Args:
        error: what left the session's `with` block, if anything did.
        runs: its runs.

    Returns:
        The outcome; None where nothing ran and nothing failed. Leaving by `sys.exit()` without an error code fails nothing.
    """
    if isinstance(error, KeyboardInterrupt):
        return Outcome.INTERRUPTED
    if is_failure(error):
        return Outcome.FAILED
    return runs[-1].outcome if runs else None


def is_failure(error: BaseException | None) -> bool:
    """Say whether what left a `with` block means that something went wrong.

    Args:
        error: the exception, None where there was none.

    Returns:
        False for a normal end, `sys.exit()` without an error code, and a generator that is closed.
    """
    if isinstance(error, SystemExit):
        return error.code not in (None, 0)
    return error is not None and not isinstance(error, GeneratorExit)


def masked_error(error: BaseException, extra_params: Mapping[str, Any]) -> ErrorRecord:
    """Keep an error without the session's secrets.

    Args:
        error: what was raised.
        extra_params: the session's params; their secret-looking values are masked wherever they stand.

    Returns:
        The record.
    """
    known = secret_values(extra_params)
    record = ErrorRecord.from_exception(error)
    return replace(record, message=mask_known(record.message, known), traceback=mask_known(record.traceback, known))


def masked_run(run: RunRecord, extra_params: Mapping[str, Any]) -> RunRecord:
    """Take the session's secrets out of what its nodes said when they failed.

    Args:
        run: the run.
        extra_params: the session's params.

    Returns:
        The same run, with masked texts and params.
    """
    known = secret_values(extra_params)
    nodes = tuple(
        replace(
            node,
            error=replace(
                node.error,
                message=mask_known(node.error.message, known),
                traceback=mask_known(node.error.traceback, known),
            ),
        )
        if node.error is not None
        else node
        for node in run.nodes
    )
    return replace(run, nodes=nodes, params=plain_value(mask_params(run.params)))


def make_record(
    facts: SessionFacts, runs: Sequence[RunRecord], git: GitFacts, *, error: BaseException | None, finished: float
) -> SessionRecord:
    """Make the record of a session, secrets masked.

    Args:
        facts: what was known from the start.
        runs: its runs, in order.
        git: the state of the sources.
        error: what left the session's `with` block, if anything did.
        finished: when it closed, seconds since the epoch.

    Returns:
        The record.
    """
    if error is not None and outcome_of(error, ()) is not None:
        told: ErrorRecord | None = masked_error(error, facts.extra_params)
    else:
        told = runs[-1].error if runs else None
    command = mask_command(facts.command) if facts.command else None
    return SessionRecord(
        session_id=facts.session_id,
        project_path=str(facts.project_path),
        package_name=facts.package_name,
        env=facts.env,
        conf_source=str(facts.conf_source),
        extra_params=plain_value(mask_params(facts.extra_params)),
        command=mask_known(command, secret_values(facts.extra_params)) if command else None,
        started=facts.started,
        finished=finished,
        outcome=outcome_of(error, runs),
        user=facts.user,
        host=facts.host,
        pid=facts.pid,
        git_commit=git.commit,
        git_dirty=git.dirty,
        environment=facts.environment,
        versions=installed_versions(),
        runs=tuple(runs),
        error=told,
    )
