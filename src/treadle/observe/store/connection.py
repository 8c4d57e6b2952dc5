"""A connection to the database of a store, to which SQL is given as text: one set of statements for every database.

::

    SQLStore, LiveWriter ── statements ──▶ StoreConnection
                                           ├── SqliteConnection (sqlite.py): a file, by the standard library
                                           └── EngineConnection (engine.py): any other database, by SQLAlchemy

Nearly all projects use a file, and the import of SQLAlchemy takes longer than a run in which nothing has changed. So nothing that
a run does with a file imports it. State: none; each implementation has its connection.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from typing_extensions import Self

    from treadle.observe.store.rows import Row, Rows

_NO_VALUES: tuple[Row, ...] = ({},)


class Database(ABC):
    """Where a store has its tables.

    Attributes:
        shown: its URL, with secrets masked.
        password: the password in its URL, which is removed from messages.
        is_sqlite: whether it is a SQLite database.
        is_in_memory: whether it is a SQLite database in memory, which no other process can read.
        file: the file of a SQLite database; None for any other.
    """

    shown: str
    password: str | None = None
    is_sqlite: bool = True
    is_in_memory: bool = False
    file: Path | None = None

    @abstractmethod
    def connect(self, busy_timeout: float, *, only_reads: bool = False) -> StoreConnection:
        """Open a connection, and create the folder and file of a SQLite database if missing.

        Args:
            busy_timeout: seconds to wait for other writers of the same SQLite database.
            only_reads: whether the connection is only read from, which a read-only file allows.
        """

    def keep_open(self) -> bool:
        """Keep connections open between uses from now on, for a process that uses the database many times.

        Returns:
            Whether this kind of database does that.
        """
        return False

    @abstractmethod
    def close(self) -> None:
        """Release what the database keeps between connections."""

    @property
    @abstractmethod
    def is_missing(self) -> bool:
        """Whether the database is a SQLite file that does not exist, as reading must not create it."""

    @abstractmethod
    def check_writable(self) -> None:
        """Raise PermissionError if the database is a file that may not be written to, as far as the file system shows."""


class StoreConnection(ABC):
    """An open connection; named parameters are written `:name` in statements.

    Lists and dictionaries are stored as JSON. A JSON column is read as text or as the value, depending on the database;
    `rows.document` accepts both.

    Attributes:
        database: where it leads to.
        dialect: the name of the SQL dialect, as SQLAlchemy gives it.
        text_type: the type to which a JSON column is cast, so that it is read as text.
        has_new_file: whether the database is a file that was missing, so that it has no tables.
    """

    database: Database
    dialect: str
    text_type: str = "TEXT"
    has_new_file: bool = False

    @abstractmethod
    def execute(self, statement: str, rows: Sequence[Row] = _NO_VALUES) -> int:
        """Execute a statement once for each row of values.

        Args:
            statement: any statement that returns no rows.
            rows: the values of its parameters, by name.

        Returns:
            How many rows it has changed; -1 if the driver does not count them.
        """

    @abstractmethod
    def insert(self, table: str, rows: Rows) -> None:
        """Insert rows into a table, of which there may be thousands: faster than `execute`."""

    @abstractmethod
    def select(self, statement: str, values: Mapping[str, Any] | None = None) -> Sequence[Sequence[Any]]:
        """Return the rows of a query, as sequences."""

    @abstractmethod
    def select_batches(self, statement: str, values: Mapping[str, Any], size: int) -> Iterator[Sequence[Sequence[Any]]]:
        """Yield the rows of a query that may have very many, as sequences, `size` of them at a time."""

    @abstractmethod
    def select_rows(self, statement: str, values: Mapping[str, Any] | None = None) -> list[Row]:
        """Return the rows of a query, by the names of their columns."""

    def select_value(self, statement: str, values: Mapping[str, Any] | None = None) -> Any:
        """Return the first value of the first row of a query; None if there is no row."""
        found = self.select(statement, values)
        return found[0][0] if found else None

    @abstractmethod
    def transaction(self, *, writes: bool) -> AbstractContextManager[None]:
        """Open a transaction, and commit it at the end, or roll it back after an error.

        Args:
            writes: whether it takes the write lock of a SQLite database when it begins: a transaction that reads first and then
                writes fails immediately if another writer was faster, whatever the busy timeout.
        """

    @abstractmethod
    def has_table(self, name: str) -> bool:
        """Return whether a table exists; inside a transaction."""

    def shrink(self) -> None:
        """Return the space of removed rows to the file system; do nothing where the database does that by itself."""
        return

    @abstractmethod
    def close(self) -> None:
        """Close the connection; closing twice has no effect."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()
