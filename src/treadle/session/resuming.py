"""Resume a session that did not succeed: find it in the store, and repeat its run with what is left to do.

State: none. Neighbours: `rerun.py` converts the record of a session to the arguments of a run, `reusing.py` decides which nodes
are done, `session.py` creates the session that continues.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from treadle.errors import SessionError, StoreError
from treadle.events import Outcome
from treadle.observe.store.records import SessionState
from treadle.session.rerun import rerun_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from treadle.observe.store import SessionRecord, SessionStore
    from treadle.project import ConfiguredProject

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
    """

    session_id: str
    env: str | None
    conf_source: str | None
    extra_params: Mapping[str, Any]
    arguments: Mapping[str, Any] = field(default_factory=dict)


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
    record = _newest(store, project) if session_id == LAST else store.load(session_id)
    if record.package_name != project.package_name:
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
    _refuse_running(record, store)
    again = rerun_of(record, default_conf_source=project.settings.CONF_SOURCE, params=params)
    return Resumed(
        session_id=record.session_id,
        env=again.env,
        conf_source=None if again.conf_source is None else str(again.conf_source),
        extra_params=again.extra_params,
        arguments=again.arguments,
    )


def _refuse_running(record: SessionRecord, store: SessionStore) -> None:
    """Raise if a session is running, or another session that resumes it is."""
    if record.state is SessionState.RUNNING:
        msg = f"Session {record.session_id} is still running, in process {record.pid} on {record.host}. Wait for its end."
        raise SessionError(msg, session_id=record.session_id)
    for summary in store.list(_SEARCHED):
        if summary.resumed_from == record.session_id and summary.state is SessionState.RUNNING:
            msg = (
                f"Session {record.session_id} is being resumed by session {summary.session_id}, which is running. Wait for its "
                "end; `treadle sessions show --follow` shows it."
            )
            raise SessionError(msg, session_id=record.session_id)


def _newest(store: SessionStore, project: ConfiguredProject) -> SessionRecord:
    completed: set[str | None] = set()  # sessions that a later one has completed
    for summary in store.list(_SEARCHED):
        if summary.outcome is Outcome.SUCCEEDED or summary.session_id in completed:
            completed.add(summary.resumed_from)
            continue
        if summary.state is SessionState.RUNNING or not summary.runs:
            continue
        try:
            record = store.load(summary.session_id)
        except StoreError:  # it was removed in the meantime
            continue
        if record.package_name == project.package_name:
            return record
    msg = (
        f"No session of {project.package_name} is left to resume: none of the newest {_SEARCHED} failed, was interrupted or was "
        "lost. `treadle sessions list` shows them."
    )
    raise SessionError(msg)
