"""Databases that are reached through SQLAlchemy: servers, SQLite in memory, and SQLite with options in its URL.

Connections are not pooled, as a closed connection cannot be inherited by a forked worker. Importing this module imports
SQLAlchemy, which is not needed for the default store. State: the engine of each database.

Neighbours: `connection.py` has the interface, `sqlite.py` the settings of SQLite.
"""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from sqlalchemy import JSON, Connection, Engine, bindparam, create_engine, event, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import NullPool, StaticPool

from treadle.errors import StoreError
from treadle.observe.store.connection import Database, StoreConnection
from treadle.observe.store.file import is_missing
from treadle.observe.store.plain import plain_text
from treadle.observe.store.sqlite import make_private_file, use_settings
from treadle.observe.store.statements import Table, insert, insert_by_position

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy import TextClause

    from treadle.observe.store.rows import Row, Rows

CONNECT_SECONDS = 10
"""How long a PostgreSQL server has to accept a connection, if the URL has no `connect_timeout`."""
_LIBPQ_DRIVERS = frozenset({"psycopg", "psycopg2"})
"""The drivers that have the option `connect_timeout`; pg8000 raises a TypeError for it."""
_MARKS = {"qmark": "?", "format": "%s", "pyformat": "%s"}
"""What stands for a value without a name, by the style of the driver."""
_WRITING = "treadle_writing"
_SECRET_QUERY = ("password", "passwd", "pwd", "secret", "token", "key")


class EngineDatabase(Database):
    """A database at an SQLAlchemy URL.

    Args:
        url: the URL.
        project_path: the project, of which the path of a SQLite URL is relative.

    Raises:
        StoreError: the URL is invalid. The message does not show it, as it may contain a password.
    """

    def __init__(self, url: str, project_path: Path) -> None:
        self._url = _parsed(url, project_path)
        self.shown = _shown(self._url)
        self.password = self._url.password
        self.is_sqlite = self._url.get_backend_name() == "sqlite"
        self.is_in_memory = self.is_sqlite and (self._url.database or ":memory:") == ":memory:"
        self.file = _sqlite_file(self._url) if self.is_sqlite else None
        self._engine: Engine | None = None

    def connect(self, busy_timeout: float, *, only_reads: bool = False) -> StoreConnection:
        """Open a connection."""
        if only_reads and self._is_read_only:
            live, frozen = _read_only_urls(self._url)
            try:
                return EngineConnection(self, self._made_engine(live, busy_timeout).connect())
            except SQLAlchemyError:
                return EngineConnection(self, self._made_engine(frozen, busy_timeout).connect())
        if self._engine is None:
            self._engine = self._made_engine(self._url, busy_timeout)
        return EngineConnection(self, self._engine.connect())

    def close(self) -> None:
        """Release the engine."""
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.dispose()

    @property
    def is_missing(self) -> bool:
        """Whether the file does not exist."""
        file = _sqlite_file(self._url)
        return file is not None and is_missing(file)

    def check_writable(self) -> None:
        """Raise PermissionError if the file may not be written to."""
        if self._is_read_only:
            raise PermissionError(errno.EACCES, "it is read-only", self._url.database)

    @property
    def _is_read_only(self) -> bool:
        file = _sqlite_file(self._url)
        return file is not None and file.exists() and not (os.access(file, os.W_OK) and os.access(file.parent, os.W_OK))

    def _made_engine(self, url: URL, busy_timeout: float) -> Engine:
        if not self.is_sqlite:
            has_limit = url.get_driver_name() in _LIBPQ_DRIVERS and "connect_timeout" not in url.query
            limit = {"connect_timeout": CONNECT_SECONDS} if has_limit else {}  # otherwise minutes, if packets are dropped
            return create_engine(url, poolclass=NullPool, connect_args=limit, hide_parameters=True)
        file = _sqlite_file(url)
        if file is not None:
            make_private_file(file)
        engine = create_engine(
            url,
            poolclass=StaticPool if self.is_in_memory else NullPool,
            connect_args={"timeout": busy_timeout, **({"check_same_thread": False} if self.is_in_memory else {})},
            hide_parameters=True,
        )
        event.listen(engine, "connect", lambda connection, _record: use_settings(connection))
        event.listen(engine, "begin", _begin)
        return engine


