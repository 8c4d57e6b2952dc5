"""Read the state of instances without calling code of their classes. State: none. Neighbour: `values` describes the state."""

from __future__ import annotations

import builtins
import collections
import os
import sys
import types
from datetime import tzinfo
from typing import TYPE_CHECKING, Any

from treadle.python_classes import is_python_class

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

MAPPINGS = (dict, types.MappingProxyType, getattr(builtins, "frozendict", dict))
"""Mappings; `frozendict` exists since Python 3.15."""
CONTAINERS = (list, tuple, *MAPPINGS, set, frozenset, collections.deque)
"""Types whose elements are described one by one."""
LEAVES = (str, int, float, complex, bytes, bytearray)
"""Types whose values are described by themselves."""


def own_attributes(value: Any) -> dict[str, Any]:
    """Read the attributes of an instance from its `__dict__` and its slots, without calling code of its class."""
    found: dict[str, Any] = {}
    for each in type(value).__mro__:
        for name, descriptor in vars(each).items():
            if name == "__dict__" and type(descriptor) in {types.GetSetDescriptorType, types.MemberDescriptorType}:
                found.update((str(key), item) for key, item in descriptor.__get__(value).items())
            elif type(descriptor) is types.MemberDescriptorType and "__slots__" in vars(each):
                try:
                    found.setdefault(name, descriptor.__get__(value))
                except AttributeError:
                    continue  # a slot without a value
    return found


def plain_leaf(value: Any, base: type) -> Any:
    """Return the content of an instance of a class that extends a type of `LEAVES`, without calling code of its class.

    Args:
        value: the instance.
        base: the type.
    """
    return _PLAIN_LEAF[base](value)


def items_of(value: Any) -> Iterable[tuple[Any, Any]]:
    """Return the keys and values of a mapping, in order, without calling code of its class."""
    for kind in (collections.OrderedDict, dict):  # an ordered dictionary has an order of its own
        if issubclass(type(value), kind):
            return kind.items(value)
    found: Iterable[tuple[Any, Any]] = value.items()
    return found


def elements_of(value: Any) -> Iterator[Any]:
    """Return the elements of a list, tuple, set or deque, without calling code of its class."""
    base: Any = next(each for each in CONTAINERS if issubclass(type(value), each))
    found: Iterator[Any] = base.__iter__(value)
    return found


_PLAIN_LEAF: dict[type, Callable[[Any], Any]] = {
    str: str.__str__,
    int: int.__pos__,
    float: float.__pos__,
    complex: complex.__pos__,
    bytes: lambda value: bytes.__getitem__(value, slice(None)),
    bytearray: lambda value: bytearray.__getitem__(value, slice(None)),
}
"""Methods that return an instance of exactly the type; `str(value)` would call the `__str__` of the value's class."""


def is_of_process(value: Any) -> bool:
    """Return whether a value is the environment or a standard stream, which do not count."""
    streams = (sys.stdin, sys.stdout, sys.stderr, sys.__stdin__, sys.__stdout__, sys.__stderr__)
    return any(value is each for each in (os.environ, *streams))


def has_readable_state(kind: type) -> bool:
    """Return whether the attributes and the content are the whole state: no class on the way has fields of its own in C."""
    return all(is_python_class(each) for each in kind.__mro__ if each not in _TRANSPARENT and not _is_builtin_exception(each))


_TRANSPARENT = frozenset(
    {object, *CONTAINERS, *LEAVES, collections.OrderedDict, collections.defaultdict, types.SimpleNamespace, tzinfo}
)


def _is_builtin_exception(kind: type) -> bool:
    return issubclass(kind, BaseException) and kind.__module__ == "builtins"
