"""Read the state of instances without calling code of their classes. State: none. Neighbour: `values` describes the state."""

from __future__ import annotations

import builtins
import collections
import types
from typing import Any

from treadle.python_classes import is_python_class

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


def has_readable_state(kind: type) -> bool:
    """Return whether the attributes and the content are the whole state: no class on the way has fields of its own in C."""
    return all(is_python_class(each) for each in kind.__mro__ if each not in _TRANSPARENT and not _is_builtin_exception(each))


_TRANSPARENT = frozenset({object, *CONTAINERS, *LEAVES, collections.OrderedDict, collections.defaultdict, types.SimpleNamespace})


def _is_builtin_exception(kind: type) -> bool:
    return issubclass(kind, BaseException) and kind.__module__ == "builtins"
