"""The methods of the SQL store that read and write the last success of each node.

State: none besides the store's. Neighbours: `store.py`, whose class inherits from this one; `successes.py` has the queries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.observe.store.database_access import DatabaseAccess

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from treadle.planning.reuse.facts import LastSuccess


class SuccessAccess(DatabaseAccess):
    """The last success of each node, in a database."""

    def last_successes(self, package: str, env: str | None) -> dict[str, LastSuccess]:
        """Return the last success of each node of a project in one environment.

        Args:
            package: the project's package.
            env: the configuration environment; None for the default.

        Returns:
            The successes, by node name; empty if none is recorded.

        Raises:
            StoreError: the database cannot be read.
        """
        if self._is_missing():
            return {}
        from treadle.observe.store.successes import read_successes

        with self._connected("read") as connection:
            return read_successes(connection, package, env)

    def successes_of(self, session_id: str, env: str | None) -> dict[str, LastSuccess]:
        """Return the successful nodes of a session, and of the sessions that it was resumed from.

        Args:
            session_id: the session.
            env: its configuration environment; None for the default.

        Returns:
            The successes, by node name.

        Raises:
            StoreError: the session does not exist, or the database cannot be read.
        """
        from treadle.observe.store.lookup import whole_id
        from treadle.observe.store.successes import chain_of, read_successes_of

        with self._connected("read") as connection:
            return read_successes_of(connection, chain_of(connection, whole_id(connection, session_id)), env)

    def save_successes(self, package: str, env: str | None, successes: Mapping[str, LastSuccess]) -> None:
        """Replace the last success of nodes.

        Args:
            package: the project's package.
            env: the configuration environment; None for the default.
            successes: by node name.

        Raises:
            StoreError: the database cannot be written.
        """
        from treadle.observe.store.successes import write_successes

        self._write_rows(lambda connection: write_successes(connection, package, env, successes))

    def refresh_successes(self, package: str, env: str | None, successes: Mapping[str, LastSuccess]) -> None:
        """Replace the content records of successes that are still the last ones, with the same contents read later.

        Args:
            package: the project's package.
            env: the configuration environment; None for the default.
            successes: by node name.

        Raises:
            StoreError: the database cannot be written.
        """
        from treadle.observe.store.successes import refresh_successes

        self._write_rows(lambda connection: refresh_successes(connection, package, env, successes))

    def invalidate_successes(self, package: str, env: str | None, nodes: Iterable[str]) -> int:
        """Mark the last success of nodes as invalidated, so that they are not up to date.

        Args:
            package: the project's package.
            env: the configuration environment; None for the default.
            nodes: their names.

        Returns:
            How many of them had one.

        Raises:
            StoreError: the database cannot be written.
        """
        from treadle.observe.store.successes import invalidate_successes

        names = list(nodes)
        if self._is_missing():
            return 0
        return self._write_rows(lambda connection: invalidate_successes(connection, package, env, names))
