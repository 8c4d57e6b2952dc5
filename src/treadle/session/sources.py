"""A digest of what a run is made of: the project's code and configuration, as their files are.

A commit identifies them only where nothing differs from it; the digest also tells two sets of changes apart that are not
committed. Files of credentials are left out, as their content could be guessed from it.

Keeps no state. Neighbours: `recording.py` takes it when a run begins, `rerun.py` compares it.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_LEFT_OUT = frozenset({"__pycache__", ".ipynb_checkpoints"})
_LARGEST = 4_000_000
"""Bytes; a larger file is no source, and counts by its size."""


def sources_digest(package_name: str, project_path: Path, conf_source: Path) -> str | None:
    """Take the digest of a project's code and configuration.

    Args:
        package_name: the project's package, which can be found on `sys.path`.
        project_path: the project's folder.
        conf_source: the folder or archive of its configuration.

    Returns:
        Hexadecimal digits; None where the package is not found or a file cannot be read.
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
        is_source = _LEFT_OUT.isdisjoint(inside.parts) and not any(part.startswith("credentials") for part in inside.parts)
        if is_source and file.suffix != ".pyc" and file.is_file():
            yield file


def _content(file: Path) -> bytes:
    size = file.stat().st_size
    content = file.read_bytes() if size <= _LARGEST else b""
    return f"{size}\0".encode() + content
