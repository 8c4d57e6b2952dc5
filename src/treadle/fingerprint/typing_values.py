"""Look into values of `typing`: aliases, type variables, new types.

No code of the project is called, except for the value of a `type` statement, which Python computes when it is read. State: none.
"""

from __future__ import annotations

import contextlib
import types
import typing
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_MOST = 1000
"""Parts of an annotation that are looked at; a `type` statement may refer to itself, by new values each time."""


def typing_parts(value: Any) -> tuple[Any, ...]:
    """Return the values that a value of `typing` consists of, in order."""
    arguments = _read(value, "__args__")
    found = [*arguments] if isinstance(arguments, tuple) else []
    for name in ("__origin__", "__supertype__", "__bound__", "__constraints__", "__value__"):
        part = _read(value, name)
        found += part if isinstance(part, tuple) else [] if part is None or part is value else [part]
    return tuple(found)


def is_of_typing(value: Any) -> bool:
    """Return whether a value is an alias, a type variable, a union or another value of `typing`."""
    kind = type(value)
    return kind in _KINDS or kind.__module__ == "typing"


def classes_in(annotation: Any) -> Iterator[type]:
    """Yield the classes in an annotation: `list[Model] | None` contains `Model`."""
    seen: dict[int, Any] = {}  # with the values, so that their ids stay their own
    pending = [annotation]
    while pending and len(seen) < _MOST:
        value = pending.pop()
        if id(value) in seen:
            continue
        seen[id(value)] = value
        if is_of_typing(value):
            pending += typing_parts(value)
        elif isinstance(value, type):
            yield value


_KINDS = {types.GenericAlias, type(int | str), typing.TypeVar, typing.ParamSpec}


def _read(value: Any, name: str) -> Any:
    with contextlib.suppress(Exception):  # a `type` statement may name what is not there
        return getattr(value, name, None)
    return None
