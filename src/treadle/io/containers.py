"""Look through lists, dictionaries and sets, and copy those of constants, without a step of Python code for each item.

A constant is an object that cannot change, or that even a deep copy does not copy: a number, a string, a date, a function. A
built-in method is none, because it refers to its object: `random.Random(1).random` changes with each call.
State: none. Neighbours: `copying` copies all other values; `values/ownership.py` passes containers on without a copy.
"""

from __future__ import annotations

import enum
import gc
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
        "numpy": (
            "bool", "bool_", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
            "float16", "float32", "float64", "complex64", "complex128", "datetime64", "timedelta64", "str_", "bytes_",
        ),
        "pandas": ("Timestamp", "Timedelta", "NaTType", "NAType"),
        "pathlib": ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath"),
        "uuid": ("UUID",),
    }
)  # fmt: skip
"""Others, by module and name: every worker imports this module, and few need these."""

_CONTAINERS: Final = frozenset({dict, list, set})
"""The types that are copied here; not their subclasses, which may have attributes."""

_FIXED_CONTAINERS: Final = frozenset({tuple, frozenset})
"""The types that cannot change, although their items may."""


def is_constant_type(kind: type) -> bool:
    """Return whether all values of a type are constants."""
    if kind in _CONSTANTS or issubclass(kind, (type, enum.Enum)):
        return True
    module: Any = kind.__module__  # a class may have set it to anything
    return isinstance(module, str) and kind.__qualname__ in _RARE_CONSTANTS.get(module.partition(".")[0], ())


def is_fixed_container(kind: type) -> bool:
    """Return whether a type is that of tuples, named tuples or frozen sets: they cannot change, although their items may."""
    if kind in _FIXED_CONTAINERS:
        return True
    return issubclass(kind, tuple) and not kind.__dictoffset__ and kind.__basicsize__ == tuple.__basicsize__


def types_of_others(items: Iterable[Any]) -> set[type]:
    """Return the types of the items that are not constants.

    Args:
        items: any objects. They are looked at in C code, which takes about 20 ns for each.
    """
    return {kind for kind in set(map(type, items)) if not is_constant_type(kind)}


def items_of_types(items: Iterable[Any], kinds: set[type]) -> list[Any]:
    """Return the items that have one of these types."""
    return [item for item in items if type(item) in kinds] if kinds else []


def copy_container(value: Any) -> Any | None:
    """Copy a container of constants, and of tuples of them. Where it has other containers in it, pickling is as fast.

    Args:
        value: anything.

    Returns:
        The copy; None if the value is anything else.
    """
    if type(value) not in _CONTAINERS:
        return None
    others = types_of_others(chain(value, value.values()) if type(value) is dict else value)
    if others:
        if not all(map(is_fixed_container, others)):
            return None
        fixed = items_of_types(gc.get_referents(value), others)
        if types_of_others(gc.get_referents(*fixed)):
            return None
    return value.copy()
