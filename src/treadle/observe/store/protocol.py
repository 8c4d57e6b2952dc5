"""The protocol of session stores. State: none. Neighbour: `store.py` has the default implementation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from treadle.observe.store.records import SessionRecord, SessionSummary


class SessionStore(Protocol):
    """The protocol of session stores; a project sets its store as SESSION_STORE_CLASS.

    A store is created by `cls(project_path=..., **settings.SESSION_STORE_ARGS)` for each session, before the run, so creating
    one should be cheap.

    A store with these methods gets each record as a whole when its session closes. `SQLStore.live_writer` and
    `check_writable` are optional: if a store has them, records are written during a run, and a
    problem is logged before it.
    """

    def save(self, record: SessionRecord) -> None:
        """Keep a session; one that is already there by the same id is replaced."""

    def load(self, session_id: str) -> SessionRecord:
        """Return a session by its id."""

    def list(self, limit: int = 20) -> Sequence[SessionSummary]:
        """Return the newest sessions, newest first."""

    def close(self) -> None:
        """Release the store's resources; closing twice has no effect."""
