"""JSON schemas (draft 2020-12) of what commands print with `--json`: the files in this package. State: none."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

_ENDING = ".json"


def schema_names() -> tuple[str, ...]:
    """Return the names of all schemas, sorted."""
    return tuple(sorted(file.name[: -len(_ENDING)] for file in files(__name__).iterdir() if file.name.endswith(_ENDING)))


def read_schema(name: str) -> dict[str, Any]:
    """Read a schema.

    Args:
        name: its name, such as `snapshot`.

    Returns:
        The schema.

    Raises:
        FileNotFoundError: there is none of this name; `schema_names` lists all.
    """
    schema: dict[str, Any] = json.loads(files(__name__).joinpath(f"{name}{_ENDING}").read_text(encoding="utf-8"))
    return schema
