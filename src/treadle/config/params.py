"""Parse parameters from the command line (`model.a=5,b=x`), and merge nested mappings.

State: none. Neighbours: `loader.py` merges runtime parameters over those of files; the command line parses `--params` with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from treadle.config.parsing import MAX_DEPTH, parse_scalar, parse_value
from treadle.errors import ConfigError

_OPENING = {"[": "]", "{": "}", "(": ")"}
_BEFORE_QUOTE = "[{(,:"
"""Inside brackets, a quote begins a string only after one of these; elsewhere it is a plain character, as in `[it's]`."""


def parse_params(text: str) -> dict[str, Any]:
    """Parse parameters from the command line: `key=value` pairs separated by commas.

    A dot in a key denotes nesting. A value is read as in a configuration file: a number, `true`, `null`, a list `[1, 2]` or
    mapping `{a: 1}` in YAML's flow style, a quoted string, or otherwise a plain string. A comma ends a value, except inside
    quotes or brackets. Instead of pairs, the text may be one mapping in YAML's flow style, which allows any keys.

    Args:
        text: the text to parse.

    Returns:
        The nested parameters.

    Raises:
        ConfigError: a pair has no `=`, a key is empty or repeated, a value is not valid YAML, or a quote or bracket is not
            closed.

    Example:
        >>> parse_params("model.a=5,model.b=x,cols=[id, day]")
        {'model': {'a': 5, 'b': 'x'}, 'cols': ['id', 'day']}
        >>> parse_params("{2020: x, 'a.b': 1}")
        {2020: 'x', 'a.b': 1}
    """
    if text.lstrip().startswith("{"):
        mapping = _yaml(text, None)
        if not isinstance(mapping, dict):
            msg = "The parameters begin with '{' and are not one mapping. Write {key: value} and nothing else, or key=value."
            raise ConfigError(msg)
        return mapping
    result: dict[str, Any] = {}
    for pair in _split(text):
        key, equals, value = pair.partition("=")
        if not equals:
            msg = f"The parameter {pair.strip()!r} has no '='. Write key=value and separate pairs with commas."
            raise ConfigError(msg, key=pair.strip())
        _place(result, key.strip(), _typed(value.strip(), key.strip()))
    return result


def merge_params(base: Mapping[Any, Any], over: Mapping[Any, Any]) -> dict[Any, Any]:
    """Merge one nested mapping over another, without modifying either.

    Args:
        base: the base mapping.
        over: the overriding mapping. If both have a mapping under a key, these are merged; otherwise this one's value is used.

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
    if len(parts) > MAX_DEPTH:
        msg = f"A parameter has a name of {len(parts)} parts between dots; {MAX_DEPTH} is the most."
        raise ConfigError(msg)
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
    start = position = 0
    in_key = True
    while position < len(text):
        character = text[position]
        if character == ",":
            pairs.append(text[start:position])
            start, in_key = position + 1, True
        elif character == "=" and in_key:
            position, in_key = _end_of_value(text, position + 1), False
            continue
        position += 1
    pairs.append(text[start:])
    return [pair for pair in pairs if pair.strip()]


def _end_of_value(text: str, start: int) -> int:
    """Return the end of a value that begins with a quote or bracket; for any other value, return the start."""
    start += len(text[start:]) - len(text[start:].lstrip())
    opening = text[start : start + 1]
    if opening in ("'", '"'):
        return _end_of_quotes(text, start)
    if opening not in _OPENING:
        return start
    closing = [_OPENING[opening]]
    position = start + 1
    while position < len(text):
        character = text[position]
        if character in "\"'" and text[:position].rstrip()[-1:] in _BEFORE_QUOTE:
            position = _end_of_quotes(text, position)
            continue
        if character in _OPENING:
            closing.append(_OPENING[character])
        elif character == closing[-1]:
            closing.pop()
            if not closing:
                return position + 1
        position += 1
    raise _unclosed(text, closing[-1])


def _end_of_quotes(text: str, start: int) -> int:
    """Return the position after a quoted string. As in YAML, double quotes have backslash escapes, single quotes are doubled."""
    quote = text[start]
    position = start + 1
    while position < len(text):
        character = text[position]
        if character == "\\" and quote == '"':
            position += 1
        elif character == quote:
            if quote == '"' or text[position + 1 : position + 2] != quote:
                return position + 1
            position += 1
        position += 1
    raise _unclosed(text, quote)


def _unclosed(text: str, closing: str) -> ConfigError:
    shown = text if len(text) <= 80 else f"{text[:80]}…"
    msg = f"The parameters {shown!r} end before {closing} closes. Close it, and quote the whole for your shell."
    return ConfigError(msg)


def _typed(text: str, key: str) -> Any:
    if text[:1] in ("[", "{") or (text[:1] in ("'", '"') and _end_of_quotes(text, 0) == len(text)):
        return _yaml(text, key)
    try:
        return parse_scalar(text)
    except ConfigError as exc:
        msg = f"The parameter {key!r} cannot be read: {exc.args[0]}"
        raise ConfigError(msg, key=key) from None


def _yaml(text: str, key: str | None) -> Any:
    try:
        return parse_value(text, "the parameters" if key is None else f"the parameter {key!r}")
    except ConfigError as exc:
        exc.key = exc.key or key
        raise
