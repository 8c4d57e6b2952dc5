"""Compute a digest of a project's code and configuration files.

A commit identifies the sources only if nothing is modified; the digest also distinguishes uncommitted changes. Credentials files
are excluded, because short secrets could be guessed from a digest.

State: the digests of the last projects, by the times and sizes of their files. Neighbours: `recording.py` records the digest when
a run begins, `rerun.py` compares it.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from treadle.folders import walk_folder, walk_package
from treadle.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_EXCLUDED = frozenset({"__pycache__", ".ipynb_checkpoints"})
_MAX_SIZE = 4_000_000
"""In bytes; a larger file is not considered a source, and only its size is included."""
_FRESH = 2_000_000_000
"""In nanoseconds: the longest tick of the clock of a file system."""


class _File(NamedTuple):
    """A source file as it is."""

    label: str
    name: str
    path: str
    size: int
    modified: int
    inode: int


def sources_digest(package_name: str, project_path: Path, conf_source: Path) -> str | None:
    """Compute the digest of a project's code and configuration.

    Args:
        package_name: the project's package, importable from `sys.path`.
        project_path: the project's folder.
        conf_source: the configuration folder or archive.

    Returns:
        A hexadecimal digest; None if the package is not found or a file cannot be read.
    """
    from treadle.project.code import find_module

    spec = find_module(package_name)
    if spec is None:
        return None
    places = list(spec.submodule_search_locations or ()) or [str(spec.origin)]
    try:
        found = [
            *(file for place in places for file in _files("code", place)),
            *_files("configuration", str(conf_source)),
            *_stamped("", "", f"{project_path}/pyproject.toml"),
        ]
        newest = max((file.modified for file in found), default=0)
        # A file that was written just now can change again within the same tick of its clock, so its digest is not kept.
        compute = _digest_of.__wrapped__ if time.time_ns() - newest < _FRESH else _digest_of
        return compute(tuple(found))
    except OSError:
        return None


@lru_cache(maxsize=4)  # a service records many sessions
def _digest_of(files: tuple[_File, ...]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for file in files:
        if file.label:
            digest.update(f"{file.label}\0{file.name}\0".encode(errors="surrogateescape"))
        digest.update(f"{file.size}\0".encode())
        if file.size <= _MAX_SIZE:
            digest.update(Path(file.path).read_bytes())
    return digest.hexdigest()


def _files(label: str, place: str) -> Iterator[_File]:
    """Yield the sources in a folder, in the order of their paths; or the file that the place is."""
    yield from _stamped(label, "", place)
    found: list[tuple[str, str]] = []
    for folder, folders, names in (walk_package if label == "code" else walk_folder)(place):
        folders[:] = [name for name in folders if _is_source(name)]
        below = folder[len(place) :].replace(os.sep, "/").strip("/")
        found += [(f"{below}/{name}".lstrip("/"), f"{folder}/{name}") for name in names if _is_source(name)]
    for name, path in sorted(found, key=lambda each: each[0].split("/")):
        yield from _stamped(label, name, path)


def _is_source(name: str) -> bool:
    return name not in _EXCLUDED and not name.startswith("credentials") and not name.endswith(".pyc")


def _stamped(label: str, name: str, path: str) -> Iterator[_File]:
    """Yield the file at a path, if it is one."""
    try:
        found = os.stat(path)  # noqa: PTH116 - of every source file, before each run
    except FileNotFoundError:
        return
    if stat.S_ISREG(found.st_mode):
        yield _File(label, name, path, found.st_size, found.st_mtime_ns, found.st_ino)
