"""Which database a dataset shares with others, where that database may be open in one process only.

A file of DuckDB is locked by the process that has it open, and lazy tables of an embedded database can only be joined in the
process that holds its connection. Such datasets are found by their catalog entry, or by the attributes of the object: a
connection with an embedded backend, an address or a path of DuckDB. State: none. Neighbours: `dataset` and `recipe` put the
answer into the capabilities, `treadle.planning.exclusive` goes by it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any, Final

_BACKENDS: Final = frozenset({"duckdb", "sqlite", "datafusion", "polars"})
"""Backends of ibis that live in the process that uses them."""
_CONNECTIONS: Final = ("connection", "_connection_config")
"""Keys of catalog entries, and attributes of datasets, that say how ibis connects."""
_SUFFIXES: Final = (".duckdb", ".ddb")
_ADDRESS: Final = "duckdb:"
_IN_MEMORY: Final = ":memory:"
_DEPTH: Final = 3


def shared_database(facts: Mapping[str, Any], project_path: str | None = None) -> str | None:
    """Name the database that a dataset shares.

    Args:
        facts: a catalog entry, or the attributes of a dataset.
        project_path: the folder that relative paths start from; None for the working directory.

    Returns:
        A name that is equal for all datasets of that database; None if there is none that must be open in one process only,
        such as one that is opened to read alone.
    """
    if str(facts.get("type")).endswith("ibis.TableDataset") and not facts.get("connection"):
        return f"duckdb {_IN_MEMORY}"  # what that class connects to by itself
    return next(_databases(facts, project_path or ".", _DEPTH), None)


def _databases(value: Any, base: str, depth: int) -> Iterator[str]:
    if isinstance(value, Mapping):
        if value.get("read_only") is True:
            return
        for key, each in value.items() if depth else ():
            backend = each.get("backend") if key in _CONNECTIONS and isinstance(each, Mapping) else None
            if backend in _BACKENDS and each.get("read_only") is not True:
                yield f"{backend} {_absolute(str(each.get('database') or each.get('path') or _IN_MEMORY), base)}"
            else:
                yield from _databases(each, base, depth - 1)
    elif isinstance(value, (str, PurePath)):
        text = os.fspath(value)
        if text.startswith(_ADDRESS):
            text = text.removeprefix(_ADDRESS).partition("?")[0].removeprefix("//").removeprefix("/") or _IN_MEMORY
            yield f"duckdb {_absolute(text, base)}"
        elif text.endswith(_SUFFIXES) and "\n" not in text:
            yield f"duckdb {_absolute(text, base)}"


def _absolute(place: str, base: str) -> str:
    return place if place == _IN_MEMORY or "://" in place else os.path.normpath(Path(base).absolute() / place)
