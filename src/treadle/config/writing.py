"""Format params as text that parses back to the same values: the inverse of `params.py`.

State: none. Neighbours: a session formats the command that resumes a run with it, and converts the params of its record.
"""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from datetime import date, datetime, time
from enum import Enum
from pathlib import PurePath
from typing import Any

from treadle.config.params import parse_params
from treadle.config.parsing import MAX_DEPTH, loader_class
from treadle.errors import ConfigError
from treadle.secrets.known import mask_secrets

_MAX_REPR = 500
"""Maximum length of the repr of an object that YAML cannot represent."""
_PROBE = "treadle-probe"
"""Name of a param for testing a text; a second param after it shows whether the first one ends correctly."""


class TextOf(str):
    """The repr of an object that cannot be written as YAML: for display only, not a value."""

    __slots__ = ()


def yaml_value(value: Any, depth: int = 0) -> Any:
    """Convert a value to one that YAML can represent with its type.

    Args:
        value: anything.
        depth: its nesting depth in the value that is being converted.

    Returns:
        None, a bool, int, float, str, bytes, date or datetime; or a new list, set or dict of such values. A tuple becomes a list,
        an Enum its value, a path or a time a string, and any other object a `TextOf`.
    """
    if isinstance(value, Enum):
        value = value.value
    if value is None or type(value) in (bool, int, float, str, bytes, date, datetime, TextOf):
        return value
    if depth >= MAX_DEPTH:
        return "…"
    if isinstance(value, Mapping):
        return {_yaml_key(key): yaml_value(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [yaml_value(item, depth + 1) for item in value]
    if isinstance(value, AbstractSet):
        elements = [_yaml_key(item) for item in sorted(value, key=repr)]
        return set(elements)
    return _plain_object(value)


def format_params(params: Mapping[str, Any]) -> str:
    """Format params for the command line.

    Args:
        params: nested params.

    Returns:
        `a=1,b.c=x`; or, if this form cannot represent a key or value (a key with a dot, a number as a key, bytes, a date), one
        mapping in YAML's flow style: `{a: 1, 2020: x}`. `parse_params` reads both forms back with the same types.
    """
    plain = yaml_value(params)
    pairs = list(_pairs(plain, ""))
    if all(text is not None for _, text in pairs):
        return ",".join(f"{key}={text}" for key, text in pairs)
    return dump_flow(plain)


def dump_flow(value: Any) -> str:
    """Format a value in YAML's flow style on one line, as Treadle parses configuration.

    Args:
        value: from `yaml_value`.

    Returns:
        The text.
    """
    import yaml

    text: str = yaml.dump(value, Dumper=_dumper_class(), default_flow_style=True, width=sys.maxsize, sort_keys=False)
    return text.removesuffix("\n").removesuffix("\n...")


def same_value(one: Any, other: Any) -> bool:
    """Return whether two plain values are equal in value and type; NaN equals itself.

    Args:
        one: from `yaml_value`, or read from configuration.
        other: likewise.
    """
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return one == other or (math.isnan(one) and math.isnan(other))
    if isinstance(one, Mapping):
        return same_value([*one.keys(), *one.values()], [*other.keys(), *other.values()])
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same_value, one, other))
    return bool(one == other)


def _plain_object(value: Any) -> Any:
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    from numbers import Integral, Real

    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value)
    if isinstance(value, (str, PurePath, time, date)):
        return f"{value}"
    try:
        text = repr(value)
    except Exception as broken:  # noqa: BLE001 - a user's __repr__ may raise anything
        text = f"<{type(value).__name__}, whose repr raises {type(broken).__name__}>"
    if len(text) > _MAX_REPR:  # half of a secret would not be masked later
        text = f"{mask_secrets(text)[:_MAX_REPR]}…"
    return TextOf(text)


def _yaml_key(key: Any) -> Any:
    plain = yaml_value(key, MAX_DEPTH - 1)
    return f"{key}" if isinstance(plain, (list, dict, set, TextOf)) else plain


def _pairs(params: Mapping[Any, Any], prefix: str) -> Iterator[tuple[str, str | None]]:
    """Yield dotted keys with their values as text; None if the short form cannot represent the value."""
    for key, value in params.items():
        if not _is_plain_key(key):
            yield prefix, None
        elif isinstance(value, dict) and value and all(map(_is_plain_key, value)):
            yield from _pairs(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", _short(value)


def _is_plain_key(key: Any) -> bool:
    return isinstance(key, str) and bool(key) and key == key.strip() and not set(key) & set(".,='\"[]{}()")


def _short(value: Any) -> str | None:
    """Format a value as the shortest text that parses back to it; None if there is none."""
    candidates = [str(value)] if isinstance(value, str) else []
    for text in (*candidates, dump_flow(value)):
        try:
            read = parse_params(f"{_PROBE}={text},{_PROBE}-2=1")
        except ConfigError:
            continue
        if same_value(read, {_PROBE: str(value) if isinstance(value, str) else value, f"{_PROBE}-2": 1}):
            return text
    return None


@functools.cache
def _dumper_class() -> Any:
    """Create the YAML dumper, once. It omits tags and quotes only if Treadle's parser reads the bare text as the same value."""
    import base64

    import yaml

    def text(dumper: Any, value: str) -> Any:
        return dumper.represent_scalar("tag:yaml.org,2002:str", str(value), style=None if value.isprintable() else '"')

    def binary(dumper: Any, value: bytes) -> Any:
        return dumper.represent_scalar("tag:yaml.org,2002:binary", base64.b64encode(value).decode("ascii"), style='"')

    def number(dumper: Any, value: int) -> Any:
        # Python limits the conversion of very large integers to decimal text.
        written = str(value) if value.bit_length() < 10_000 else hex(value)
        return dumper.represent_scalar("tag:yaml.org,2002:int", written)

    class ParamsDumper(yaml.SafeDumper):
        yaml_implicit_resolvers = loader_class().yaml_implicit_resolvers

        def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML's own name
            return True

    ParamsDumper.add_representer(str, text)
    ParamsDumper.add_representer(TextOf, text)
    ParamsDumper.add_representer(bytes, binary)
    ParamsDumper.add_representer(int, number)
    return ParamsDumper
