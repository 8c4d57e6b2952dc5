"""Handing a value from one node to the next within a process without copying it, where that is safe.

It is safe where nobody else can see the object, nor the memory under it: the one reference to it is the holder's, every
array under it is referred to by it alone, and no part of it is an object that others may hold. What is not known for
certain is copied. State: none. numpy and pandas are never imported here: a value of theirs exists only where they are
loaded.

How an object's memory is followed: a frame holds blocks, a block its values (an array, or an extension array made of
arrays), and an array that does not own its memory refers to the one that does, as every other view of that memory does.
So where each of these has no more references than the links that were followed, nobody else leads there.
"""

from __future__ import annotations

import sys
import weakref
from types import SimpleNamespace
from typing import Any

from treadle.io.frames import is_plain_frame
from treadle.io.loaded import loaded_module


def claim(holder: dict[int, Any], key: int) -> bool:
    """Make a value one that may be passed on as it is, where `holder[key]` is all that leads to it and its cells.

    Args:
        holder: the dictionary that keeps the value.
        key: its key there.

    Returns:
        True for a plain numpy array that owns its memory, or a plain pandas frame or series under copy-on-write whose
        memory is its own, that nothing but the holder refers to. (Labels that others may hold are copied.)
    """
    if _references(holder, key) > _ALONE:
        return False
    value = holder[key]
    numpy = loaded_module("numpy")
    if numpy is not None and type(value) is numpy.ndarray:
        return bool(value.flags.owndata and value.flags.writeable and not value.dtype.hasobject) and not _has_weak_ones(value)
    if not (_is_on_write_copied(value) and _owns_cells(value, numpy) and is_plain_frame(value)):
        return False
    _copy_labels(value)
    return True


def borrow(value: Any) -> Any | None:
    """Return a frame or series that shares a stored one's memory until one of the two is written to.

    Writes through `Series.array` bypass pandas' copy-on-write, and so this function, too.

    Args:
        value: what is stored; its memory is known to be its own.

    Returns:
        The borrowed one; None where the value is no plain frame under copy-on-write, or has columns of extension arrays,
        which can be written to past it.
    """
    if not _is_on_write_copied(value) or not is_plain_frame(value):
        return None
    numpy = loaded_module("numpy")
    blocks = _blocks(value)  # none, too, for a frame without columns
    if numpy is None or not blocks or any(type(block.values) is not numpy.ndarray for block in blocks):
        return None
    borrowed = value.copy(deep=False)
    for number, axis in enumerate(value.axes):
        if any(hasattr(labels, "asi8") for labels in (axis, *getattr(axis, "levels", ()))):  # dates let anybody write to them
            setattr(borrowed, "columns" if number else "index", axis.copy(deep=True))
    return borrowed


def large_size(value: Any) -> int:
    """Return the bytes of a plain array or frame, 0 for anything else: what is known to be large and known to pickle.

    Args:
        value: anything.
    """
    numpy = loaded_module("numpy")
    if numpy is not None and type(value) is numpy.ndarray and not value.dtype.hasobject:
        return int(value.nbytes)
    if not is_plain_frame(value):
        return 0
    usage = value.memory_usage(index=False, deep=False)
    return int(usage if isinstance(usage, int) else usage.sum())


def _is_on_write_copied(value: Any) -> bool:
    """Say whether a value is a frame or series, and pandas is of a version that copies on write."""
    pandas = loaded_module("pandas")
    if pandas is None or type(value) not in (pandas.DataFrame, pandas.Series):
        return False
    return int(pandas.__version__.partition(".")[0]) >= _COPY_ON_WRITE


def _blocks(value: Any) -> tuple[Any, ...]:
    """Return the blocks of a frame or series; none where this pandas keeps them otherwise."""
    return getattr(getattr(value, "_mgr", None), "blocks", ())


def _owns_cells(value: Any, numpy: Any) -> bool:
    """Say whether the cells of a frame or series are in memory that nothing else leads to."""
    if not set(vars(value)) <= _OWN_ATTRIBUTES:
        return False  # somebody hung something on it
    sites: list[tuple[Any, str]] = []
    for block in _blocks(value):
        if _references_at(block, "values") > _ALONE_AT:
            return False
        if type(block.values) is numpy.ndarray:
            sites.append((block, "values"))
        elif (parts := _parts(block.values)) is not None:
            sites += [(block.values, part) for part in parts]
        else:
            return False
    return bool(_blocks(value)) and _are_alone(sites, numpy)


def _copy_labels(value: Any) -> None:
    """Labels do not change, and frames share them; but the array under them may be one that somebody kept."""
    for name, axis in zip(("index", "columns"), value.axes, strict=False):
        if hasattr(axis, "_data") or hasattr(axis, "levels"):  # a range of numbers has neither
            setattr(value, name, axis.copy(deep=True))


def _parts(values: Any) -> tuple[str, ...] | None:
    """Name the arrays that an extension array of pandas' own is made of; None where that is not known."""
    if type(values).__module__.partition(".")[0] != "pandas":
        return None
    if hasattr(values, "_pa_array"):
        return ()  # pyarrow's memory is never written to
    for parts in (("_ndarray",), ("_data", "_mask")):
        if all(hasattr(values, part) for part in parts):
            return parts
    return None


def _are_alone(sites: list[tuple[Any, str]], numpy: Any) -> bool:
    """Say whether the arrays at these attributes, and the memory under them, are referred to from there alone."""
    views: dict[int, int] = {}
    roots: list[Any] = []
    for owner, attribute in sites:
        if _references_at(owner, attribute) > _ALONE_AT:
            return False
        array = getattr(owner, attribute)
        if type(array) is not numpy.ndarray:
            return False
        if array.base is None:
            if not array.flags.owndata:
                return False
        elif type(array.base) is numpy.ndarray and array.base.flags.owndata:
            views[id(array.base)] = views.get(id(array.base), 0) + 1
            roots.append(array)
        else:
            return False
    return all(_references_at(array, "base") == _ALONE_AT + views[id(array.base)] - 1 for array in roots)


def _has_weak_ones(value: Any) -> bool:
    return weakref.getweakrefcount(value) > 0


def _references(holder: dict[int, Any], key: int) -> int:
    return sys.getrefcount(holder[key])


def _references_at(owner: Any, attribute: str) -> int:
    return sys.getrefcount(getattr(owner, attribute))


_ALONE = _references({0: object()}, 0)
"""What Python counts for a value that only a dictionary holds: versions differ in what the call itself adds."""

_ALONE_AT = _references_at(SimpleNamespace(kept=object()), "kept")
"""The same for a value that only an attribute holds."""

_OWN_ATTRIBUTES = frozenset({"_mgr", "_attrs", "_flags", "_name", "_item_cache"})
"""What an instance of a frame or series has by itself."""

_COPY_ON_WRITE = 3
"""The major version of pandas from which a write to one frame never shows in another (PDEP-7)."""
