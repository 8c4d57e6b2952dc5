"""The store of a service: it stays open between the sessions that the service records.

State: the store, and records that could not be saved. Neighbours: `service.py` owns it; each session saves to it.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from treadle.errors import StoreError
from treadle.forks import fork_safe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from treadle.observe.store import SessionRecord, SessionStore, SessionSummary

_logger = logging.getLogger(__name__)

MOST_UNSAVED = 100
"""Number of records that are kept until they can be saved; of more, the oldest are lost, which is logged."""


class SharedStore:
    """A store that stays open between sessions and serialises their access to it.

    A session that has ended is shown as running, or as lost, if its last record is not saved, and the service may go on for
    months. So a record that could not be saved is kept, and saved before the next run or when the service closes.

    Args:
        store: the store of the project's settings.
    """

    def __init__(self, store: SessionStore) -> None:
        self._store = store
        self._lock = fork_safe(threading.Lock())
        self._is_kept = False
        self._is_writable = False
        self._unsaved: OrderedDict[str, SessionRecord] = OrderedDict()

    def check_writable(self) -> None:
        """Check before the first run that records can be saved; later problems are logged, and do not fail a run.

        Raises:
            StoreError: the database cannot be opened or written to.
        """
        check = getattr(self._store, "check_writable", None)  # optional, too
        if check is not None and not self._is_writable:
            check()
        self._is_writable = True

    def keep_open(self) -> None:
        """Keep connections to the database open from now on, so that saving a session takes less time."""
        with self._lock:
            keep = getattr(self._store, "keep_open", None)  # optional, too
            if keep is not None and not self._is_kept:
                keep()
            self._is_kept = True

    def save(self, record: SessionRecord) -> None:
        """Keep a session.

        Raises:
            StoreError: it could not be saved; `save_unsaved` tries again.
        """
        with self._lock:
            self._unsaved.pop(record.session_id, None)
            self._save(record)

    @property
    def unsaved(self) -> frozenset[str]:
        """The ids of the sessions whose records could not be saved yet."""
        return frozenset(self._unsaved)

    def save_unsaved(self) -> None:
        """Save the records that could not be saved when their sessions ended.

        Raises:
            StoreError: that is still not possible.
        """
        with self._lock:
            while self._unsaved:
                _session_id, record = self._unsaved.popitem(last=False)
                self._save(record)

    def _save(self, record: SessionRecord) -> None:
        """Save a record, and keep it if that is not possible; the caller holds the lock."""
        try:
            self._store.save(record)
        except StoreError:
            self._unsaved[record.session_id] = record
            if len(self._unsaved) > MOST_UNSAVED:
                lost, _ = self._unsaved.popitem(last=False)
                _logger.warning(
                    "The end of session %s is lost: more than %d records wait until the session store can be written.",
                    lost,
                    MOST_UNSAVED,
                )
            raise

    def load(self, session_id: str) -> SessionRecord:
        """Return a session."""
        with self._lock:
            return self._store.load(session_id)

    def list(self, limit: int = 20) -> Sequence[SessionSummary]:
        """Return the newest sessions."""
        with self._lock:
            return self._store.list(limit)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)  # methods beyond the SessionStore protocol

    def close(self) -> None:
        """Do nothing: the store stays open for the next session."""

    def close_all(self) -> None:
        """Save what could not be saved before, as far as possible, and close the store, when the service closes."""
        with suppress(StoreError):  # each of these sessions has logged that its record is not saved
            self.save_unsaved()
        with self._lock:
            self._store.close()
