"""Records of the content of remote files, from the metadata of their file system; nothing is downloaded.

State: none. Neighbours: `contents` has the records of local files, `remote_storage` reads and writes the files.
"""

from __future__ import annotations

import time
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from treadle.events import ContentRecord

_REMOTE_DIGESTS: Final = MappingProxyType(
    {
        "md5Hash": "md5",
        "ETag": "etag",
        "etag": "etag",
        "generation": "version",
        "VersionId": "version",
        "version_id": "version",
    }
)
"""Metadata that a file system changes with the content, the most exact first: a file that is saved again with equal bytes keeps
its MD5 hash, and on some file systems its entity tag, but has a new version."""


def remote_content(blank: ContentRecord, files: Any, path: str, names: Iterable[str] | None = None) -> ContentRecord | None:
    """Return the record of a remote file or folder from the metadata of its file system; nothing is downloaded.

    Args:
        blank: a record with the name of the dataset, the location and the version.
        files: a file system of fsspec, whose cache of listings has been cleared.
        path: the file or folder, as the file system expects it.
        names: the files of a folder that belong to the dataset, relative to it; None for all.

    Returns:
        The record; None if there is no file.
    """
    taken = time.time_ns()
    try:
        info: Mapping[str, Any] = files.info(path) if names is None else {"type": "directory"}
        if info.get("type") != "directory":
            digest = _remote_digest(info)
            problem = None if digest is not None else "Its file system has no hash, entity tag or version of the file."
            return blank._replace(size=_size(info), digest=digest, taken_ns=taken, problem=problem)
        found: dict[str, Mapping[str, Any]] = files.find(path, detail=True)
    except FileNotFoundError:
        return None
    root = str(files._strip_protocol(path)).rstrip("/")  # noqa: SLF001 - fsspec's own method for this
    infos = {each[len(root) :].lstrip("/"): facts for each, facts in found.items()}
    if names is not None:
        infos = {name: infos[name] for name in names if name in infos}
    return _remote_folder(blank._replace(taken_ns=taken), infos)


def _remote_folder(record: ContentRecord, infos: Mapping[str, Mapping[str, Any]]) -> ContentRecord:
    import xxhash

    hasher = xxhash.xxh3_128()
    for name in sorted(infos):
        digest = _remote_digest(infos[name])
        if digest is None:
            return record._replace(problem=f"Its file system has no hash, entity tag or version of the file {name}.")
        hasher.update(f"{name}\0{digest}\n".encode("utf-8", "surrogateescape"))
    return record._replace(size=sum(_size(info) or 0 for info in infos.values()), digest=f"etag:{hasher.hexdigest()}")


def _remote_digest(info: Mapping[str, Any]) -> str | None:
    for key, kind in _REMOTE_DIGESTS.items():
        value = info.get(key)
        if value and not str(value).startswith("W/"):  # equal weak entity tags do not mean equal bytes
            return f"{kind}:{str(value).strip(chr(34))}"
    return None


def _size(info: Mapping[str, Any]) -> int | None:
    size = info.get("size")
    return int(size) if size is not None else None
