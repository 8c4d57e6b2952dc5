"""Resume a session that did not succeed: find it in the store, and repeat its run with what is left to do.

State: none besides the claim on a session while it is resumed. Neighbours: `rerun.py` converts the record of a session to the
arguments of a run, `reusing.py` decides which nodes are done, `session.py` creates the session that continues;
`treadle.observe.store.resume_access` has the claims.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from treadle.errors import SessionError, StoreError, UnknownNameError
from treadle.events import Outcome
from treadle.observe.store.newest import newest_sessions
from treadle.observe.store.records import SessionState
from treadle.session.creation import check_kinds, default_env
from treadle.session.rerun import rerun_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from treadle.observe.store import SessionRecord, SessionStore
    from treadle.observe.store.resume_claim import ResumeClaim
    from treadle.project import ConfiguredProject
    from treadle.session.record import SessionFacts

_logger = logging.getLogger(__name__)

LAST = "last"
"""Stands for the newest session that failed, was interrupted or was lost, and that no later session has completed."""
_SEARCHED = 200
"""Number of sessions that are searched for it, the newest first."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """The session that a session continues.

    Attributes:
        session_id: its id.
        env: its configuration environment; None for the default.
        conf_source: its configuration source; None for that of the settings.
        extra_params: its params, overridden by the given ones.
        arguments: the arguments of its run, by name.
        claim: the newest claim of a session that resumes it, which is no longer active; None if it was never resumed.
    """

    session_id: str
    env: str | None
    conf_source: str | None
    extra_params: Mapping[str, Any]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    claim: ResumeClaim | None = None


def find_resumed(
    session_id: str, store: SessionStore | None, project: ConfiguredProject, params: Mapping[str, Any] | None = None
) -> Resumed:
    """Find the session to resume.

    Args:
        session_id: its id or a unique prefix of it, or "last".
        store: where it is recorded.
        project: the configured project.
        params: params that override the recorded ones; they supply the secrets, which are not recorded.

    Returns:
        The session, with the arguments that repeat its run.

    Raises:
        SessionError: there is no such session, it belongs to another project, it succeeded, it is running or being resumed, or
            it cannot be repeated.
        StoreError: the store cannot be read.
    """
    if store is None or getattr(store, "successes_of", None) is None:
        msg = (
            "A session can only be resumed if runs are recorded in Treadle's own store: create it without save_on_close=False, "
            "and without SESSION_STORE_CLASS in settings.py."
        )
        raise SessionError(msg)
    record, claim = find_record(session_id, store, project.package_name)
    again = rerun_of(
        record,
        default_conf_source=project.settings.CONF_SOURCE,
        default_env=default_env(project.settings),
        params=params,
    )
    return Resumed(
        session_id=record.session_id,
        env=again.env,
        conf_source=None if again.conf_source is None else str(again.conf_source),
        extra_params=again.extra_params,
        arguments=again.arguments,
        claim=claim,
    )


def find_record(session_id: str, store: SessionStore, package_name: str) -> tuple[SessionRecord, ResumeClaim | None]:
    """Find the record of the session to resume.

    Args:
        session_id: its id or a unique prefix of it, or "last".
        store: where it is recorded.
        package_name: the project's package.

    Returns:
        The record, and the newest claim of a session that has resumed it.

    Raises:
        SessionError: there is no such session, it belongs to another project, it succeeded, or it is running or being resumed.
        StoreError: the store cannot be read.
    """
    check_kinds(resume=session_id)
    record = _newest(store, package_name) if session_id == LAST else store.load(session_id)
    if record.package_name != package_name:
        msg = (
            f"Session {record.session_id} cannot be resumed here: it belongs to the project {record.package_name} at "
            f"{record.project_path}. Resume it there."
        )
        raise SessionError(msg, session_id=record.session_id)
    if record.outcome is Outcome.SUCCEEDED:
        msg = (
            f"Session {record.session_id} succeeded, so nothing is left to resume. Repeat it with "
            f"`treadle sessions rerun {record.session_id}`."
        )
        raise SessionError(msg, session_id=record.session_id)
    return record, _refuse_running(record, store)


def resumed_from(record: SessionRecord, claim: ResumeClaim | None) -> Resumed:
    """Return a session that is continued by a run with arguments of its own."""
    return Resumed(record.session_id, record.env, None, {}, claim=claim)


def find_resumed_by_service(
    session_id: str,
    store: SessionStore | None,
    project: ConfiguredProject,
    facts: SessionFacts,
    params: Mapping[str, Any],
    inputs: Mapping[str, Any] | None,
) -> Resumed:
    """Find the session that a run of a service continues.

    Args:
        session_id: as for `find_resumed`.
        store: where it is recorded.
        project: the configured project.
        facts: the service.
        params: params that override the recorded ones.
        inputs: values of free inputs. With them the caller repeats all arguments, because a record contains no values.

    Returns:
        The session.

    Raises:
        SessionError: as `find_resumed`; or it ran in another environment than the service.
        StoreError: the store cannot be read.
    """
    if inputs and store is not None:
        record, claim = find_record(session_id, store, project.package_name)
        resumed = resumed_from(record, claim)
    else:
        resumed = find_resumed(session_id, store, project, params)
    ours, theirs = (env or default_env(project.settings) for env in (facts.env, resumed.env))
    if ours != theirs:
        msg = (
            f"Session {resumed.session_id} cannot be resumed here: it ran in the environment {theirs}, and this service runs in "
            f"{ours}. Resume it with `treadle run --resume={resumed.session_id}`."
        )
        raise SessionError(msg, session_id=resumed.session_id)
    return resumed


@contextmanager
def claimed(resumed: Resumed | None, store: Any, session_id: str) -> Iterator[None]:
    """Let no other session resume the same one during the block.

    If the store cannot be written to, a warning is logged and the block runs anyway.

    Args:
        resumed: the session that is resumed; None if there is none.
        store: where it is recorded.
        session_id: the session that resumes it.

    Raises:
        SessionError: another session has begun to resume it since it was found.
    """
    if resumed is None:
        yield
        return
    try:
        claim, is_ours = store.claim_resume(resumed.session_id, session_id, resumed.claim)
        if claim.resumed_by == session_id and not is_ours:  # of an earlier run of this session, which failed
            claim, is_ours = store.claim_resume(resumed.session_id, session_id, claim)
    except StoreError as exc:
        _logger.warning(
            "Another process that resumes session %s at the same time would not be noticed: %s", resumed.session_id, exc
        )
        yield
        return
    if not is_ours:
        raise _being_resumed(claim)
    try:
        yield
    finally:
        try:
            store.end_resume(claim)
        except StoreError as exc:
            _logger.warning("Session %s can be resumed again when this process has ended: %s", resumed.session_id, exc)


def _being_resumed(claim: ResumeClaim) -> SessionError:
    where = f"session {claim.resumed_by}, in process {claim.process.pid} on {claim.process.host}"
    if claim.is_active:
        msg = (
            f"Session {claim.session_id} is being resumed by {where}, which is running. Wait until it ends; "
            f"`treadle sessions show {claim.resumed_by} --follow` shows it."
        )
    else:
        msg = (
            f"Session {claim.session_id} cannot be resumed now: it has been resumed meanwhile by {where}. `treadle sessions "
            "list` shows how that ended."
        )
    return SessionError(msg, session_id=claim.session_id)


def _refuse_running(record: SessionRecord, store: Any) -> ResumeClaim | None:
    """Raise if a session is running, or another session that resumes it is; otherwise return its newest claim."""
    if record.state is SessionState.RUNNING:
        msg = f"Session {record.session_id} is still running, in process {record.pid} on {record.host}. Wait until it ends."
        raise SessionError(msg, session_id=record.session_id)
    claim: ResumeClaim | None = store.resume_claim(record.session_id)
    if claim is not None and claim.is_active:
        raise _being_resumed(claim)
    return claim


def _newest(store: SessionStore, package_name: str) -> SessionRecord:
    completed: set[str | None] = set()  # sessions that a later one has completed
    for summary in newest_sessions(store, package_name, _SEARCHED):
        if summary.outcome is Outcome.SUCCEEDED or summary.session_id in completed:
            completed.add(summary.resumed_from)
            continue
        if summary.state is SessionState.RUNNING or not summary.runs:
            continue
        try:
            record = store.load(summary.session_id)
        except StoreError:  # it was removed in the meantime
            continue
        if record.package_name == package_name and not _names_what_does_not_exist(record):
            return record
    msg = (
        f"No session of {package_name} is left to resume: none of the newest {_SEARCHED} failed, was interrupted or was "
        "lost. `treadle sessions list` shows them."
    )
    raise SessionError(msg)


def _names_what_does_not_exist(record: SessionRecord) -> bool:
    """Return whether a session has done nothing, because its command names a node, pipeline or dataset that does not exist."""
    return not any(run.nodes for run in record.runs) and record.error is not None and record.error.type_name == _UNKNOWN_NAME


_UNKNOWN_NAME = f"{UnknownNameError.__module__}.{UnknownNameError.__qualname__}"
