"""Values made plain: what every database and JSON can hold, without loss where that is possible.

A record is written when a run is over, often because something broke, so a strange value in it (a NUL in a message, a
lone surrogate in a path, a NaN, an object as a param) must never be the reason that nothing is remembered.

No state. Neighbours: `rows.py` calls it for each column, `treadle.session` for the params it records.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from datetime import date, time
from enum import Enum
from pathlib import PurePath
from typing import Any

MAX_DEPTH = 40
"""Containers nested deeper are cut off: a list that holds itself must end somewhere."""
MAX_REPR = 500
"""Characters kept of the repr of an object that JSON has no word for."""


def plain_text(text: str) -> str:
    """Make a text that every database takes.

    Args:
        text: any text.

    Returns:
        The text, with NUL characters and lone surrogates written as escapes.
    """
    return text.replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode("utf-8")


def plain_value(value: Any, depth: int = 0) -> Any:
    """Make a value that JSON can say.

    Args:
        value: anything.
        depth: how deep it lies in what is being made plain.

    Returns:
        None, a bool, a finite number, a text, or a new list or dict (with text keys) of such values. What JSON has no
        word for becomes its text: a path, a date, a NaN, or the beginning of its repr.
    """
    if isinstance(value, Enum):
        value = value.value
    if value is None or isinstance(value, (bool, int, float, str)):
        return _plain_scalar(value)
    if depth >= MAX_DEPTH:
        return "…"
    if isinstance(value, Mapping):
        return {plain_text(str(key)): plain_value(item, depth + 1) for key, item in value.items()}
    if isinstance(value, AbstractSet):
        value = sorted(value, key=repr)
    if isinstance(value, (list, tuple)):
        return [plain_value(item, depth + 1) for item in value]
    return plain_text(str(value)) if isinstance(value, (PurePath, date, time)) else _repr(value)


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
    return plain_text(text if len(text) <= MAX_REPR else f"{text[:MAX_REPR]}…")
