"""The store of a service: it stays open between the sessions that the service records.

State: the store, and the thread that keeps a connection open. Neighbours: `service.py` owns it; each session saves to it.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from treadle.forks import ForkSafeThread, fork_safe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from treadle.observe.store import SessionRecord, SessionStore, SessionSummary

_CLOSE_SECONDS = 5.0


class SharedStore:
    """A store that stays open between sessions and serialises their access to it.

    Args:
        store: the store of the project's settings.
    """

    def __init__(self, store: SessionStore) -> None:
        self._store = store
        self._lock = fork_safe(threading.Lock())
        hold_open = getattr(store, "hold_open", None)  # optional: a custom store may not have it
        self._holder = ForkSafeThread(hold_open, "treadle-store", lambda: None) if hold_open is not None else None
        self._is_held = False
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

    def hold_open(self) -> None:
        """Keep a connection to the database open from now on, so that saving a session takes less time."""
        with self._lock:
            if self._holder is not None and not self._is_held:
                self._is_held = True
                self._holder.start()

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
        if self._holder is not None and self._is_held:
            self._holder.stop(_CLOSE_SECONDS)
        with self._lock:
            self._store.close()
