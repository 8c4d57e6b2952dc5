"""Choose how the database of a store is reached: by the standard library or by SQLAlchemy. State: none."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from treadle.observe.store.file import default_file

if TYPE_CHECKING:
    from pathlib import Path

    from treadle.observe.store.connection import Database

_SQLITE_FILE = re.compile(r"sqlite:///(?P<path>(?!:memory:|file:)[^?%]+)")


def database_at(url: str | None, project_path: Path) -> Database:
    """Return the database of a store, which is not opened yet.

    Args:
        url: an SQLAlchemy URL; None for the project's default file. The path of a SQLite URL is relative to the project.
        project_path: the project's folder.

    Raises:
        StoreError: the URL is invalid.
    """
    from treadle.observe.store.sqlite import SqliteFile

    if url is None:
        return SqliteFile(default_file(project_path))
    plain = _SQLITE_FILE.fullmatch(url)
    if plain is not None:
        return SqliteFile(project_path / plain["path"])
    from treadle.observe.store.engine import EngineDatabase

    return EngineDatabase(url, project_path)
