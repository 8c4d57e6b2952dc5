"""Find the database of a dataset, if only one process can have that database open.

The process that opens a DuckDB file locks it, and lazy tables of an embedded database can be joined only in the process with the
connection. Such datasets are recognised by their catalog entry or their attributes: a connection with an embedded backend, or the
URL or path of a DuckDB file. State: none. Neighbours: `dataset` and `recipe` add the result to the capabilities,
`treadle.planning.exclusive` runs the nodes of such datasets in one process.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any, Final

_BACKENDS: Final = frozenset({"duckdb", "sqlite", "datafusion", "polars"})
"""Ibis backends that run inside the process that uses them."""
_CONNECTIONS: Final = ("connection", "_connection_config")
"""Keys of catalog entries, and attributes of datasets, with the connection arguments of ibis."""
_SUFFIXES: Final = (".duckdb", ".ddb")
_ADDRESS: Final = "duckdb:"
_IN_MEMORY: Final = ":memory:"
_DEPTH: Final = 3


def shared_database(facts: Mapping[str, Any], project_path: str | None = None) -> str | None:
    """Return the name of the database of a dataset, if only one process can have it open.

    Args:
        facts: a catalog entry, or the attributes of a dataset.
        project_path: the folder that relative paths start from; None for the working directory.

    Returns:
        A name that is the same for all datasets of that database; None if several processes can open it, for example because it
        is read-only.
    """
    if str(facts.get("type")).endswith("ibis.TableDataset") and not facts.get("connection"):
        return f"duckdb {_IN_MEMORY}"  # the default connection of that class
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
