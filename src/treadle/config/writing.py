"""Params written as text that is read back as the same values: the inverse of `params.py`.

No state. Neighbours: the session writes the command that resumes a run with it, and makes the params of a record plain.
"""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from datetime import date, datetime, time
from enum import Enum
from numbers import Integral, Real
from pathlib import PurePath
from typing import Any

from treadle.config.params import parse_params
from treadle.config.parsing import MAX_DEPTH, loader_class
from treadle.errors import ConfigError

_MAX_REPR = 500
"""Characters kept of the repr of an object that YAML has no word for."""
_PROBE = "treadle-probe"
"""A second param behind the one that is tried, to see that the first one ends where it should."""


class TextOf(str):
    """The repr of an object that cannot be written: it can be shown, and stands for no value."""

    __slots__ = ()


def yaml_value(value: Any, depth: int = 0) -> Any:
    """Make a value that YAML can say with its type.

    Args:
        value: anything.
        depth: how deep it lies in what is being made plain.

    Returns:
        None, a bool, int, float, str, bytes, date or datetime; or a new list, set or dict of such values. A tuple becomes a list,
        an Enum its value, a path or a time its text, and any other object a `TextOf`.
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
    """Write params as they are typed.

    Args:
        params: nested params.

    Returns:
        `a=1,b.c=x`; where a key or a value cannot be written so (a key with a dot, a number as a key, bytes, a date), one mapping
        in YAML's flow style: `{a: 1, 2020: x}`. `parse_params` reads either with every type that YAML has.
    """
    plain = yaml_value(params)
    pairs = list(_pairs(plain, ""))
    if all(text is not None for _, text in pairs):
        return ",".join(f"{key}={text}" for key, text in pairs)
    return dump_flow(plain)


def dump_flow(value: Any) -> str:
    """Write a value in YAML's flow style on one line, as configuration is read here.

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
    return TextOf(text if len(text) <= _MAX_REPR else f"{text[:_MAX_REPR]}…")


def _yaml_key(key: Any) -> Any:
    plain = yaml_value(key, MAX_DEPTH - 1)
    return f"{key}" if isinstance(plain, (list, dict, set, TextOf)) else plain


def _pairs(params: Mapping[Any, Any], prefix: str) -> Iterator[tuple[str, str | None]]:
    """Yield dotted keys with the text of their values; None if the short form cannot say it."""
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
    """Write a value in the shortest way that is read back as the same."""
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
    """Make the writer once: it leaves out a tag or quotes only where our reader takes the bare text for the same value."""
    import base64

    import yaml

    def text(dumper: Any, value: str) -> Any:
        return dumper.represent_scalar("tag:yaml.org,2002:str", str(value), style=None if value.isprintable() else '"')

    def binary(dumper: Any, value: bytes) -> Any:
        return dumper.represent_scalar("tag:yaml.org,2002:binary", base64.b64encode(value).decode("ascii"), style='"')

    def number(dumper: Any, value: int) -> Any:
        # Python converts no more than some thousand digits to decimal text
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
