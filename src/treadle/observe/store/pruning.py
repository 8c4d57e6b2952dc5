"""The methods of the SQL store that remove old sessions.

The last success of each node stays, whichever session it was in, so removing sessions makes no node run again.

State: none besides the store's. Neighbour: `store.py`, whose class inherits from this one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from treadle.observe.store.database_access import DatabaseAccess

if TYPE_CHECKING:
    from collections.abc import Sequence

    from treadle.observe.store.connection import StoreConnection

_AT_ONCE = 500
"""Number of values in one statement; databases limit it."""
_TABLES = ("treadle_logs", "treadle_workers", "treadle_nodes", "treadle_runs", "treadle_resumes", "treadle_sessions")
"""The tables with the rows of a session."""
_SHARED: Final = {
    "treadle_graphs": (("treadle_runs", "graph"),),
    "treadle_fingerprints": (("treadle_nodes", "fingerprint"), ("treadle_successes", "fingerprint")),
}
"""The tables with rows that several sessions share, by digest, and the columns that refer to them."""


class PruneAccess(DatabaseAccess):
    """The removal of old sessions from a database."""

    def prune(
        self,
        *,
        keep: int | None = None,
        started_before: float | None = None,
        package_name: str | None = None,
        dry_run: bool = False,
    ) -> tuple[str, ...]:
        """Remove old sessions, and what only they refer to; running sessions stay.

        Args:
            keep: the number of newest sessions that stay.
            started_before: only sessions that began before this time are removed, in seconds since the epoch.
            package_name: only sessions of this package; None for those of all that use the database.
            dry_run: remove nothing.

        Returns:
            The ids of the removed sessions, the newest first. If both conditions are given, a session must meet both.

        Raises:
            StoreError: the database cannot be read or written.
            ValueError: neither condition is given.
        """
        if keep is None and started_before is None:
            msg = "prune needs a condition: pass keep, started_before or both."
            raise ValueError(msg)
        if self._is_missing():
            return ()
        with self._connected("read") as connection:
            removed = _old_sessions(connection, keep or 0, started_before, package_name)
        if removed and not dry_run:
            self._write_rows(lambda connection: _remove(connection, removed))
            with self._connected("written") as connection:
                connection.shrink()
        return tuple(removed)


def _old_sessions(connection: StoreConnection, keep: int, started_before: float | None, package_name: str | None) -> list[str]:
    from treadle.observe.store.records import SessionState
    from treadle.observe.store.rows import state_of

    columns = "session_id, started, finished, host, pid, process_started, boot_id, heartbeat"
    of_package = "WHERE package_name = :package_name " if package_name is not None else ""
    query = f"SELECT {columns} FROM treadle_sessions {of_package}ORDER BY session_id DESC"
    rows = connection.select_rows(query, {"package_name": package_name})
    return [
        row["session_id"]
        for row in rows[keep:]
        if (started_before is None or row["started"] < started_before) and state_of(row) is not SessionState.RUNNING
    ]


def _remove(connection: StoreConnection, session_ids: Sequence[str]) -> None:
    from treadle.observe.store.statements import listed

    for start in range(0, len(session_ids), _AT_ONCE):
        names, values = listed("id", session_ids[start : start + _AT_ONCE])
        for table in _TABLES:
            connection.execute(f"DELETE FROM {table} WHERE session_id IN ({names})", [values])
    for table, users in _SHARED.items():
        unused = [f"digest NOT IN (SELECT {column} FROM {user} WHERE {column} IS NOT NULL)" for user, column in users]
        connection.execute(f"DELETE FROM {table} WHERE {' AND '.join(unused)}")
