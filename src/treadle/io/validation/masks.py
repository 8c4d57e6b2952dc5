"""Masks: results of a validator such as `orders["quantity"] > 0`, which have True or False for each value of the data.

State: none. Neighbours: `checking.py` asks whether a validator returned one.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from treadle.io.validation.failures import CheckFailure
from treadle.io.validation.pandera import MOST_EXAMPLES

if TYPE_CHECKING:
    from collections.abc import Iterator

_BOOLEAN = frozenset({"bool", "boolean", "bool[pyarrow]", "torch.bool"})
"""Types of the values of arrays, series and columns, in lower case."""


def is_mask(value: Any) -> bool:
    """Return whether a value is an array, a series or a frame with nothing but True and False, and perhaps missing values."""
    if hasattr(value, "dtypes") and hasattr(value, "columns"):
        types = list(value.dtypes)
        return bool(types) and all(_is_boolean(each) for each in types)
    return hasattr(value, "__len__") and _is_boolean(getattr(value, "dtype", None))


def mask_failures(check: str, mask: Any) -> tuple[CheckFailure, ...]:
    """Return what a mask refuses, for each column of a frame; a missing value counts as False.

    Args:
        check: the name of what was checked.
        mask: a value for which `is_mask` is true.
    """
    if hasattr(mask, "columns"):
        columns: list[tuple[str | None, Any]] = [
            (str(name), mask.iloc[:, at] if hasattr(mask, "iloc") else mask[name]) for at, name in enumerate(mask.columns)
        ]
    else:
        columns = [(None, mask)]
    found = [(name, list(_refused(each))) for name, each in columns]
    return tuple(
        CheckFailure(check, name, len(rows), tuple(f"row {row}" for row in islice(rows, MOST_EXAMPLES)))
        for name, rows in found
        if rows
    )


def _refused(mask: Any) -> Iterator[Any]:
    """Yield the rows whose value is not True: their labels in the index if there is one, else their numbers."""
    if getattr(mask, "ndim", 1) != 1:  # an array of several dimensions: a row is refused if any of its values is
        mask = mask.reshape(len(mask), -1).all(1) if mask.ndim else mask.reshape(1)
    labels = mask.index if hasattr(mask, "iloc") else range(len(mask))
    values = mask.tolist() if hasattr(mask, "tolist") else mask
    yield from (label for label, value in zip(labels, values, strict=True) if value is not True)


def _is_boolean(dtype: Any) -> bool:
    return dtype is not None and str(dtype).lower() in _BOOLEAN
