"""Look through lists, dictionaries and sets, and copy those of constants, without a step of Python code for each item.

A constant is an object that cannot change, or that even a deep copy does not copy: a number, a string, a date, a function. A
built-in method is none, because it refers to its object: `random.Random(1).random` changes with each call.
State: none. Neighbours: `copying` copies all other values; `values/ownership.py` passes containers on without a copy.
"""

from __future__ import annotations

import re
import types
from itertools import chain
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

_CONSTANTS: Final[frozenset[type]] = frozenset(
    {
        type(None), type(...), type(NotImplemented), bool, int, float, complex, str, bytes, range, re.Pattern,
        types.FunctionType, types.ModuleType, type,
    }
)  # fmt: skip

_RARE_CONSTANTS: Final = MappingProxyType(
    {
        "datetime": ("date", "datetime", "time", "timedelta", "timezone"),
        "decimal": ("Decimal",),
        "fractions": ("Fraction",),
        "pathlib": ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath"),
        "uuid": ("UUID",),
    }
)
"""Others, by module and name: every worker imports this module, and few need these."""

CONTAINERS: Final = frozenset({dict, list, set})
"""The types whose items are looked at; not their subclasses, which may have attributes."""

CONSTANT_CONTAINERS: Final = frozenset({tuple, frozenset})
"""The types that cannot change, although their items may."""


def is_constant_type(kind: type) -> bool:
    """Return whether all values of a type are constants."""
    if kind in _CONSTANTS:
        return True
    module: Any = kind.__module__  # a class may have set it to anything
    return isinstance(module, str) and kind.__qualname__ in _RARE_CONSTANTS.get(module.partition(".")[0], ())


def types_of_others(items: Iterable[Any]) -> set[type]:
    """Return the types of the items that are not constants.

    Args:
        items: any objects. They are looked at in C code, which takes about 20 ns for each.
    """
    return {kind for kind in set(map(type, items)) if not is_constant_type(kind)}


def copy_container(value: Any) -> Any | None:
    """Copy a container of constants. Where it has containers in it, pickling is as fast.

    Args:
        value: anything.

    Returns:
        The copy; None if the value is anything else.
    """
    if type(value) not in CONTAINERS:
        return None
    items = chain(value, value.values()) if type(value) is dict else value
    return None if types_of_others(items) else value.copy()
