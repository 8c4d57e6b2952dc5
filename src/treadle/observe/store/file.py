"""The default file of a project's store, and a check that it is writable without importing SQLAlchemy. State: none."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

STORE_FOLDER = ".treadle"
STORE_FILE = "sessions.db"
_MAGIC = b"SQLite format 3\0"


def default_file(project_path: Path) -> Path:
    """Return the default file of a project's store.

    Args:
        project_path: the project's folder.
    """
    return project_path / STORE_FOLDER / STORE_FILE


def writing_problem(file: Path) -> str | None:
    """Return why a record cannot be saved to a file, as far as the file system shows.

    Args:
        file: the file of a store, which may not exist yet.

    Returns:
        The problem and what to do; None if there is none.
    """
    problem = _problem(file)
    return None if problem is None else f"The record of this run cannot be saved to {file}: {problem}."


def _problem(file: Path) -> str | None:
    folder = next((each for each in file.parents if each.exists()), file.parent)
    if not folder.is_dir():
        return f"{folder} is not a folder. Move it away"
    if not os.access(folder, os.W_OK | os.X_OK):
        return f"the folder {folder} may not be written to. Change its owner or mode"
    if not file.exists():
        return None
    try:
        with file.open("r+b") as stream:
            begin = stream.read(len(_MAGIC))
    except OSError as exc:
        return f"it cannot be written to ({exc.strerror}). Change its owner or mode"
    return "it is damaged, or no SQLite database. Move it away" if begin and begin != _MAGIC else None


def is_missing(file: Path) -> bool:
    """Return whether a store does not exist yet: there is no such file, and its parents are folders or do not exist either.

    Args:
        file: the file of a store.

    Raises:
        OSError: a folder may not be searched.
    """
    try:
        os.stat(file)  # noqa: PTH116 - `exists` also returns False where a parent is not a folder
    except FileNotFoundError:
        return True
    except NotADirectoryError:  # opening it fails, with an error that says so
        pass
    return False
