"""Parameters typed on a command line, and the merging of nested mappings.

Job: turn `model.a=5,b=x` into nested, typed values, and lay one nested mapping over another. State: none. Neighbours:
`loader.py` lays runtime parameters over those of files; the command line parses `--params` here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from treadle.config.parsing import parse_value
from treadle.errors import ConfigError

_OPENING = {"[": "]", "{": "}", "(": ")"}
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)\Z")
_FLOAT = re.compile(r"[-+]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?\Z")
_WORDS: dict[str, Any] = {
    "true": True,
    "false": False,
    "null": None,
    "none": None,
    "~": None,
    ".inf": float("inf"),
    "-.inf": float("-inf"),
    ".nan": float("nan"),
}


def parse_params(text: str) -> dict[str, Any]:
    """Parse parameters as they are typed: `key=value` pairs with commas between them.

    A dot in a key nests. A value is a number, `true`, `false`, `null`, a list `[1, 2]` or mapping `{a: 1}` in YAML's flow
    style, or else a text; quotes keep a text a text and hide commas. Numbers with a leading zero stay texts, as do dates.

    Args:
        text: what was typed.

    Returns:
        The nested parameters.

    Raises:
        ConfigError: a pair lacks its `=`, a key is empty or given twice, or brackets or quotes do not close.

    Example:
        >>> parse_params("model.a=5,model.b=x,cols=[id, day]")
        {'model': {'a': 5, 'b': 'x'}, 'cols': ['id', 'day']}
    """
    result: dict[str, Any] = {}
    for pair in _split(text):
        key, equals, value = pair.partition("=")
        if not equals:
            msg = f"The parameter {pair.strip()!r} has no '='. Write key=value and separate pairs with commas."
            raise ConfigError(msg, key=pair.strip())
        _place(result, key.strip(), _typed(value.strip(), key.strip()))
    return result


def merge_params(base: Mapping[Any, Any], over: Mapping[Any, Any]) -> dict[Any, Any]:
    """Lay one nested mapping over another, leaving both as they are.

    Args:
        base: the mapping below.
        over: the mapping above; where both have a mapping under a key these are merged, else its value wins.

    Returns:
        A new mapping; mappings in it are new too, other values are shared.
    """
    merged = {key: merge_params(value, {}) if isinstance(value, Mapping) else value for key, value in base.items()}
    for key, value in over.items():
        if isinstance(value, Mapping):
            below = merged.get(key)
            merged[key] = merge_params(below if isinstance(below, Mapping) else {}, value)
        else:
            merged[key] = value
    return merged


def _place(result: dict[str, Any], key: str, value: Any) -> None:
    parts = [part.strip() for part in key.split(".")]
    if not all(parts):
        msg = f"The parameter {key + '='!r} has an empty name or an empty part between dots. Write key=value or group.key=value."
        raise ConfigError(msg, key=key)
    target: Any = result
    for part in parts[:-1]:
        target = target.setdefault(part, {})
        if not isinstance(target, dict):
            break
    if not isinstance(target, dict) or parts[-1] in target:
        msg = f"The parameter {key!r} is given twice, or both by itself and through a key below it. Keep one of them."
        raise ConfigError(msg, key=key)
    target[parts[-1]] = value


def _split(text: str) -> list[str]:
    """Split at commas outside quotes and brackets."""
    pairs: list[str] = []
    closing: list[str] = []
    quote = ""
    start = 0
    for position, character in enumerate(text):
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'" and _begins_value(text, position, closing):
            quote = character
        elif character in _OPENING and (closing or _begins_value(text, position, closing)):
            closing.append(_OPENING[character])
        elif closing and character == closing[-1]:
            closing.pop()
        elif character == "," and not closing:
            pairs.append(text[start:position])
            start = position + 1
    pairs.append(text[start:])
    if quote or closing:
        msg = f"The parameters {text!r} end before {quote or closing[-1]} closes. Close it, and quote the whole for your shell."
        raise ConfigError(msg)
    return [pair for pair in pairs if pair.strip()]


def _begins_value(text: str, position: int, closing: list[str]) -> bool:
    """Say whether a quote or bracket opens something, rather than being a letter of a text such as `it's`."""
    before = text[:position].rstrip()
    return before.endswith("=") or (bool(closing) and before[-1:] in "[{(,:")


def _typed(text: str, key: str) -> Any:
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "\"'":
        return text[1:-1]
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if _INT.match(text):
        return int(text)
    if _FLOAT.match(text):
        return float(text)
    if text[:1] in ("[", "{"):
        try:
            return parse_value(text, f"the parameter {key}")
        except ConfigError as exc:
            exc.key = key
            raise
    return text
