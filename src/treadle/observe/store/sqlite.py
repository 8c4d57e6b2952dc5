"""SQLite files, by the standard library: how they are created, and the settings for concurrent processes.

Files are private (folder 0700, file 0600) and use a write-ahead log, so that readers do not block on a writer. `synchronous` is
NORMAL: a power failure may lose the last records but cannot corrupt the file, and saving does not wait for the disk.

A connection is closed after use: most processes use their store only a few times, and a closed connection cannot be inherited by
a forked worker. A service keeps its connections (`idle_connections.py`).

State: none besides the connections. Neighbours: `connection.py` has the interface; `engine.py` uses the same settings.
"""

from __future__ import annotations

import errno
import json
import os
import re
import sqlite3
from contextlib import contextmanager, suppress
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from treadle.observe.store.connection import Database, StoreConnection
from treadle.observe.store.file import is_missing, make_private_folder
from treadle.observe.store.idle_connections import IdleConnections
from treadle.observe.store.plain import plain_text
from treadle.observe.store.statements import insert_by_position

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from treadle.observe.store.rows import Row, Rows

_PRIVATE_FILE = 0o600


class SqliteFile(Database):
    """A SQLite file.

    Args:
        file: its absolute path.
    """

    def __init__(self, file: Path) -> None:
        self.file: Path = file
        self._idle: IdleConnections | None = None
        self.shown = f"sqlite:///{plain_text(str(file))}"  # a path may contain undecodable bytes

    def connect(self, busy_timeout: float, *, only_reads: bool = False) -> StoreConnection:
        """Open a connection."""
        if only_reads and self.file.exists() and not self._is_writable:
            from urllib.parse import quote

            address = f"file:{quote(str(self.file))}"
            try:  # sees concurrent writes, but needs auxiliary files that may be missing in a read-only folder
                return _connected(self, f"{address}?mode=ro", busy_timeout, is_address=True)
            except sqlite3.Error:
                return _connected(self, f"{address}?immutable=1", busy_timeout, is_address=True)
        idle = self._idle
        if idle is None:
            is_new = make_private_file(self.file)
            return _connected(self, str(self.file), busy_timeout, has_new_file=is_new)
        kept = idle.take()
        if kept is not None:
            connection, of_file = kept
            connection.execute(f"PRAGMA busy_timeout = {round(1000 * busy_timeout)}")
            return SqliteConnection(self, connection, partial(idle.put, of_file))
        is_new = make_private_file(self.file)
        release = partial(idle.put, idle.identity())
        return _connected(self, str(self.file), busy_timeout, release=release, has_new_file=is_new)

    def keep_open(self) -> bool:
        """Keep connections open between uses from now on."""
        if self._idle is None:
            self._idle = IdleConnections(self.file)
        return True

    def close(self) -> None:
        """Close the connections that are kept."""
        if self._idle is not None:
            self._idle.close()

    @property
    def is_missing(self) -> bool:
        """Whether the file does not exist."""
        return is_missing(self.file)

    def check_writable(self) -> None:
        """Raise PermissionError if the file may not be written to."""
        if self.file.exists() and not self._is_writable:
            raise PermissionError(errno.EACCES, "it is read-only", str(self.file))

    @property
    def _is_writable(self) -> bool:
        return os.access(self.file, os.W_OK) and os.access(self.file.parent, os.W_OK)


_AS_JSON = frozenset({list, dict})
"""The types of values that are stored as JSON."""

_PARAMETER = re.compile(r":(\w+)")
"""A named parameter of a statement."""


