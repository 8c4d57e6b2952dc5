"""Encode params as JSON with their types: a value that JSON cannot represent becomes a mapping with one key, its type.

    {"rate": NaN, 2020: "x"}  ⇄  {"!map": [["rate", {"!float": "nan"}], [2020, "x"]]}

So a recorded run can be repeated with identical params. State: none. Neighbours: `rows.py` encodes the columns of params.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Mapping
from datetime import date, datetime
from types import MappingProxyType
from typing import Any, Final

from treadle.config.writing import TextOf, yaml_value
from treadle.observe.store.plain import plain_text

_LARGEST_BITS = 1024
"""Larger integers are written in hexadecimal, which has no limit on the number of digits."""


def encode(value: Any) -> Any:
    """Encode a value for JSON, keeping its type.

    Args:
        value: params of a session record; values of other types are converted first.

    Returns:
        Strings, numbers, booleans, None, lists and dicts with string keys.
    """
    return _encode(yaml_value(value))


def decode(value: Any) -> Any:
    """Decode an encoded value; plain JSON written by an earlier version is returned unchanged.

    Args:
        value: from `encode`, read back from JSON.
    """
    if isinstance(value, list):
        return [decode(item) for item in value]
    if not isinstance(value, dict):
        return value
    tag = next(iter(value)) if len(value) == 1 else ""
    if tag in _DECODERS:
        return _DECODERS[tag](value[tag])
    return {key: decode(item) for key, item in value.items()}


def _encode(value: Any) -> Any:
    encoder = _ENCODERS.get(type(value))
    return value if encoder is None else encoder(value)


def _encode_text(value: str) -> Any:
    return value if plain_text(value) == value else {"!text": value.encode("unicode_escape").decode("ascii")}


def _encode_mapping(value: Mapping[Any, Any]) -> dict[str, Any]:
    plain = all(isinstance(key, str) and plain_text(key) == key for key in value)
    if plain and not (len(value) == 1 and next(iter(value)).startswith("!")):
        return {key: _encode(item) for key, item in value.items()}
    return {"!map": [[_encode(key), _encode(item)] for key, item in value.items()]}


_ENCODERS: Final[Mapping[type[Any], Callable[[Any], Any]]] = MappingProxyType(
    {
        TextOf: lambda value: {"!repr": plain_text(value)},
        str: _encode_text,
        int: lambda value: value if value.bit_length() <= _LARGEST_BITS else {"!int": hex(value)},
        float: lambda value: value if math.isfinite(value) else {"!float": str(value)},
        bytes: lambda value: {"!bytes": base64.b64encode(value).decode("ascii")},
        datetime: lambda value: {"!datetime": value.isoformat()},
        date: lambda value: {"!date": value.isoformat()},
        set: lambda value: {"!set": [_encode(item) for item in sorted(value, key=repr)]},
        list: lambda value: [_encode(item) for item in value],
        dict: _encode_mapping,
    }
)
_DECODERS: Final[Mapping[str, Callable[[Any], Any]]] = MappingProxyType(
    {
        "!repr": TextOf,
        "!text": lambda text: text.encode("ascii").decode("unicode_escape"),
        "!int": lambda text: int(text, 16),
        "!float": float,
        "!bytes": base64.b64decode,
        "!datetime": datetime.fromisoformat,
        "!date": date.fromisoformat,
        "!set": lambda items: {decode(item) for item in items},
        "!map": lambda pairs: {decode(key): decode(item) for key, item in pairs},
    }
)
