"""The record of a session, made from its facts when it closes.

State: none. Neighbours: `session.py` keeps the facts, `facts.py` finds git's and the versions, `masking.py` takes the secrets
out, `treadle.observe.store` keeps the record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from treadle.config.params import merge_params
from treadle.config.writing import yaml_value
from treadle.events import Outcome
from treadle.observe.store.records import ErrorRecord, RunRecord, SessionRecord
from treadle.secrets import mask_patterns, mask_secrets
from treadle.session.facts import GitFacts, installed_versions
from treadle.session.masking import mask_command, mask_params

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


def masked_error(error: BaseException) -> ErrorRecord:
    """Make the record of an error without secrets.

    Args:
        error: what was raised.

    Returns:
        The record.
    """
    return _masked(ErrorRecord.from_exception(error))


def masked_run(run: RunRecord) -> RunRecord:
    """Mask the secrets in the record of a run: in its arguments and in the errors of its nodes.

    Args:
        run: the run.

    Returns:
        The same run, with masked texts and params.
    """
    nodes = tuple(replace(node, error=_masked(node.error)) if node.error is not None else node for node in run.nodes)
    error = _masked(run.error) if run.error is not None else None
    return replace(run, nodes=nodes, error=error, params=yaml_value(mask_params(run.params)))


def _masked(error: ErrorRecord) -> ErrorRecord:
    return replace(error, message=_mask(error.message), traceback=_mask(error.traceback))


def _mask(text: str) -> str:
    return mask_patterns(mask_secrets(text))


def make_record(
    facts: SessionFacts,
    runs: Sequence[RunRecord],
    git: GitFacts,
    *,
    error: BaseException | None,
    finished: float,
    sources: str | None = None,
) -> SessionRecord:
    """Make the record of a session, secrets masked.

    Args:
        facts: what was known from the start.
        runs: its runs, in order.
        git: the state of the sources.
        error: what left the session's `with` block, if anything did.
        finished: when it closed, seconds since the epoch.
        sources: the digest of code and configuration.

    Returns:
        The record.
    """
    if error is not None and outcome_of(error, ()) is not None:
        told: ErrorRecord | None = masked_error(error)
    else:
        told = runs[-1].error if runs else None
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
        versions=installed_versions(),
        runs=tuple(runs),
        error=told,
        sources=sources,
    )
