"""What the parts of the SQL store share: connections to its database, and transactions that write.

State: none besides the store's. Neighbours: `store.py` opens the database; `success_access.py` and `resume_access.py` use it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from treadle.observe.store.connection import StoreConnection

_T = TypeVar("_T")


class DatabaseAccess(ABC):
    """Access to the migrated database of a store."""

    _busy_timeout: float

    @abstractmethod
    def _connected(self, doing: str) -> AbstractContextManager[StoreConnection]:
        """Open a connection to the migrated database for the length of the block."""

    @abstractmethod
    def _import_database(self) -> None:
        """Import what the store uses, with signals deferred."""

    @abstractmethod
    def _is_missing(self) -> bool:
        """Return whether the store is a SQLite file that does not exist yet."""

    def _write_rows(self, write: Callable[[StoreConnection], _T]) -> _T:
        """Call a function in a transaction that may write, and repeat it while another process has the database locked."""
        from treadle.observe.store.database_errors import retry_while_locked

        def call() -> _T:
            with connection.transaction(writes=True):
                return write(connection)

        with self._connected("written") as connection:
            return retry_while_locked(self._busy_timeout, call)
