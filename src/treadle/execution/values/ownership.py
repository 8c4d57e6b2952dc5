"""Pass a value from one node to the next within a process without copying it, if that is safe.

It is safe if no other code can reach the object or its memory: the caller has the only reference to it, each array inside it is
referenced by it alone, and no part of it may be shared. Reference counts prove this. A frame has blocks, a block has its values
(an array, or an extension array that consists of arrays), and an array that does not own its memory references the array that
does, as does every other view of that memory. A container has items, an instance of a class has attributes. If each of these
objects has only the references that were followed from the value, no other code can reach it. In doubt, the value is copied.

Runs wherever nodes run. numpy and pandas are never imported here: if they are not loaded, no value has their types. State: none.
"""

from __future__ import annotations

import gc
import sys
import weakref
from collections import OrderedDict, defaultdict, deque
from types import SimpleNamespace
from typing import Any, Final

from treadle.io.containers import is_constant_type, is_fixed_container, items_of_types, types_of_others
from treadle.io.frames import is_plain_frame
from treadle.io.loaded import loaded_module
from treadle.python_classes import is_python_class


def claim_ownership(holder: Any, key: Any, *, is_plain: bool = False) -> bool:
    """Check that `holder[key]` is the only reference to a value and its memory, so that it need not be copied.

    Copies the labels of a frame if this succeeds, because other code may have a reference to their array.

    Args:
        holder: the dictionary or list that contains the value.
        key: the value's key, or its position.
        is_plain: True if the cells are known to be immutable: finding that out means looking at each cell of object columns.

    Returns:
        True if nothing else references the value, and it is a plain numpy array that owns its memory, a plain pandas frame or
        series under copy-on-write whose memory nothing else references, or a container or an instance of a Python class that
        consists of constants, such arrays and frames, and other containers and instances.
    """
    return _claim(holder, key, _ONE_REFERENCE, is_plain=is_plain)


def _claim(holder: Any, key: Any, references: int, *, is_plain: bool = False) -> bool:
    """Claim `holder[key]` if it has no more than the given number of references."""
    if _references(holder, key) > references:
        return False
    value = holder[key]
    numpy = loaded_module("numpy")
    if numpy is not None and type(value) is numpy.ndarray:
        return bool(value.flags.owndata and value.flags.writeable and not value.dtype.hasobject) and not _has_weak_references(
            value
        )
    if _is_frame_type(type(value)):
        if not (_is_copied_on_write(value) and _owns_cells(value, numpy) and (is_plain or is_plain_frame(value))):
            return False
        _copy_labels(value)
        return True
    try:
        return _claim_parts(value)
    except Exception:  # noqa: BLE001 - the type of an item may be such that it cannot even be looked up: the value is copied
        return False


def _claim_parts(value: Any) -> bool:
    """Check that whatever can be changed in an object that nothing else references is referenced there only, at any depth."""
    if not _has_visible_references(type(value)):
        return False
    level, visible = [value], {type(value)}
    while level:
        if any(kind.__weakrefoffset__ for kind in visible) and any(map(weakref.getweakrefcount, level)):
            return False
        if any(kind.__dictoffset__ for kind in visible) and not _own_dictionaries(level):
            return False
        parts = gc.get_referents(*level)
        types = set(map(type, parts))
        kinds = {kind for kind in types if not is_constant_type(kind)}
        fixed = {kind for kind in kinds if is_fixed_container(kind)}
        if fixed and types_of_others(gc.get_referents(*items_of_types(parts, fixed))):
            fixed = set()  # a tuple with a list in it may not be shared, or the list would be
        visible = {kind for kind in kinds - fixed if _has_visible_references(kind) and not _is_frame_type(kind)}
        inner = parts if visible == types else items_of_types(parts, visible)
        others = items_of_types(parts, kinds - fixed - visible)
        del parts  # it counts as a reference
        if not set(map(sys.getrefcount, inner)) <= {_ONE_PART_REFERENCE}:
            return False
        if not all(_claim(others, place, _ONE_REFERENCE + 1) for place in range(len(others))):
            return False
        level = inner
    return True


def _has_visible_references(kind: type) -> bool:
    """Return whether `gc.get_referents` returns everything that an object of a type refers to."""
    return all(each in _BUILT_IN or is_python_class(each) for each in kind.__mro__)


def _own_dictionaries(instances: list[Any]) -> bool:
    """Return whether nothing else references the dictionaries of instances' attributes.

    From Python 3.13 on, the garbage collector sees the attributes in the instance instead of its dictionary.
    """
    if sys.version_info >= (3, 13):
        dictionaries = [vars(instance) for instance in instances if type(instance).__dictoffset__]
        return set(map(sys.getrefcount, dictionaries)) <= {_ONE_PART_REFERENCE}
    return True


def share_copy_on_write(value: Any) -> Any | None:
    """Return a frame or series that shares a stored one's memory until one of the two is written to.

    Writes through `Series.array` bypass pandas' copy-on-write and would be visible in both.

    Args:
        value: the stored value. No other code references its memory.

    Returns:
        The new frame or series; None if the value is not a plain frame or series under copy-on-write, or has columns of
        extension arrays, to which code can write without triggering a copy.
    """
    if not _is_copied_on_write(value) or not is_plain_frame(value):
        return None
    numpy = loaded_module("numpy")
    blocks = _blocks(value)  # empty for a frame without columns
    if numpy is None or not blocks or any(type(block.values) is not numpy.ndarray for block in blocks):
        return None
    shared = value.copy(deep=False)
    for number, axis in enumerate(value.axes):
        if any(hasattr(labels, "asi8") for labels in (axis, *getattr(axis, "levels", ()))):  # the array of dates is writable
            setattr(shared, "columns" if number else "index", axis.copy(deep=True))
    return shared


