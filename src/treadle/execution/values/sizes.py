"""Determine the size of the arrays and frames that may stay in the worker that made them.

The scheduler runs a consumer where most bytes of its inputs are, and the memory budget counts them, so strings count with their
characters. Runs wherever nodes run. numpy, pandas, polars and pyarrow are never imported here: if one is not loaded, no value has
its types. State: none.
"""

from __future__ import annotations

import sys
from typing import Any

from treadle.execution.values.arrays import has_shared_cells
from treadle.io.frames import is_plain_frame
from treadle.io.loaded import loaded_module

_SAMPLE = 256


def large_size(value: Any) -> int:
    """Return the size in bytes of an array, frame or table that is certain to pickle; 0 for any other value.

    Args:
        value: any value. The size of the strings in object columns is estimated from some of them.
    """
    numpy = loaded_module("numpy")
    if numpy is not None and type(value) is numpy.ndarray:
        return 0 if value.dtype.hasobject else int(value.nbytes)
    package = type(value).__module__.partition(".")[0]
    if package == "polars":
        return _polars_size(value)
    if package == "pyarrow":
        pyarrow = loaded_module("pyarrow")
        return int(value.nbytes) if pyarrow is not None and type(value) in (pyarrow.Table, pyarrow.RecordBatch) else 0
    if not is_plain_frame(value):
        return 0
    usage = value.memory_usage(index=False, deep=False)
    return int(usage if isinstance(usage, int) else usage.sum()) + sum(map(_objects_size, _object_arrays(value)))


def _polars_size(value: Any) -> int:
    polars = loaded_module("polars")
    if polars is None or type(value) is not polars.DataFrame or polars.Object in value.dtypes:
        return 0
    return int(value.estimated_size())


def _object_arrays(frame: Any) -> list[Any]:
    """Return the arrays of objects in a frame or series; empty if this pandas version stores them differently."""
    arrays = [getattr(block.values, "_ndarray", block.values) for block in getattr(getattr(frame, "_mgr", None), "blocks", ())]
    return [array for array in arrays if getattr(array, "dtype", None) == "O" and hasattr(array, "ravel")]


def _objects_size(array: Any) -> int:
    """Estimate the size of the objects in an array, without the references to them."""
    cells = array.ravel(order="K")
    if not len(cells) or has_shared_cells(cells):
        return 0
    sample = cells[:: max(1, len(cells) // _SAMPLE)]
    return len(cells) * sum(map(sys.getsizeof, sample)) // len(sample)
