"""Frames with any columns: consumers may change their copies, and the stored frame does not change."""

from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from treadle.execution.values.transfer import LocalValues

COLUMNS = {
    "float": lambda rows: np.arange(float(rows)),
    "int": np.arange,
    "bool": lambda rows: np.zeros(rows, dtype=bool),
    "date": lambda rows: pd.date_range("2013", periods=rows),
    "zoned": lambda rows: pd.date_range("2013", periods=rows, tz="UTC"),
    "text": lambda rows: pd.array(["x"] * rows, dtype="string"),
    "python text": lambda rows: pd.array(["x"] * rows, dtype="string[python]"),
    "category": lambda rows: pd.Categorical(["x"] * rows, categories=["x", "y"]),
    "nullable": lambda rows: pd.array([None] * rows, dtype="Int64"),
    "sparse": lambda rows: pd.arrays.SparseArray(np.zeros(rows)),
    "lists": lambda rows: pd.Series([[number] for number in range(rows)], dtype=object).array,
}
INDEXES = {
    "range": pd.RangeIndex,
    "floats": lambda rows: pd.Index(np.arange(float(rows)), name="f"),
    "dates": lambda rows: pd.date_range("2013", periods=rows),
    "levels": lambda rows: pd.MultiIndex.from_arrays([["a"] * rows, pd.date_range("2013", periods=rows)], names=["l", "d"]),
}


def build(kinds, names, rows, index):
    """Make a frame; names may occur more than once."""
    columns = [pd.Series(COLUMNS[kind](rows)) for kind in kinds]
    frame = pd.concat(columns, axis=1) if columns else pd.DataFrame(index=range(rows))
    frame.columns = names[: len(kinds)]
    frame.index = INDEXES[index](rows)
    return frame


def spoil(frame):
    """Change a frame in each way that its columns allow."""
    for place in range(frame.shape[1]):
        column = frame.iloc[:, place]
        if column.dtype == object:
            for cell in column:
                cell.append("spoilt")
        elif len(frame):
            if isinstance(column.dtype, pd.SparseDtype):
                column.array.sp_values[...] = 9
            else:
                frame.iloc[0, place] = frame.iloc[-1, place]
            frame.isetitem(place, column.array[::-1])
    for axis in frame.axes:
        for labels in (axis, *getattr(axis, "levels", ())):
            if isinstance(labels, pd.DatetimeIndex):
                labels.asi8[...] = 0
    frame.index.names = ["spoilt"] * frame.index.nlevels
    frame.insert(0, "new", 1, allow_duplicates=True)


@settings(max_examples=60, deadline=None)
@given(
    kinds=st.lists(st.sampled_from(sorted(COLUMNS)), max_size=4),
    names=st.lists(st.sampled_from(["a", "b", 1]), min_size=4, max_size=4),
    rows=st.integers(0, 3),
    index=st.sampled_from(sorted(INDEXES)),
    kept=st.booleans(),
)
def test_each_consumer_gets_the_original_frame(kinds, names, rows, index, kept):
    """Frames without rows or columns, with duplicate names, and with every type of column and label."""
    expected = build(kinds, names, rows, index)
    values = LocalValues(lambda _dataset: None)
    made = {0: build(kinds, names, rows, index)}
    maker = made[0] if kept else None
    values.store_output(made, 0)
    if maker is not None:
        spoil(maker)
    for last in (False, False, True):
        taken = values.load_input(0, last=last)
        pd.testing.assert_frame_equal(taken, expected)
        spoil(taken)
