"""Convert values to types that JSON and every database can store, without loss if possible.

A record is written at the end of a run, often after an error, so an unusual value in it (a NUL in a message, a lone surrogate
in a path, a NaN, an object as a param) must not prevent the record from being saved.

State: none. Neighbours: `rows.py` converts each column, `typed_json.py` converts params.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import date, time
from enum import Enum
from pathlib import PurePath
from typing import Any

from treadle.secrets.known import mask_secrets

MAX_DEPTH = 40
"""Containers nested deeper are cut off, such as a list that contains itself."""
MAX_REPR = 500
"""Maximum length of the repr of an object that JSON cannot represent."""
_PLAIN = frozenset({str, int, type(None)})
"""Types of values that JSON can represent; not of a float, which may be a NaN."""


def plain_text(text: str) -> str:
    """Convert a string to one that every database accepts.

    Args:
        text: any string.

    Returns:
        The string, with NUL characters and lone surrogates escaped.
    """
    if text.isascii() and "\0" not in text:  # nearly all texts
        return text
    return text.replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode("utf-8")


def plain_texts(texts: Sequence[str]) -> Sequence[str]:
    """Convert strings like `plain_text`, in a tenth of the time if all are ASCII.

    Args:
        texts: any strings.
    """
    if _are_plain(texts):
        return texts
    return [plain_text(text) for text in texts]


def plain_value(value: Any, depth: int = 0) -> Any:
    """Convert a value to one that JSON can represent.

    Args:
        value: any value.
        depth: its nesting depth.

    Returns:
        None, a bool, a finite number, a string, or a new list or dict (with string keys) of such values. Other values become
        strings: a path, a date, a NaN, or the beginning of the repr.
    """
    if isinstance(value, Enum):
        value = value.value
    if value is None or isinstance(value, (bool, int, float, str)):
        return _plain_scalar(value)
    if depth >= MAX_DEPTH:
        return "…"
    if isinstance(value, Mapping):
        if _has_plain_texts(value):
            return dict(value)
        return {plain_text(str(key)): plain_value(item, depth + 1) for key, item in value.items()}
    if isinstance(value, AbstractSet):
        value = sorted(value, key=repr)
    if isinstance(value, (list, tuple)):
        return [plain_value(item, depth + 1) for item in value]
    return plain_text(str(value)) if isinstance(value, (PurePath, date, time)) else _repr(value)


def plain_tuples(records: Iterable[Any]) -> list[dict[str, Any]]:
    """Convert named tuples to dictionaries like `plain_value`, in a third of the time if they are plain and ASCII.

    Args:
        records: named tuples, mostly of strings, integers and None. A dataset of a project may put other values into its records.
    """
    rows = [dict(zip(record._fields, record, strict=True)) for record in records]
    values = [each for row in rows for each in row.values()]
    if _PLAIN.issuperset(map(type, values)) and _are_plain([each for each in values if type(each) is str]):
        return rows
    return [plain_value(row) for row in rows]


def _has_plain_texts(value: Mapping[Any, Any]) -> bool:
    """Return whether all keys and values are ASCII strings, as in a long list of installed versions, without a loop in Python."""
    return {*map(type, value), *map(type, value.values())} == {str} and _are_plain(value) and _are_plain(value.values())


def _are_plain(texts: Iterable[str]) -> bool:
    joined = "".join(texts)
    return joined.isascii() and "\0" not in joined


def _plain_scalar(value: Any) -> Any:
    if isinstance(value, str):
        return plain_text(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def _repr(value: Any) -> str:
    try:
        text = repr(value)
    except Exception as broken:  # noqa: BLE001 - a user's __repr__ may raise anything, and the record must still be written
        text = f"<{type(value).__name__}, whose repr raises {type(broken).__name__}>"
    if len(text) > MAX_REPR:  # half of a secret would not be masked later
        text = f"{mask_secrets(text)[:MAX_REPR]}…"
    return plain_text(text)
