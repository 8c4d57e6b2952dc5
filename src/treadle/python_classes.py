"""Tell classes that are written in Python from those of extension modules. Runs everywhere. State: none."""

from __future__ import annotations

from types import MemberDescriptorType
from typing import Final

_POINTER: Final = tuple.__itemsize__
"""Size of a reference in bytes."""

_HEAP_TYPE: Final = 1 << 9
_MANAGED_DICTIONARY: Final = 1 << 4
_MANAGED_WEAK_REFERENCES: Final = 1 << 3
"""Flags of a type (`Include/object.h` of CPython). The managed ones lie in front of an instance and do not count in its size."""


def is_python_class(kind: type) -> bool:
    """Return whether a class adds only slots, a dictionary of attributes and weak references to its base, and no other memory.

    Then Python code can read all that it adds, and the garbage collector sees all that this refers to. A class of an extension
    module may have memory that only its own code knows. CPython tests in the same way whether pickling would lose a part of an
    object (`object_getstate_default` in `Objects/typeobject.c`).

    Args:
        kind: any class. Its base classes are not looked at.
    """
    base, flags, own = kind.__base__, kind.__flags__, vars(kind)
    if base is None or not flags & _HEAP_TYPE:
        return False
    references = sum(type(each) is MemberDescriptorType for each in own.values()) if "__slots__" in own else 0
    references += "__dict__" in own and not flags & _MANAGED_DICTIONARY
    references += "__weakref__" in own and not flags & _MANAGED_WEAK_REFERENCES
    return kind.__basicsize__ - base.__basicsize__ <= references * _POINTER
