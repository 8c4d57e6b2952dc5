"""Find and name the versions of a file: `path/<version>/name` for a file declared at `path`.

A run saves under its own version, and loads that version of datasets that it saved, even if other runs save newer ones. It loads
other datasets in the newest version, or in the requested one. A version belongs to one run, so a second attempt at a node
replaces the output of the first. State: the last millisecond that this process has used in a version. Neighbours:
`datasets.file` gets paths from this module.
"""

from __future__ import annotations

import posixpath
import re
import threading
import time
from typing import TYPE_CHECKING

from treadle.errors import DatasetError
from treadle.forks import fork_safe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from treadle.io.storage import Storage

_SAFE = r"[^/\\\x00]+"


class IncreasingMilliseconds:
    """Milliseconds since the epoch, each of them once: they increase even if the system clock is read twice in a millisecond."""

    def __init__(self) -> None:
        self._lock = fork_safe(threading.Lock())
        self._last = 0

    def next(self, now: float | None = None) -> int:
        """Return the next millisecond.

        Args:
            now: seconds since the epoch; the system clock by default. A time at or before the last one is replaced by the
                millisecond after that.
        """
        millisecond = time.time_ns() // 1_000_000 if now is None else int(now * 1000)
        with self._lock:
            self._last = max(millisecond, self._last + 1)
            return self._last


_MILLISECONDS = IncreasingMilliseconds()


def new_version() -> str:
    """Return a version made from the current time: UTC with milliseconds, usable as a file name, sorted by time.

    No two versions of a process are equal: a run of a tiny pipeline takes less than a millisecond.
    """
    milliseconds = _MILLISECONDS.next()
    # Faster than with `datetime`, which a run without dates does not import.
    return f"{time.strftime('%Y-%m-%dT%H.%M.%S', time.gmtime(milliseconds // 1000))}.{milliseconds % 1000:03}Z"


def version_path(path: str, version: str) -> str:
    """Return the path of a version of a file.

    Args:
        path: the path of the dataset, a folder of versions.
        version: the version.

    Returns:
        the path of the file.

    Raises:
        DatasetError: the version would be outside the folder.
    """
    if not re.fullmatch(_SAFE, version) or version in {".", ".."}:
        msg = f"{version!r} cannot be a version: it must be usable as the name of one folder."
        raise DatasetError(msg)
    return posixpath.join(path, version, posixpath.basename(path.replace("\\", "/")))


def newest_version(storage: Storage, path: str) -> str | None:
    """Return the newest version of a file; None if there is none.

    Args:
        storage: where it is stored.
        path: the path of the dataset.

    Returns:
        the last version in lexical order, among those that have the file.
    """
    return next(_newest_first(storage, path), None)


def all_versions(storage: Storage, path: str) -> list[str]:
    """Return the versions of a file, the newest first.

    Args:
        storage: where it is stored.
        path: the path of the dataset.

    Returns:
        the versions that have the file.
    """
    return list(_newest_first(storage, path))


def _newest_first(storage: Storage, path: str) -> Iterator[str]:
    for version in sorted(storage.names(path), reverse=True):
        if not version.startswith(".") and storage.exists(version_path(path, version)):
            yield version
