"""Errors of the database of a store: which ones are temporary, and what to say about the others.

It imports no driver but that of SQLite; errors of SQLAlchemy and psycopg are known if these were imported. State: none.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from treadle.errors import StoreError
from treadle.observe.store.file import on_read_only_file_system

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from treadle.observe.store.connection import Database

_T = TypeVar("_T")


def database_errors(*others: type[Exception]) -> tuple[type[Exception], ...]:
    """Return the classes of all errors that the database or its driver can raise in this process, and others."""
    names = {"sqlalchemy.exc": "SQLAlchemyError", "psycopg": "Error"}
    # While another thread imports a module, it lacks the class, and no error of that class can exist.
    found = (getattr(sys.modules.get(module), name, None) for module, name in names.items())
    return (sqlite3.Error, *(kind for kind in found if kind is not None), *others)


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
        Exception: any other error of the function, or the database stayed locked.
    """
    deadline = time.monotonic() + busy_timeout
    while True:
        try:
            return call()
        except database_errors() as exc:
            cause = getattr(exc, "orig", None) or exc
            is_locked = isinstance(cause, sqlite3.OperationalError) and any(
                word in str(cause) for word in ("is locked", "is busy")
            )
            if not is_locked or time.monotonic() > deadline:
                raise
        time.sleep(0.005 + 0.045 * os.urandom(1)[0] / 255)  # differs between processes; `random` takes a millisecond to import


@contextmanager
def store_errors(doing: str, database: Database) -> Iterator[None]:
    """Convert errors of the database, its driver or the file system to a StoreError.

    Args:
        doing: the operation, to follow "cannot be": "opened", "written".
        database: the database.

    Raises:
        StoreError: the operation failed; contains the cause.
    """
    shown = database.shown
    try:
        yield
    except ImportError as exc:
        msg = (
            f"The session store at {shown} cannot be {doing}: its database driver {exc.name!r} is not installed. "
            f'Install it, for PostgreSQL with `pip install "treadle[postgres]"`.'
        )
        raise StoreError(msg, url=shown, is_misconfigured=True) from exc
    except database_errors(OSError, ValueError, TypeError) as exc:  # ValueError and TypeError: invalid options
        if type(exc).__name__ == "NoSuchModuleError":  # of SQLAlchemy
            kind = shown.partition(":")[0]
            msg = f"The session store at {shown} cannot be {doing}: SQLAlchemy does not support {kind!r}. Correct the URL."
            raise StoreError(msg, url=shown, is_misconfigured=True) from exc
        msg = f"The session store at {shown} cannot be {doing}: {_cause(exc, database)} {_advice(exc, database)}"
        raise StoreError(msg, url=shown) from exc


def _cause(exc: Exception, database: Database) -> str:
    text = str(getattr(exc, "orig", None) or exc).strip().rstrip(".")
    text += "" if text.endswith("?") else "."  # psycopg asks: "Is the server running on that host …?"
    return text.replace(database.password, "***") if database.password else text


def _advice(exc: Exception, database: Database) -> str:
    text = str(getattr(exc, "orig", None) or exc)  # without the statement and its values
    if "not a database" in text or "malformed" in text:
        return "The file is damaged or not a database. Move it away; a new one is created."
    is_read_only = database.file is not None and on_read_only_file_system(database.file)
    if is_read_only or "readonly" in text or isinstance(exc, PermissionError):
        todo = "Its file system is read-only. Mount it for writing" if is_read_only else "Make the file and its folder writable"
        return f"{todo}, or set another SESSION_STORE_ARGS = {{'url': ...}} in settings.py."
    if "disk I/O" in text or "disk is full" in text or getattr(exc, "errno", None) in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return "Check whether the disk is full, or set another SESSION_STORE_ARGS = {'url': ...} in settings.py."
    if "locked" in text:
        return "Another process held the lock for too long; increase SESSION_STORE_ARGS['busy_timeout'] in settings.py."
    if database.is_sqlite:
        return "Check the path and its permissions, or set another SESSION_STORE_ARGS = {'url': ...} in settings.py."
    return "Check that the server is reachable and that SESSION_STORE_ARGS['url'] in settings.py is correct."
