"""The database of a store: its URL, its engine, and the SQLite settings for concurrent processes.

SQLite files are private (folder 0700, file 0600) and use a write-ahead log, so that readers do not block on a writer. Write
transactions take the write lock when they begin: a transaction that reads first and then writes fails immediately if another
writer was faster, whatever the busy timeout. `synchronous` is NORMAL: a power failure may lose the last records but cannot
corrupt the file, and saving does not wait for the disk.

Connections are not pooled: a process uses its store only a few times, and a closed connection cannot be inherited by a forked
worker.

Importing this module imports SQLAlchemy; see `schema.py`. State: none. Neighbours: `store.py` uses the engine, `migrations.py`
creates the tables.
"""

from __future__ import annotations

import errno
import os
import random
import sqlite3
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, OperationalError, SQLAlchemyError
from sqlalchemy.pool import NullPool, StaticPool

from treadle.errors import StoreError
from treadle.observe.store.file import STORE_FOLDER, default_file
from treadle.observe.store.plain import plain_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_T = TypeVar("_T")

_WRITING = "treadle_writing"
_SECRET_QUERY = ("password", "passwd", "pwd", "secret", "token", "key")
_PRIVATE_FOLDER = 0o700
_PRIVATE_FILE = 0o600


def resolve_url(url: str | None, project_path: Path) -> URL:
    """Return the complete URL of a store.

    Args:
        url: an SQLAlchemy URL; None for the project's default file. The path of a SQLite URL is relative to the project.
        project_path: the project's folder.

    Returns:
        The URL; a SQLite file has an absolute path.

    Raises:
        StoreError: the URL is invalid. The message does not show it, as it may contain a password.
    """
    if url is None:
        return URL.create("sqlite", database=str(default_file(project_path)))
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        msg = (
            "The URL of the session store is invalid. It must be an SQLAlchemy URL, such as "
            "'sqlite:///data/sessions.db' or 'postgresql+psycopg://user:password@host/database'; correct "
            "SESSION_STORE_ARGS['url'] in settings.py."
        )
        raise StoreError(msg) from None  # the cause contains the URL and its password
    if sqlite_file(parsed) is None:
        return parsed
    return parsed.set(database=str(project_path / str(parsed.database)))


def sqlite_file(url: URL) -> Path | None:
    """Return the SQLite file of a URL.

    Args:
        url: any address of a store.

    Returns:
        Its path; None for other databases, in-memory databases and `file:` URLs.
    """
    database = url.database or ""
    if url.get_backend_name() != "sqlite" or database in ("", ":memory:") or database.startswith("file:"):
        return None
    return Path(database)


def is_in_memory(url: URL) -> bool:
    """Return whether a URL is that of a SQLite database in memory."""
    return url.get_backend_name() == "sqlite" and (url.database or ":memory:") == ":memory:"


def shown_url(url: URL) -> str:
    """Format a URL with its secrets masked.

    Args:
        url: any address of a store.

    Returns:
        The URL, with the password and secret-looking options masked.
    """
    query: dict[str, Any] = {
        key: "***" if any(word in key.lower() for word in _SECRET_QUERY) else value for key, value in url.query.items()
    }
    if url.database is not None:  # a path may contain undecodable bytes
        url = url.set(database=plain_text(url.database))
    return url.set(query=query).render_as_string(hide_password=True)


def is_read_only(url: URL) -> bool:
    """Return whether a store is a SQLite file that this process may not write, or in a folder that it may not write."""
    file = sqlite_file(url)
    return file is not None and file.exists() and not (os.access(file, os.W_OK) and os.access(file.parent, os.W_OK))


def read_only_urls(url: URL) -> tuple[URL, URL]:
    """Return the URLs for read-only access to a SQLite file.

    Args:
        url: the URL of the file.

    Returns:
        One that sees concurrent writes, but needs auxiliary files that may be missing in a read-only folder; and one that reads
        the file unchanged.
    """
    path = f"file:{quote(str(url.database))}"
    live, frozen = ({"mode": "ro", "uri": "true"}, {"immutable": "1", "uri": "true"})
    return URL.create("sqlite", database=path, query=live), URL.create("sqlite", database=path, query=frozen)


