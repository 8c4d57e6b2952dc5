"""Compute a digest of a project's code and configuration files.

A commit identifies the sources only if nothing is modified; the digest also distinguishes uncommitted changes. Credentials files
are excluded, because short secrets could be guessed from a digest.

State: none. Neighbours: `recording.py` records the digest when a run begins, `rerun.py` compares it.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_EXCLUDED = frozenset({"__pycache__", ".ipynb_checkpoints"})
_MAX_SIZE = 4_000_000
"""In bytes; a larger file is not considered a source, and only its size is included."""


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
    digest = hashlib.blake2b(digest_size=16)
    places = [Path(place) for place in spec.submodule_search_locations or ()] or [Path(str(spec.origin))]
    try:
        for label, place in (*(("code", place) for place in places), ("configuration", conf_source)):
            for file in _files(place):
                name = file.relative_to(place).as_posix() if file != place else ""
                digest.update(f"{label}\0{name}\0".encode(errors="surrogateescape"))
                digest.update(_content(file))
        metadata = project_path / "pyproject.toml"
        digest.update(_content(metadata) if metadata.is_file() else b"")
    except OSError:
        return None
    return digest.hexdigest()


def _files(place: Path) -> Iterator[Path]:
    if place.is_file():
        yield place
    for file in sorted(place.rglob("*")) if place.is_dir() else ():
        inside = file.relative_to(place)
        is_source = _EXCLUDED.isdisjoint(inside.parts) and not any(part.startswith("credentials") for part in inside.parts)
        if is_source and file.suffix != ".pyc" and file.is_file():
            yield file


def _content(file: Path) -> bytes:
    size = file.stat().st_size
    content = file.read_bytes() if size <= _MAX_SIZE else b""
    return f"{size}\0".encode() + content