def _is_copied_on_write(value: Any) -> bool:
    """Return whether a value is a frame or series of a pandas version with copy-on-write."""
    pandas = loaded_module("pandas")
    if pandas is None or not _is_frame_type(type(value)):
        return False
    return int(pandas.__version__.partition(".")[0]) >= _COPY_ON_WRITE


def _is_frame_type(kind: type) -> bool:
    pandas = loaded_module("pandas")
    return pandas is not None and kind in (pandas.DataFrame, pandas.Series)


def _blocks(value: Any) -> tuple[Any, ...]:
    """Return the blocks of a frame or series; empty if this pandas version stores them differently."""
    return getattr(getattr(value, "_mgr", None), "blocks", ())


def _owns_cells(value: Any, numpy: Any) -> bool:
    """Return whether nothing else references the memory of the cells of a frame or series."""
    if not set(vars(value)) <= _PANDAS_ATTRIBUTES:
        return False  # user code has set an attribute, which may reference anything
    if _has_weak_references(value):
        return False
    arrays: list[tuple[Any, str]] = []
    for block in _blocks(value):
        if _attribute_references(block, "values") > _ONE_ATTRIBUTE_REFERENCE:
            return False
        if type(block.values) is numpy.ndarray:
            arrays.append((block, "values"))
        elif (parts := _array_attributes(block.values)) is not None:
            arrays += [(block.values, part) for part in parts]
        else:
            return False
    return bool(_blocks(value)) and _are_unshared(arrays, numpy)


def _copy_labels(value: Any) -> None:
    """Copy the labels of a frame. They are immutable, but user code may have kept the writable array they were made from."""
    for name, axis in zip(("index", "columns"), value.axes, strict=False):
        if type(axis).__name__ == "RangeIndex":
            continue  # immutable; even to ask for its array creates one, which it then keeps: 8 bytes a row
        if hasattr(axis, "_data") or hasattr(axis, "levels"):
            setattr(value, name, axis.copy(deep=True))


def _array_attributes(values: Any) -> tuple[str, ...] | None:
    """Return the attributes of a pandas extension array that contain its numpy arrays; None if they are not known."""
    if type(values).__module__.partition(".")[0] != "pandas":
        return None
    if hasattr(values, "_pa_array"):
        return ()  # pyarrow memory is immutable
    for parts in (("_ndarray",), ("_data", "_mask")):
        if all(hasattr(values, part) for part in parts):
            return parts
    return None


def _are_unshared(arrays: list[tuple[Any, str]], numpy: Any) -> bool:
    """Return whether arrays, given as (object, attribute), and their memory are referenced by these attributes alone."""
    views: dict[int, int] = {}
    views_of_others: list[Any] = []
    for owner, attribute in arrays:
        if _attribute_references(owner, attribute) > _ONE_ATTRIBUTE_REFERENCE:
            return False
        array = getattr(owner, attribute)
        if type(array) is not numpy.ndarray:
            return False
        if array.base is None:
            if not array.flags.owndata:
                return False
        elif type(array.base) is numpy.ndarray and array.base.flags.owndata:
            views[id(array.base)] = views.get(id(array.base), 0) + 1
            views_of_others.append(array)
        else:
            return False
    return all(
        _attribute_references(array, "base") == _ONE_ATTRIBUTE_REFERENCE + views[id(array.base)] - 1 for array in views_of_others
    )


def _has_weak_references(value: Any) -> bool:
    """Return whether there are weak references to a value, apart from the one in the flags of a frame or series."""
    flags = getattr(value, "_flags", None)
    if hasattr(flags, "_obj") and _attribute_references(flags, "_obj") == _ONE_ATTRIBUTE_REFERENCE:
        return weakref.getweakrefcount(value) > 1
    return weakref.getweakrefcount(value) > 0


def _references(holder: Any, key: Any) -> int:
    return sys.getrefcount(holder[key])


def _attribute_references(owner: Any, attribute: str) -> int:
    return sys.getrefcount(getattr(owner, attribute))


_ONE_REFERENCE = _references({0: object()}, 0)
"""The reference count of a value that only a dictionary references. The call itself adds to it, depending on Python's version."""

_EXAMPLE: list[list[Any]] = [[]]
_ONE_PART_REFERENCE = max(map(sys.getrefcount, [*_EXAMPLE]))
"""The reference count of a part that only its container, or instance, and one list reference."""

_ONE_ATTRIBUTE_REFERENCE = _attribute_references(SimpleNamespace(value=object()), "value")
"""The reference count of a value that only an attribute references."""

_BUILT_IN: Final = frozenset({object, dict, list, set, tuple, frozenset, OrderedDict, defaultdict, deque, SimpleNamespace})
"""Types of the standard library: the garbage collector sees everything that their objects refer to."""

_PANDAS_ATTRIBUTES = frozenset({"_mgr", "_attrs", "_flags", "_name", "_item_cache"})
"""Instance attributes that pandas itself sets on a frame or series."""

_COPY_ON_WRITE = 3
"""The first major version of pandas in which a write to one frame never changes another (PDEP-7)."""
