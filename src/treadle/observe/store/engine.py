"""The database behind a store: its address, its engine, and what SQLite needs to serve many processes at once.

SQLite files are private (folder 0700, file 0600), use a write-ahead log, so that readers never wait for the writer,
and take the write lock at the beginning of a writing transaction: a transaction that reads first and then wants to
write fails at once when another writer was faster, and no busy timeout helps it. `synchronous` is NORMAL: after a power
cut the last records may be missing, the file is never broken, and a save need not wait for the disk.

Connections are not pooled: a store is used a few times in the life of a process, and a connection that is closed after
use cannot be inherited by a forked worker.

Importing this module imports SQLAlchemy; see `schema.py`. State: none.
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
    """Make the address of a store whole.

    Args:
        url: an SQLAlchemy URL; None for the project's own file. The path of a SQLite URL is relative to the project.
        project_path: the project.

    Returns:
        The URL; that of a SQLite file has an absolute path.

    Raises:
        StoreError: the text is no URL. It is not shown, because a password may stand in it.
    """
    if url is None:
        return URL.create("sqlite", database=str(default_file(project_path)))
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        msg = (
            "The URL of the session store cannot be read. It is an SQLAlchemy URL, such as "
            "'sqlite:///data/sessions.db' or 'postgresql+psycopg://user:password@host/database'; look at "
            "SESSION_STORE_ARGS['url'] in settings.py."
        )
        raise StoreError(msg) from None  # the cause repeats the URL, and its password
    if sqlite_file(parsed) is None:
        return parsed
    return parsed.set(database=str(project_path / str(parsed.database)))


def sqlite_file(url: URL) -> Path | None:
    """Find the file behind a URL.

    Args:
        url: any address of a store.

    Returns:
        Its path where it is a plain SQLite file; None for other databases, memory, and `file:` addresses.
    """
    database = url.database or ""
    if url.get_backend_name() != "sqlite" or database in ("", ":memory:") or database.startswith("file:"):
        return None
    return Path(database)


def shown_url(url: URL) -> str:
    """Write an address without its secrets.

    Args:
        url: any address of a store.

    Returns:
        Its text, with the password and every secret-looking option masked.
    """
    query: dict[str, Any] = {
        key: "***" if any(word in key.lower() for word in _SECRET_QUERY) else value for key, value in url.query.items()
    }
    if url.database is not None:  # a path may hold bytes that are no text
        url = url.set(database=plain_text(url.database))
    return url.set(query=query).render_as_string(hide_password=True)


def is_read_only(url: URL) -> bool:
    """Say whether a store is a SQLite file that this process may read and not write, or one in such a folder."""
    file = sqlite_file(url)
    return file is not None and file.exists() and not (os.access(file, os.W_OK) and os.access(file.parent, os.W_OK))


def read_only_urls(url: URL) -> tuple[URL, URL]:
    """Return the addresses by which a SQLite file is opened that must not be written to.

    Args:
        url: that of the file.

    Returns:
        The one that sees what others write meanwhile, which needs files beside it that may be missing in a read-only folder; and
        the one that takes the file as it is.
    """
    path = f"file:{quote(str(url.database))}"
    live, frozen = ({"mode": "ro", "uri": "true"}, {"immutable": "1", "uri": "true"})
    return URL.create("sqlite", database=path, query=live), URL.create("sqlite", database=path, query=frozen)


def open_engine(url: URL, busy_timeout: float) -> Engine:
    """Make the engine of a store; the folder and file of a SQLite store are made where they are missing.

    Args:
        url: from `resolve_url` or `read_only_urls`.
        busy_timeout: seconds to wait for other writers to finish.

    Returns:
        The engine; nothing is connected yet.

    Raises:
        OSError: the folder or file cannot be made.
        ImportError: the database's driver is not installed.
        sqlalchemy.exc.SQLAlchemyError: no such kind of database.
    """
    if url.get_backend_name() != "sqlite":
        return create_engine(url, poolclass=NullPool, hide_parameters=True)
    file = sqlite_file(url)
    if file is not None:
        _make_private_file(file)
    in_memory = (url.database or ":memory:") == ":memory:"
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


def patiently(busy_timeout: float, call: Callable[[], _T]) -> _T:
    """Do something with a database, again and again while another process has it locked.

    SQLite waits for a lock by itself in most places. It does not where it switches or recovers the journal, or where the last
    other connection is just being closed: there the error comes at once.

    Args:
        busy_timeout: seconds to try.
        call: what is done; it leaves no transaction open when it fails.

    Returns:
        What the call returns.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: another error, or the database was still locked at the end.
    """
    deadline = time.monotonic() + busy_timeout
    while True:
        try:
            return call()
        except (OperationalError, sqlite3.OperationalError) as exc:
            text = str(getattr(exc, "orig", None) or exc)
            if not any(word in text for word in ("is locked", "is busy")) or time.monotonic() > deadline:
                raise
        time.sleep(random.uniform(0.005, 0.05))  # noqa: S311 - so that those who wait do not all come back at once


@contextmanager
def writing(connection: Connection) -> Iterator[None]:
    """Open a transaction that takes the write lock at once, and commit it at the end.

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
    """Turn what a database, its driver or the file system raises into one clear error.

    Args:
        doing: what is tried, to follow "cannot be": "opened", "written".
        url: the store.

    Raises:
        StoreError: with the cause in its text and as `__cause__`.
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
        msg = f"The session store at {shown} cannot be {doing}: SQLAlchemy knows no database {url.drivername!r}."
        raise StoreError(msg, url=shown) from exc
    except (SQLAlchemyError, sqlite3.Error, OSError, ValueError, TypeError) as exc:  # the last two: options it refuses
        msg = f"The session store at {shown} cannot be {doing}: {_cause(exc, url)}. {_advice(exc, url)}"
        raise StoreError(msg, url=shown) from exc


def _make_private_file(file: Path) -> None:
    if not file.parent.is_dir():
        file.parent.mkdir(mode=_PRIVATE_FOLDER, parents=True, exist_ok=True)
        if file.parent.name == STORE_FOLDER:
            (file.parent / ".gitignore").write_text("*\n", encoding="utf-8")
    try:
        # Only ever made here, never opened: closing a file drops the locks that SQLite holds on it in this process.
        os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_RDWR, _PRIVATE_FILE))
    except FileExistsError:
        return


def _use_write_ahead_log(connection: sqlite3.Connection) -> None:
    """Switch the file to a write-ahead log, once in its life.

    The switch wants the file for itself and does not wait for it: where another process is in the way, wait for the write lock,
    which honours the busy timeout; then it is tried again with the whole connection.
    """
    if connection.execute("PRAGMA journal_mode").fetchone()[0] in ("wal", "memory"):
        return
    try:
        # Where the file system cannot do it, the old journal stays: slower, and as safe.
        connection.execute("PRAGMA journal_mode = WAL")
    except sqlite3.OperationalError as exc:
        if "readonly" in str(exc):
            return  # whoever only reads needs no journal
        if "locked" in str(exc):
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("COMMIT")
        raise


def _cause(exc: Exception, url: URL) -> str:
    text = str(getattr(exc, "orig", None) or exc).strip().rstrip(".")
    return text.replace(url.password, "***") if url.password else text


def _advice(exc: Exception, url: URL) -> str:
    text = str(getattr(exc, "orig", None) or exc)  # without the statement and its values, which may say anything
    if "not a database" in text or "malformed" in text:
        return "The file is damaged or something else; move it away, and a new one is made."
    if "readonly" in text or isinstance(exc, PermissionError):
        return "Make the file and its folder writable, or give SESSION_STORE_ARGS = {'url': ...} in settings.py another place."
    if "disk I/O" in text or "disk is full" in text or getattr(exc, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
        return "Look whether its disk is full, or give SESSION_STORE_ARGS = {'url': ...} in settings.py another place."
    if "locked" in text:
        return "Another process held it for too long; raise SESSION_STORE_ARGS['busy_timeout'] in settings.py."
    if url.get_backend_name() == "sqlite":
        return "Check the path and its permissions, or give SESSION_STORE_ARGS = {'url': ...} in settings.py another place."
    return "Check that the server is reachable and that SESSION_STORE_ARGS['url'] in settings.py is right."