class SqliteConnection(StoreConnection):
    """A connection to a SQLite file."""

    dialect = "sqlite"

    def __init__(
        self,
        database: Database,
        connection: sqlite3.Connection,
        release: Callable[[sqlite3.Connection], None] = sqlite3.Connection.close,
    ) -> None:
        self.database = database
        self._connection = connection
        self._release: Callable[[sqlite3.Connection], None] | None = release

    def execute(self, statement: str, rows: Sequence[Row] = ({},)) -> int:
        """Execute a statement once for each row of values."""
        if len(rows) == 1:
            return self._connection.execute(statement, _stored(rows[0])).rowcount
        # By position, which takes half as long as by name.
        values = itemgetter(*_PARAMETER.findall(statement))
        by_position = _PARAMETER.sub("?", statement)
        stored = ([each if type(each) not in _AS_JSON else _json(each) for each in values(row)] for row in rows)
        return self._connection.executemany(by_position, stored).rowcount

    def insert(self, table: str, rows: Rows) -> None:
        """Insert rows."""
        self._connection.executemany(insert_by_position(table, rows.columns, "?"), rows.values)

    def select(self, statement: str, values: Mapping[str, Any] | None = None) -> Sequence[Sequence[Any]]:
        """Return the rows of a query, as sequences."""
        found: list[tuple[Any, ...]] = self._connection.execute(statement, values or {}).fetchall()
        return found

    def select_batches(self, statement: str, values: Mapping[str, Any], size: int) -> Iterator[Sequence[Sequence[Any]]]:
        """Yield the rows of a query that may have very many, as sequences, `size` of them at a time."""
        cursor = self._connection.execute(statement, values)
        while batch := cursor.fetchmany(size):
            yield batch

    def select_rows(self, statement: str, values: Mapping[str, Any] | None = None) -> list[Row]:
        """Return the rows of a query, by the names of their columns."""
        cursor = self._connection.execute(statement, values or {})
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor]

    @contextmanager
    def transaction(self, *, writes: bool) -> Iterator[None]:
        """Open a transaction, and commit it at the end, or roll it back after an error."""
        self._connection.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
        try:
            yield
            self._connection.commit()
        except BaseException:
            self._connection.rollback()
            raise

    def has_table(self, name: str) -> bool:
        """Return whether a table exists."""
        found = self.select("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = :name", {"name": name})
        return bool(found)

    def shrink(self) -> None:
        """Return the space of removed rows to the file system, unless another process is using the file."""
        with suppress(sqlite3.OperationalError):  # it is locked: the next time
            self._connection.execute("VACUUM")

    def close(self) -> None:
        """Close the connection, or keep it for the next use."""
        release, self._release = self._release, None
        if release is not None:
            release(self._connection)


def use_settings(connection: sqlite3.Connection) -> None:
    """Make the settings of a new connection.

    Args:
        connection: to a SQLite database.

    Raises:
        sqlite3.Error: the database cannot be used now.
    """
    connection.isolation_level = None  # the driver must not begin transactions by itself
    _use_write_ahead_log(connection)
    connection.execute("PRAGMA synchronous = NORMAL")


def make_private_file(file: Path) -> bool:
    """Create an empty database, which only this user can read, and its folder, if they are missing.

    Args:
        file: its path.

    Returns:
        Whether it was missing.

    Raises:
        OSError: the folder or file cannot be created.
    """
    make_private_folder(file.parent)
    try:
        # Create the file, but never open an existing one: closing it would release SQLite's locks in this process.
        os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_RDWR, _PRIVATE_FILE))
    except FileExistsError:
        return False
    return True


def _connected(
    database: Database,
    path: str,
    busy_timeout: float,
    *,
    is_address: bool = False,
    has_new_file: bool = False,
    release: Callable[[sqlite3.Connection], None] = sqlite3.Connection.close,
) -> SqliteConnection:
    connection = sqlite3.connect(
        path, timeout=busy_timeout, uri=is_address, check_same_thread=release is sqlite3.Connection.close
    )
    try:
        use_settings(connection)
    except BaseException:
        connection.close()
        raise
    made = SqliteConnection(database, connection, release)
    made.has_new_file = has_new_file
    return made


def _use_write_ahead_log(connection: sqlite3.Connection) -> None:
    """Switch the file to a write-ahead log; it stays switched.

    The switch needs exclusive access and does not wait for it. If another process uses the file, wait for the write lock, which
    respects the busy timeout; the caller then retries the connection.
    """
    if connection.execute("PRAGMA journal_mode").fetchone()[0] in ("wal", "memory"):
        return
    try:
        # File systems without support keep the old journal, which is slower but equally safe.
        connection.execute("PRAGMA journal_mode = WAL")
    except sqlite3.OperationalError as exc:
        if "readonly" in str(exc):
            return  # read-only access needs no journal
        if "locked" in str(exc):
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("COMMIT")
        raise


def _stored(row: Row) -> Row:
    return {name: value if type(value) not in _AS_JSON else _json(value) for name, value in row.items()}


def _json(value: Any) -> str:
    return json.dumps(value) if value else str(value)  # an empty list or dictionary, which most are, is written alike
