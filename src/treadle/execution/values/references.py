"""Decide of which types the garbage collector sees everything that an object refers to.

Runs wherever nodes run. State: none. Neighbour: `ownership` follows the references of such objects.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque
from types import MemberDescriptorType, SimpleNamespace
from typing import Final

_BUILT_IN: Final = frozenset({object, dict, list, set, tuple, frozenset, OrderedDict, defaultdict, deque, SimpleNamespace})
"""Types of the standard library: the garbage collector sees everything that their objects refer to."""

_POINTER: Final = tuple.__itemsize__
"""Size of a reference in bytes."""

_MADE_AT_RUN_TIME: Final = 1 << 9
_MANAGED_DICTIONARY: Final = 1 << 4
_MANAGED_WEAK_REFERENCES: Final = 1 << 3
"""Flags of a type (`Include/object.h` of CPython). The managed ones lie in front of an instance and do not count in its size."""


def has_visible_references(kind: type) -> bool:
    """Return whether `gc.get_referents` returns everything that an object of a type refers to.

    It does for containers of the standard library, and for classes that are written in Python: their instances have a dictionary
    of attributes, slots and weak references, and no other memory. A class of an extension module may have memory that only its
    own code knows. CPython tests in the same way whether pickling would lose a part of an object (`object_getstate_default` in
    `Objects/typeobject.c`).

    Args:
        kind: any type.
    """
    if kind in _BUILT_IN:
        return True
    # Python 3.12 makes some types of the standard library at run time, too.
    bases = [base for base in kind.__mro__ if base in _BUILT_IN or not base.__flags__ & _MADE_AT_RUN_TIME]
    if not _BUILT_IN.issuperset(bases):
        return False
    references = sum(map(_slots, kind.__mro__))
    references += bool(kind.__dictoffset__ and not kind.__flags__ & _MANAGED_DICTIONARY)
    references += bool(kind.__weakrefoffset__ and not kind.__flags__ & _MANAGED_WEAK_REFERENCES)
    return kind.__basicsize__ <= max(base.__basicsize__ for base in bases) + references * _POINTER


def _slots(kind: type) -> int:
    members = vars(kind)
    return sum(type(member) is MemberDescriptorType for member in members.values()) if "__slots__" in members else 0
