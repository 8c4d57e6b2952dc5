"""The folder of stored values of a project, `.treadle/cache`: private to the user, and limited in size.

The file of a value has the name of its dataset and of the run that made it. State: none besides the files. Neighbours:
`stored_values.py` stores values there, `treadle cache` lists and removes them.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote

from treadle.errors import SessionError
from treadle.named_tuple import NamedTuple
from treadle.observe.store.file import STORE_FOLDER, make_private_folder
from treadle.observe.store.records import SessionState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from treadle.observe.store import SessionStore

_SUFFIX: Final = ".pickle"
_LONGEST: Final = 120
_DAY: Final = 86_400.0
"""The time of the last use of a file is updated at most once in this time, in seconds: that counts as a change of the file."""


class StoredValue(NamedTuple):
    """The file of a value.

    Attributes:
        path: the file.
        dataset: the dataset; the beginning of its name, if it is very long.
        session_id: the session that made it.
        size: bytes.
        used: when it was last written or loaded, in seconds since the epoch; exact to a day.
    """

    path: Path
    dataset: str
    session_id: str
    size: int
    used: float


def values_folder(project_path: Path) -> Path:
    """Return the folder of a project's stored values, which may not exist."""
    return project_path / STORE_FOLDER / "cache"


def make_values_folder(project_path: Path) -> Path:
    """Return the folder of a project's stored values, and create it if it does not exist.

    Raises:
        SessionError: it belongs to another user, or others may write to it, so that its files cannot be trusted; or it cannot be
            created.
    """
    folder = values_folder(project_path)
    try:
        make_private_folder(folder)
        ignored = folder.parent / ".gitignore"
        if not ignored.exists():  # the folder may be older
            ignored.write_text("*\n", encoding="utf-8")
        status = folder.stat()
    except OSError as exc:
        msg = (
            f"Values cannot be stored in {folder}, because the folder cannot be created or read: {exc.strerror}. Probably "
            f"{folder.parent} belongs to another user: change its owner."
        )
        raise SessionError(msg) from exc
    if status.st_uid != os.getuid() or status.st_mode & 0o077:
        msg = (
            f"Values cannot be stored in {folder}: the folder belongs to another user, or others have access to it. Stored "
            "values are pickles, which can run any code when they are loaded. Remove the folder, or set its owner, and its mode "
            "to 700."
        )
        raise SessionError(msg)
    return folder


def value_file(folder: Path, dataset: str, session_id: str) -> Path:
    """Return the file of the value of a dataset that a session makes."""
    name = quote(dataset, safe="")
    if len(name) > _LONGEST:
        name = f"{name[:_LONGEST]}-{blake2b(dataset.encode(), digest_size=8).hexdigest()}"
    return folder / f"{name},{session_id}{_SUFFIX}"


def note_use(file: Path) -> None:
    """Note that a value is used now, if that was not noted within the last day."""
    with suppress(OSError):
        status = file.stat()
        if time.time() - max(status.st_atime, status.st_mtime) > _DAY:
            os.utime(file, ns=(time.time_ns(), status.st_mtime_ns))


def stored_values(folder: Path) -> Iterator[StoredValue]:
    """Yield the values in a folder.

    Raises:
        SessionError: the folder cannot be read.
    """
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208 - `Path.iterdir` is lazy before Python 3.13
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as exc:
        msg = f"The stored values in {folder} cannot be listed: {exc.strerror}. Probably the folder belongs to another user."
        raise SessionError(msg) from exc
    for path in (folder / each for each in names if each.endswith(_SUFFIX)):
        name, _, session_id = path.name.removesuffix(_SUFFIX).rpartition(",")
        with suppress(OSError):  # another process may remove it
            status = path.stat()
            yield StoredValue(path, unquote(name), session_id, status.st_size, max(status.st_atime, status.st_mtime))


def remove_values(folder: Path, max_size: int, store: SessionStore | None) -> list[StoredValue]:
    """Remove the values that were used longest ago, until the rest is not larger than a limit.

    What a running session has made or may use stays.

    Args:
        folder: the folder.
        max_size: bytes.
        store: tells which sessions are running; None if there is no record.

    Returns:
        The removed values.
    """
    found = sorted(stored_values(folder), key=lambda value: value.used)
    total = sum(value.size for value in found)
    if total <= max_size:
        return []
    running = [each for each in store.list(200) if each.state is SessionState.RUNNING] if store is not None else []
    in_use = min((each.started - _DAY for each in running), default=float("inf"))
    removed = []
    for value in found:
        if total <= max_size:
            break
        if value.used < in_use:
            with suppress(FileNotFoundError):
                value.path.unlink()
            removed.append(value)
            total -= value.size
    return removed
