"""What can be seen of a value of any shape, as plain data that can be compared; importable here and in workers."""

from __future__ import annotations

import collections
import functools

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa


def look(value):
    """Return all that can be seen of a value, as plain data."""
    return type(value).__qualname__, _facts(value)


@functools.singledispatch
def _facts(value):
    return repr(value)


@_facts.register
def _(frame: pd.DataFrame):
    columns = [look(frame.iloc[:, place].tolist()) for place in range(frame.shape[1])]
    facts = frame.shape, [str(dtype) for dtype in frame.dtypes], repr(frame.attrs), getattr(frame, "note", None)
    return *facts, columns, [look(axis) for axis in frame.axes]


@_facts.register
def _(series: pd.Series):
    return str(series.dtype), look(series.tolist()), look(series.index), series.name


@_facts.register
def _(index: pd.Index):
    return str(index.dtype), repr(index.tolist()), list(index.names)


@_facts.register
def _(value: np.ndarray):
    return str(value.dtype), value.shape, repr(value.tolist())


@_facts.register
def _(value: np.ma.MaskedArray):
    return repr(value.data), repr(np.ma.getmaskarray(value))


@_facts.register
def _(view: memoryview):
    return view.format, view.shape, view.tobytes()


@_facts.register
def _(frame: pl.DataFrame):
    return repr(frame.schema), repr(frame.rows())


@_facts.register
def _(table: pa.Table):
    return repr(table.to_pydict())


@_facts.register
def _(buffer: pa.Buffer):
    return buffer.to_pybytes()


@_facts.register
def _(value: dict):
    return {key: look(each) for key, each in value.items()}


@_facts.register(list)
@_facts.register(tuple)
@_facts.register(collections.deque)
def _(value):
    return [look(each) for each in value]
