"""Isolated copies of plain numpy arrays, pandas objects and polars frames.

The `copy` or `clone` of the library is fast, but shares the cells of object columns, so it is used only if all cells are
immutable. For any other value, this module returns None and `copying` makes a deep copy. numpy, pandas and polars are not
imported here: a value of theirs can exist only if they are imported already. State: none.
"""

from __future__ import annotations

import copy
from typing import Any, Final

from treadle.io.loaded import loaded_module

_CONSTANT_CELLS: Final[frozenset[type]] = frozenset({type(None), bool, int, float, complex, str, bytes})
_RARE_CONSTANT_CELLS: Final = frozenset(
    {("datetime", "date"), ("datetime", "datetime"), ("datetime", "timedelta"), ("decimal", "Decimal")}
)
"""Others, by module and name: every worker imports this module, and few need these."""


def copy_frame(value: Any) -> Any | None:
    """Copy an array, frame, series or index, if the library's own `copy` isolates it.

    Args:
        value: anything.

    Returns:
        the copy; None if the value is of another type, or has cells that may change.
    """
    numpy = loaded_module("numpy")
    if numpy is not None:
        if isinstance(value, numpy.generic) and not isinstance(value, numpy.void):
            return value
        if type(value) is numpy.ndarray:
            return None if value.dtype.hasobject else value.copy(order="K")
    pandas = loaded_module("pandas")
    if pandas is None:
        return None
    if type(value) in (pandas.DataFrame, pandas.Series):
        return _copy_pandas(value, pandas)
    if isinstance(value, pandas.Index):
        return value.copy(deep=True) if _is_plain_index(value, pandas) else None
    return None


def is_locked_array(value: Any) -> bool:
    """Return whether a value is a plain numpy array that cannot be written to."""
    numpy = loaded_module("numpy")
    return numpy is not None and type(value) is numpy.ndarray and not value.flags.writeable and not value.dtype.hasobject


def is_plain_frame(value: Any) -> bool:
    """Return whether a value is a pandas frame or series with immutable cells only.

    Args:
        value: anything.
    """
    pandas = loaded_module("pandas")
    if pandas is None or type(value) not in (pandas.DataFrame, pandas.Series) or value.attrs:
        return False
    if type(value) is pandas.Series:
        plain = _is_plain(value, pandas)
    else:
        # Check only columns whose dtype does not decide it, because a frame may have thousands of columns.
        unclear = [number for number, dtype in enumerate(value.dtypes) if dtype.kind not in "biufcmM"]
        plain = all(_is_plain(value.iloc[:, number], pandas) for number in unclear)
    return plain and all(_is_plain_index(axis, pandas) for axis in value.axes)


def copy_polars(value: Any) -> Any:
    """Clone a polars frame, series, expression or query plan, and copy cells that are Python objects.

    Args:
        value: a value of polars that has a method `clone`.
    """
    polars = loaded_module("polars")
    if polars is None:
        return value.clone()
    if type(value) is polars.Series and value.dtype == polars.Object:
        return _copy_polars_objects(value, polars)
    if type(value) is polars.DataFrame:
        columns = [_copy_polars_objects(each, polars) for each in value.get_columns() if each.dtype == polars.Object]
        return value.with_columns(columns) if columns else value.clone()
    return value.clone()


def _copy_polars_objects(series: Any, polars: Any) -> Any:
    return polars.Series(series.name, copy.deepcopy(series.to_list()), dtype=polars.Object)


def _copy_pandas(value: Any, pandas: Any) -> Any | None:
    if not is_plain_frame(value):
        return None
    copied = value.copy(deep=True)
    # pandas treats labels as immutable and shares them, but under pandas 2 their `values` are writable.
    for number, axis in enumerate(value.axes):
        if not isinstance(axis, pandas.RangeIndex):
            setattr(copied, "columns" if number else "index", axis.copy(deep=True))
    return copied


def _is_plain_index(index: Any, pandas: Any) -> bool:
    if isinstance(index, pandas.RangeIndex):
        return True
    if isinstance(index, pandas.MultiIndex):
        return all(_is_plain_index(level, pandas) for level in index.levels)
    return _is_plain(index, pandas)


def _is_plain(column: Any, pandas: Any) -> bool:
    """Return whether the cells of a series or index are immutable, so that its `copy` isolates it."""
    dtype = column.dtype
    if isinstance(dtype, pandas.CategoricalDtype):
        return _is_plain_index(dtype.categories, pandas)
    if isinstance(dtype, pandas.SparseDtype):
        return bool(dtype.subtype.kind != "O")
    if dtype.kind == "O" and type(dtype).__module__.startswith("numpy"):
        others = set(map(type, column.to_numpy())) - _CONSTANT_CELLS
        return all((kind.__module__, kind.__qualname__) in _RARE_CONSTANT_CELLS for kind in others)
    return type(dtype).__module__.startswith(("numpy", "pandas.")) or type(dtype).__module__ == "pandas"
