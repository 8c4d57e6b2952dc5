"""SQLite connections that a process keeps between uses, because it uses its store many times: a service, a server.

Opening a connection and closing the last one takes longer than saving a session: SQLite reads the schema again, and writes its
log back. A connection is used by one thread at a time, and by any thread. Kept connections are closed before a fork, so that no
child inherits one, and are not used again once the file has been replaced.

State: the connections that are not in use. Neighbour: `sqlite.py`.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, TypeAlias

from treadle.forks import close_before_fork

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

_MOST = 4
"""Number of connections that are kept at most; more are only needed while more threads use the store at once."""

FileIdentity: TypeAlias = "tuple[int, int] | None"
"""The device and inode of a file; None if it does not exist."""


class IdleConnections:
    """Connections to one file that are not in use.

    Args:
        file: its path.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._idle: list[tuple[sqlite3.Connection, FileIdentity]] = []
        weakref.finalize(self, _close_all, self._idle)
        close_before_fork(self)

    def take(self) -> tuple[sqlite3.Connection, FileIdentity] | None:
        """Return a connection for one thread, and the identity of its file; None if another one must be opened."""
        current = self.identity()
        while self._idle:
            try:
                connection, of_file = self._idle.pop()
            except IndexError:  # another thread was faster
                return None
            if of_file == current:
                return connection, of_file
            connection.close()  # its file was moved or removed
        return None

    def put(self, of_file: FileIdentity, connection: sqlite3.Connection) -> None:
        """Keep a connection that is no longer in use.

        Args:
            of_file: what `identity` returned before it was opened.
            connection: the connection; one in a transaction is closed instead.
        """
        if of_file is None or connection.in_transaction or len(self._idle) >= _MOST:
            connection.close()
        else:
            self._idle.append((connection, of_file))

    def close(self) -> None:
        """Close all of them."""
        _close_all(self._idle)

    def identity(self) -> FileIdentity:
        """Return what identifies the file, however often it is replaced by another one of the same name."""
        try:
            found = self._file.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino


def _close_all(idle: list[tuple[sqlite3.Connection, FileIdentity]]) -> None:
    while idle:
        idle.pop()[0].close()
