"""The newest sessions of a project, in a store that others may use, too. State: none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from treadle.observe.store import SessionStore, SessionSummary


def newest_sessions(store: SessionStore, package_name: str | None, limit: int) -> Sequence[SessionSummary]:
    """Return the newest sessions of a project.

    Args:
        store: the store. One that is not Treadle's own may not tell projects apart; then the newest of all are returned.
        package_name: the project's package; None for the sessions of all projects.
        limit: maximum number of sessions.

    Returns:
        Their summaries, newest first.

    Raises:
        StoreError: the store cannot be read.
    """
    sessions_of: Any = getattr(store, "sessions_of", None)
    if package_name is None or sessions_of is None:
        return store.list(limit)
    found: Sequence[SessionSummary] = sessions_of(package_name, limit)
    return found