class EngineConnection(StoreConnection):
    """A connection of an SQLAlchemy engine."""

    def __init__(self, database: Database, connection: Connection) -> None:
        self.database = database
        self.dialect = connection.dialect.name
        self.text_type = "CHAR" if self.dialect in ("mysql", "mariadb") else "TEXT"
        self._connection = connection

    def execute(self, statement: str, rows: Sequence[Row] = ({},)) -> int:
        """Execute a statement once for each row of values."""
        return self._connection.execute(_with_documents(statement, rows), rows).rowcount

    def insert(self, table: str, rows: Rows) -> None:
        """Insert rows."""
        if self._connection.dialect.driver == "psycopg":  # its copy takes a third of the time of its executemany
            driver: Any = self._connection.connection.driver_connection
            with driver.cursor() as cursor, cursor.copy(f"COPY {table} ({', '.join(rows.columns)}) FROM STDIN") as copy:
                for row in rows.values:
                    copy.write_row(row)
            return
        mark = _MARKS.get(self._connection.dialect.paramstyle)
        if mark is None:
            names = [dict(zip(rows.columns, row, strict=True)) for row in rows.values]
            self.execute(insert(Table(table, ()), rows.columns), names)
        else:
            statement = insert_by_position(table, rows.columns, mark)
            self._connection.exec_driver_sql(statement, [tuple(row) for row in rows.values])

    def select(self, statement: str, values: Mapping[str, Any] | None = None) -> Sequence[Sequence[Any]]:
        """Return the rows of a query, as sequences."""
        return self._connection.execute(text(statement), dict(values or {})).all()

    def select_batches(self, statement: str, values: Mapping[str, Any], size: int) -> Iterator[Sequence[Sequence[Any]]]:
        """Yield the rows of a query that may have very many, as sequences, `size` of them at a time."""
        yield from self._connection.execute(text(statement), dict(values)).partitions(size)

    def select_rows(self, statement: str, values: Mapping[str, Any] | None = None) -> list[Row]:
        """Return the rows of a query, by the names of their columns."""
        found = self._connection.execute(text(statement), dict(values or {})).mappings()
        return [{str(name): value for name, value in row.items()} for row in found]

    @contextmanager
    def transaction(self, *, writes: bool) -> Iterator[None]:
        """Open a transaction, and commit it at the end, or roll it back after an error."""
        self._connection.execution_options(**{_WRITING: writes})
        with self._connection.begin():
            yield

    def has_table(self, name: str) -> bool:
        """Return whether a table exists."""
        return inspect(self._connection).has_table(name)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITING, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _with_documents(statement: str, rows: Sequence[Row]) -> TextClause:
    """Return a statement of which the parameters that are lists or dictionaries are JSON."""
    names = dict.fromkeys(name for row in rows for name, value in row.items() if isinstance(value, (list, dict)))
    return text(statement).bindparams(*(bindparam(name, type_=JSON(none_as_null=True)) for name in names))


def _parsed(url: str, project_path: Path) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        msg = (
            "The URL of the session store is invalid. It must be an SQLAlchemy URL, such as "
            "'sqlite:///data/sessions.db' or 'postgresql+psycopg://user:password@host/database'; correct "
            "SESSION_STORE_ARGS['url'] in settings.py."
        )
        raise StoreError(msg, is_misconfigured=True) from None  # the cause contains the URL and its password
    if _sqlite_file(parsed) is None:
        return parsed
    return parsed.set(database=str(project_path / str(parsed.database)))


def _sqlite_file(url: URL) -> Path | None:
    """Return the SQLite file of a URL; None for other databases, in-memory databases and `file:` URLs."""
    database = url.database or ""
    if url.get_backend_name() != "sqlite" or database in ("", ":memory:") or database.startswith("file:"):
        return None
    return Path(database)


def _shown(url: URL) -> str:
    """Format a URL with the password and secret-looking options masked."""
    query: dict[str, Any] = {
        key: "***" if any(word in key.lower() for word in _SECRET_QUERY) else value for key, value in url.query.items()
    }
    if url.database is not None:  # a path may contain undecodable bytes
        url = url.set(database=plain_text(url.database))
    return url.set(query=query).render_as_string(hide_password=True)


def _read_only_urls(url: URL) -> tuple[URL, URL]:
    """Return the URLs for read-only access to a SQLite file.

    The first one sees concurrent writes, but needs auxiliary files that may be missing in a read-only folder; the second one
    reads the file unchanged.
    """
    path = f"file:{quote(str(url.database))}"
    live, frozen = ({"mode": "ro", "uri": "true"}, {"immutable": "1", "uri": "true"})
    return URL.create("sqlite", database=path, query=live), URL.create("sqlite", database=path, query=frozen)
