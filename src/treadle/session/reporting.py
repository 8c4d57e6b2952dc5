"""Make the report of a session from its record, with the history of earlier runs if the store has it.

State: none. Neighbours: `treadle.observe.report` analyses the record and writes the page; `treadle report` and `Session.report`
call this.
"""

from __future__ import annotations

import logging
from contextlib import closing
from typing import TYPE_CHECKING, Any

from treadle.collector import collection_paused
from treadle.errors import SessionError, StoreError
from treadle.observe.store.newest import newest_sessions

if TYPE_CHECKING:
    from treadle.observe.report.report import Report
    from treadle.observe.store import SessionRecord, SessionStore

_logger = logging.getLogger(__name__)


def make_report(record: SessionRecord, store: SessionStore | None = None, before: str | None = None) -> Report:
    """Make the report of a session.

    Args:
        record: the session.
        store: has the earlier runs; None if there is none.
        before: id of an earlier session to compare with.

    Returns:
        The report.

    Raises:
        StoreError: the earlier session does not exist, or cannot be read.
        SessionError: there is no store from which it could be read.
    """
    from treadle.observe.report.report import Report

    if before is not None and store is None:
        msg = "A session can only be compared with another one if sessions are recorded: run without --no-record."
        raise SessionError(msg, session_id=record.session_id)
    earlier = store.load(before) if store is not None and before is not None else None
    history: Any = getattr(store, "history", None)  # optional: a custom store may not have it
    past = ()
    if history is not None:
        try:
            past = history(record.session_id)
        except StoreError as exc:
            _logger.warning("The report does not show earlier runs, because they cannot be read: %s", exc)
    return Report(record, earlier, past)


def report_of(
    store: SessionStore, session_id: str | None = None, before: str | None = None, *, package_name: str | None = None
) -> Report:
    """Make the report of a recorded session, and close the store.

    Args:
        store: the store of the session.
        session_id: id of the session, or a unique prefix; the newest session by default.
        before: id of an earlier session to compare with.
        package_name: the package whose newest session it is, as a store may have those of many projects; None for any.

    Returns:
        The report.

    Raises:
        SessionError: no session is recorded yet.
        StoreError: a session does not exist, or cannot be read.
    """
    with closing(store):
        if session_id is None:
            newest = newest_sessions(store, package_name, 1)
            if not newest:
                msg = "No session is recorded yet, so there is nothing to report: `treadle run` records one."
                raise SessionError(msg)
            session_id = newest[0].session_id
        with collection_paused():
            record = store.load(session_id)
        return make_report(record, store, before)
