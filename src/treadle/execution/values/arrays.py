"""Pickle arrays of dates and of strings as buffers, which numpy itself pickles by copying them into the stream.

Dates and durations are transferred as integers of the same bytes. A large array of `str` objects is transferred as one pyarrow
array if pyarrow is loaded: that takes a third of the time, and needs little memory beside the strings. It may contain one kind of
missing value: None, numpy.nan or pandas.NA. If most strings are repeated, each is transferred once, with the places where it
occurs, and equal cells arrive as one object: to create an object for each cell would take three times as long. Arrays with any
other object are left to pickle, and so are those in which many elements are the same object, which pickle stores once.

`by_value.py` calls this module for each array, `restoring.py` recreates the arrays. numpy and pyarrow are not imported here: if
they are not loaded, nothing is to be done. Used by the parent and the workers. State: none.
"""

from __future__ import annotations

from typing import Any

from treadle.execution.values import restoring
from treadle.io.loaded import loaded_module

MIN_DATES = 1 << 12
"""Arrays of dates with fewer elements are left to pickle, because their bytes are sent inside a message."""

MIN_STRINGS = 1 << 12
"""Arrays of strings with fewer elements are left to pickle, which is as fast."""

_SAMPLE = 1 << 12
_DISTINCT_SHARE = 0.9
_REPEATED_SHARE = 0.5
"""If at most this share of the strings in a sample are different, each string is transferred once."""


def reduce_array(array: Any) -> tuple[Any, ...] | None:
    """Return a function and arguments that recreate an array with the same elements, dtype and memory layout.

    Args:
        array: a plain numpy array.

    Returns:
        The function and its arguments; None if pickle's own way is as good.
    """
    kind = array.dtype.kind
    if kind in "mM":
        if array.size < MIN_DATES or not array.flags.writeable:  # a buffer that is read-only stays so; pickle's array does not
            return None
        return restoring.dates, (array.view("i8"), array.dtype)
    if kind == "O" and array.size >= MIN_STRINGS and (array.flags.c_contiguous or array.flags.f_contiguous):
        return _reduce_strings(array)
    return None


def has_shared_cells(array: Any) -> bool:
    """Return whether many elements of an array of objects are the same object, judging by a sample.

    Args:
        array: an array of objects with one dimension.
    """
    sample = _sample(array)
    return len(set(map(id, sample))) < _DISTINCT_SHARE * len(sample)


def _sample(array: Any) -> Any:
    return array[:: max(1, len(array) // _SAMPLE)]


def _reduce_strings(array: Any) -> tuple[Any, ...] | None:
    pyarrow = loaded_module("pyarrow")
    cells = array.ravel(order="K")
    if pyarrow is None or all(type(cells[place]) is not str for place in (0, len(cells) // 2, -1)):
        return None  # as for most arrays of other objects, at no cost
    has_others = set(map(type, cells)) != {str}
    others = {id(cell): cell for cell in cells if type(cell) is not str} if has_others else {}
    if len(others) > 1 or not all(map(_is_missing, others.values())) or has_shared_cells(cells):
        return None
    try:
        strings = pyarrow.array(cells, type=pyarrow.large_string(), from_pandas=True)
    except (pyarrow.ArrowException, UnicodeError):  # a lone surrogate is not valid UTF-8
        return None
    places = None
    sample = _sample(cells)
    if len(set(sample)) <= _REPEATED_SHARE * len(sample):
        encoded = strings.dictionary_encode(null_encoding="encode")
        strings, places = encoded.dictionary, encoded.indices.to_numpy()
    order = "C" if array.flags.c_contiguous else "F"
    return restoring.strings, (strings, places, next(iter(others.values()), None), array.shape, order)


def _is_missing(cell: Any) -> bool:
    """Return whether a cell is one of the objects that every process has."""
    numpy, pandas = loaded_module("numpy"), loaded_module("pandas")
    return cell is None or (numpy is not None and cell is numpy.nan) or (pandas is not None and cell is pandas.NA)
