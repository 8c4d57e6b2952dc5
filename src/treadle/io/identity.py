"""Identify the data of a dataset at one time, so that later changes can be detected.

A run stores the identity of each result that it saved to a file; before a result is loaded later, it is compared with the file
at that time. Large files are not read for it; `contents` compares bytes across runs. State: none. Neighbours: `storage`
identifies files, datasets with files call it from `file_identity`, `kedro_files` finds the files of Kedro's datasets.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any, Final

from treadle.io.contents import digest_of, folder_files, is_untouched
from treadle.io.kedro_files import kedro_file
from treadle.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from treadle.events import ContentRecord

_HASHED_BYTES: Final = 1 << 20
"""Maximum size in bytes of files that are hashed; reading one takes about a millisecond."""

_REMOTE_FACTS: Final = (
    "size", "ETag", "etag", "generation", "md5Hash", "content_md5", "mtime", "LastModified", "last_modified", "updated", "created"
)  # fmt: skip
"""File attributes that change with the content (and, unlike the access time, only with it)."""


class FileIdentity(NamedTuple):
    """The identity of a file's content.

    Attributes:
        path: where it is stored.
        facts: size, time of modification and the like, by the file system.
        digest: a hash of the content, if the file is small; None if it was not read.
    """

    path: str
    facts: tuple[Any, ...]
    digest: str | None = None

    def matches(self, other: FileIdentity | None) -> bool:
        """Return whether both have the same content: the same unmodified file, or another file with equal bytes."""
        if other is None or self.path != other.path:
            return False
        return self.facts == other.facts or (self.digest is not None and self.digest == other.digest)


class SavedFile(NamedTuple):
    """A local file as this process saved it.

    Attributes:
        facts: its attributes, as in `FileIdentity`.
        digest: a hash of its content; None if it was not hashed.
    """

    facts: tuple[Any, ...]
    digest: str | None


def stat_facts(status: os.stat_result) -> tuple[Any, ...]:
    """Return the attributes of a local file that identify its content: device, inode, size, and time of last change."""
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def identify_local(path: str, saved: SavedFile | None = None) -> FileIdentity | None:
    """Return the identity of a local file or folder; None if there is none.

    Args:
        path: the file.
        saved: the file when this process saved it, if it did. Its identity is returned if another process has replaced the file.
    """
    try:
        found = os.stat(path)  # noqa: PTH116 - `Path.stat` takes three times as long, and a run may have thousands of results
        facts = stat_facts(found)
        if saved is not None and (facts != saved.facts or saved.digest is not None):
            return FileIdentity(path, *saved)
        if stat.S_ISDIR(found.st_mode):
            return FileIdentity(path, _folder_facts(path))
        if not stat.S_ISREG(found.st_mode) or found.st_size > _HASHED_BYTES:
            return FileIdentity(path, facts)
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - as above
            content = file.read()
            unchanged = stat_facts(os.fstat(file.fileno())) == facts
    except OSError:
        return FileIdentity(path, *saved) if saved is not None else None
    return FileIdentity(path, facts, digest_of(content) if unchanged else None)


def identify_untouched(path: str, known: ContentRecord) -> FileIdentity | None:
    """Return the identity of a local file without reading it; None if it may have changed since an earlier record.

    Args:
        path: the file.
        known: the record.
    """
    if known.location != path or known.version is not None:
        return None
    try:
        found = os.stat(path)  # noqa: PTH116 - as above
    except OSError:
        return None
    if not stat.S_ISREG(found.st_mode) or not is_untouched(found, known):
        return None
    return FileIdentity(path, stat_facts(found), known.digest)


def identify_remote(path: str, info: Mapping[str, Any]) -> FileIdentity | None:
    """Return the identity of a remote file from its file system's metadata; None if that has only the size."""
    facts = tuple((name, str(info[name])) for name in _REMOTE_FACTS if info.get(name) is not None)
    return FileIdentity(path, facts) if any(name != "size" for name, _ in facts) else None


def file_identity_of(dataset: object) -> FileIdentity | None:
    """Return the identity of the content that a load of a dataset would read.

    Args:
        dataset: a dataset with a method `file_identity`, such as Treadle's file datasets, or a Kedro dataset with a local file.

    Returns:
        The identity; None if the dataset has none, such as a database table.
    """
    identify = getattr(dataset, "file_identity", None)
    if callable(identify):
        found: FileIdentity | None = identify()
        return found
    try:
        file = kedro_file(dataset)
    except Exception:  # noqa: BLE001 - it has no file, or raises; loading it will raise the same error
        return None
    return None if file is None or file.files is not None else identify_local(file.path)


def _folder_facts(path: str) -> tuple[Any, ...]:
    """Return name, size and time of change of each file in a folder, except hidden ones."""
    return tuple(sorted((name, *stat_facts(os.stat(f"{path}/{name}"))) for name in folder_files(path)))  # noqa: PTH116 - as above
