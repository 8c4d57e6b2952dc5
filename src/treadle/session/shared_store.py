"""The store of a service: it stays open between the sessions that the service records.

State: the store. Neighbours: `service.py` owns it; each session saves to it.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from treadle.forks import fork_safe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from treadle.observe.store import SessionRecord, SessionStore, SessionSummary


class SharedStore:
    """A store that stays open between sessions and serialises their access to it.

    Args:
        store: the store of the project's settings.
    """

    def __init__(self, store: SessionStore) -> None:
        self._store = store
        self._lock = fork_safe(threading.Lock())
        self._is_kept = False
        self._is_writable = False

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
        """Keep a session."""
        with self._lock:
            self._store.save(record)

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
        """Close the store, when the service closes."""
        with self._lock:
            self._store.close()
