"""The folder of a project's records and the default file of its store, and a check that it can be written. State: none.

It does not import SQLAlchemy, which would slow down the start of every run.
"""

from __future__ import annotations

import os
from contextlib import closing
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

STORE_FOLDER = ".treadle"
STORE_FILE = "sessions.db"
_PRIVATE = 0o700


def default_file(project_path: Path) -> Path:
    """Return the default file of a project's store.

    Args:
        project_path: the project's folder.
    """
    return project_path / STORE_FOLDER / STORE_FILE


def make_private_folder(folder: Path) -> None:
    """Create a folder that only this user can enter, and its parents in `.treadle` likewise; git ignores `.treadle`.

    Args:
        folder: the folder, which may exist.

    Raises:
        OSError: it cannot be created.
    """
    if folder.is_dir():
        return
    if STORE_FOLDER in folder.parent.parts:  # `mkdir` would let everyone enter the parents that it creates
        make_private_folder(folder.parent)
    folder.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
    if folder.name == STORE_FOLDER:
        (folder / ".gitignore").write_text("*\n", encoding="utf-8")


def make_output_folder(folder: Path) -> None:
    """Create the folder of a file that a command writes; as `make_private_folder` does if it is inside `.treadle`.

    Args:
        folder: the folder, which may exist.

    Raises:
        OSError: it cannot be created.
    """
    if STORE_FOLDER in folder.parts:
        make_private_folder(folder)
    else:
        folder.mkdir(parents=True, exist_ok=True)


def writing_problem(file: Path) -> str | None:
    """Return why a record cannot be saved to a file, as far as the file system shows.

    Args:
        file: the file of a store, which may not exist yet.

    Returns:
        The problem and what to do; None if there is none.
    """
    problem = _problem_of_folder(file) or (_problem_of_file(file) if file.exists() else None)
    return None if problem is None else f"The record of this run cannot be saved to {file}: {problem}."


def _problem_of_folder(file: Path) -> str | None:
    folder = next((each for each in file.parents if each.exists()), file.parent)
    if not folder.is_dir():
        return f"{folder} is not a folder. Move it away"
    if on_read_only_file_system(folder):
        return (
            f"the file system of {folder} is read-only. Mount it for writing, or set another SESSION_STORE_ARGS = {{'url': ...}}"
        )
    if not os.access(folder, os.W_OK | os.X_OK):
        return f"the folder {folder} may not be written to. Change its owner or mode"
    return None


def _problem_of_file(file: Path) -> str | None:
    if file.is_dir():
        return "it is a folder. Move it away"
    if not os.access(file, os.R_OK | os.W_OK):
        return "it may not be read and written to. Change its owner or mode"
    return "it is damaged, or no SQLite database. Move it away" if _is_damaged(file) else None


def _is_damaged(file: Path) -> bool:
    """Return whether SQLite refuses a file.

    It is not read here: when a process closes a file that it has opened itself, it loses SQLite's locks on it. The next process
    to use the store would then take itself for the only one, and remove the write-ahead log under the connections of this one.
    """
    import sqlite3

    try:
        with closing(sqlite3.connect(file, timeout=0)) as connection:
            connection.execute("PRAGMA schema_version")
    except sqlite3.OperationalError:  # it is locked, for example: whoever uses it next waits, or says so
        return False
    except sqlite3.DatabaseError:
        return True
    return False


def on_read_only_file_system(path: Path) -> bool:
    """Return whether a file or folder, or where it would be made, is on a file system that is mounted read-only."""
    place = next((each for each in (path, *path.parents) if os.path.exists(each)), path)  # noqa: PTH110 - never raises
    try:
        return bool(os.statvfs(place).f_flag & os.ST_RDONLY)
    except OSError:
        return False


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