def open_engine(url: URL, busy_timeout: float) -> Engine:
    """Create the engine of a store, and the folder and file of a SQLite store if missing.

    Args:
        url: from `resolve_url` or `read_only_urls`.
        busy_timeout: seconds to wait for other writers to finish.

    Returns:
        The engine, not connected yet.

    Raises:
        OSError: the folder or file cannot be created.
        ImportError: the database's driver is not installed.
        sqlalchemy.exc.SQLAlchemyError: the kind of database is unknown.
    """
    if url.get_backend_name() != "sqlite":
        return create_engine(url, poolclass=NullPool, hide_parameters=True)
    file = sqlite_file(url)
    if file is not None:
        _make_private_file(file)
    in_memory = is_in_memory(url)
    engine = create_engine(
        url,
        poolclass=StaticPool if in_memory else NullPool,
        connect_args={"timeout": busy_timeout, **({"check_same_thread": False} if in_memory else {})},
        hide_parameters=True,
    )

    @event.listens_for(engine, "connect")
    def _connected(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # the driver must not begin transactions by itself, `_begun` does
        _use_write_ahead_log(connection)
        connection.execute("PRAGMA synchronous = NORMAL")

    @event.listens_for(engine, "begin")
    def _begun(connection: Connection) -> None:
        writes = connection.get_execution_options().get(_WRITING, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def retry_while_locked(busy_timeout: float, call: Callable[[], _T]) -> _T:
    """Call a function, and retry it while another process has the database locked.

    SQLite itself waits for most locks, but not while the journal is switched or recovered, or the last other connection is being
    closed: these raise immediately.

    Args:
        busy_timeout: maximum seconds to retry.
        call: the function; it must leave no transaction open when it fails.

    Returns:
        The function's result.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: another error, or the database stayed locked.
    """
    deadline = time.monotonic() + busy_timeout
    while True:
        try:
            return call()
        except (OperationalError, sqlite3.OperationalError) as exc:
            text = str(getattr(exc, "orig", None) or exc)
            if not any(word in text for word in ("is locked", "is busy")) or time.monotonic() > deadline:
                raise
        time.sleep(random.uniform(0.005, 0.05))  # noqa: S311 - jitter, not a secret


@contextmanager
def writing(connection: Connection) -> Iterator[None]:
    """Open a transaction that takes the write lock immediately, and commit it at the end.

    Args:
        connection: of an engine from `open_engine`, without a transaction.
    """
    connection.execution_options(**{_WRITING: True})
    try:
        with connection.begin():
            yield
    finally:
        connection.execution_options(**{_WRITING: False})


@contextmanager
def store_errors(doing: str, url: URL) -> Iterator[None]:
    """Convert errors of the database, its driver or the file system to a StoreError.

    Args:
        doing: the operation, to follow "cannot be": "opened", "written".
        url: the store.

    Raises:
        StoreError: the operation failed; contains the cause.
    """
    shown = shown_url(url)
    try:
        yield
    except ImportError as exc:
        msg = (
            f"The session store at {shown} cannot be {doing}: its database driver {exc.name!r} is not installed. "
            f'Install it, for PostgreSQL with `pip install "treadle[postgres]"`.'
        )
        raise StoreError(msg, url=shown) from exc
    except NoSuchModuleError as exc:
        msg = f"The session store at {shown} cannot be {doing}: SQLAlchemy does not support {url.drivername!r}. Correct the URL."
        raise StoreError(msg, url=shown) from exc
    except (SQLAlchemyError, sqlite3.Error, OSError, ValueError, TypeError) as exc:  # ValueError and TypeError: invalid options
        msg = f"The session store at {shown} cannot be {doing}: {_cause(exc, url)}. {_advice(exc, url)}"
        raise StoreError(msg, url=shown) from exc


def _make_private_file(file: Path) -> None:
    if not file.parent.is_dir():
        file.parent.mkdir(mode=_PRIVATE_FOLDER, parents=True, exist_ok=True)
        if file.parent.name == STORE_FOLDER:
            (file.parent / ".gitignore").write_text("*\n", encoding="utf-8")
    try:
        # Create the file, but never open an existing one: closing it would release SQLite's locks in this process.
        os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_RDWR, _PRIVATE_FILE))
    except FileExistsError:
        return


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


def _cause(exc: Exception, url: URL) -> str:
    text = str(getattr(exc, "orig", None) or exc).strip().rstrip(".")
    return text.replace(url.password, "***") if url.password else text


def _advice(exc: Exception, url: URL) -> str:
    text = str(getattr(exc, "orig", None) or exc)  # without the statement and its values
    if "not a database" in text or "malformed" in text:
        return "The file is damaged or not a database. Move it away; a new one is created."
    if "readonly" in text or isinstance(exc, PermissionError):
        return "Make the file and its folder writable, or set another SESSION_STORE_ARGS = {'url': ...} in settings.py."
    if "disk I/O" in text or "disk is full" in text or getattr(exc, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
        return "Check whether the disk is full, or set another SESSION_STORE_ARGS = {'url': ...} in settings.py."
    if "locked" in text:
        return "Another process held the lock for too long; increase SESSION_STORE_ARGS['busy_timeout'] in settings.py."
    if url.get_backend_name() == "sqlite":
        return "Check the path and its permissions, or set another SESSION_STORE_ARGS = {'url': ...} in settings.py."
    return "Check that the server is reachable and that SESSION_STORE_ARGS['url'] in settings.py is correct."
