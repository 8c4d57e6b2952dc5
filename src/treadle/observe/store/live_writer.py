"""The connection over which the record of a running session is written.

It stays open between writes, and is opened again after an error. State: the connection, and whether writing has ended.
Neighbours: `live.py` uses a writer in its thread, `session_rows.py` writes the rows.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from treadle.errors import StoreError
from treadle.observe.store.database_errors import database_errors, retry_while_locked, store_errors
from treadle.observe.store.session_rows import RowsGoneError

if TYPE_CHECKING:
    from collections.abc import Callable

    from treadle.observe.store.connection import StoreConnection
    from treadle.observe.store.parts import RecordParts
    from treadle.observe.store.session_rows import SessionRows

BUSY_TIMEOUT = 1.0
"""Seconds to wait for other writers: short, because a writer can try again, and a fork waits for it."""


class LiveWriter:
    """Write parts of the record of one session.

    Args:
        rows: the rows of the session that are in the database.
        connect: opens a connection to the migrated database; raises a StoreError if that fails.
        disconnect: called after an error, to open and migrate the database as a new one next time: it may have been replaced.
    """

    def __init__(self, rows: SessionRows, connect: Callable[[], StoreConnection], disconnect: Callable[[], None]) -> None:
        self._rows = rows
        self._connect = connect
        self._disconnect = disconnect
        self._connection: StoreConnection | None = None
        self._is_abandoned = False

    @property
    def needs_whole(self) -> bool:
        """Whether the next write must be of the whole record as it is: it is not known which rows are in the database."""
        return not self._rows.is_known

    def write(self, parts: RecordParts, *, is_whole: bool) -> None:
        """Write parts of the record, in one transaction.

        Args:
            parts: the parts; rows that are in the database already are not written again.
            is_whole: these are all parts of the record as it is now.

        Raises:
            StoreError: they could not be written.
        """
        try:
            if self._connection is None:
                self._connection = self._connect()
            connection = self._connection
            with store_errors("written", connection.database):
                retry_while_locked(BUSY_TIMEOUT, lambda: self._write(connection, parts, is_whole=is_whole))
        except RowsGoneError:
            self._reset()
            msg = "Rows of this session that were written before are no longer in the session store, or the store was replaced."
            raise StoreError(msg) from None
        except BaseException:
            self._reset()
            raise

    def _write(self, connection: StoreConnection, parts: RecordParts, *, is_whole: bool) -> None:
        self._rows.write(connection, parts, is_whole=is_whole, before_commit=self._check)

    def _check(self) -> None:
        if self._is_abandoned:
            msg = "The record of this session is saved by another thread."
            raise StoreError(msg)

    def abandon(self) -> None:
        """Write nothing more: the caller saves the whole record, which a write that is still waiting must not replace."""
        self._is_abandoned = True
        self.forget()

    def forget(self) -> None:
        """Assume nothing about the rows in the database, because another thread or process may be writing them."""
        self._rows.forget()

    def close(self) -> None:
        """Close the connection; the next write opens it again. The rows that are in the database stay known."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(*database_errors()):  # it is broken already
                connection.close()

    def _reset(self) -> None:
        self.close()
        self._disconnect()
