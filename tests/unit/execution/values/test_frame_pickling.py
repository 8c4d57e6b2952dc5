"""Arrays, frames and tables that are sent to another process arrive with equal values, dtypes and memory layout."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treadle.execution.values import arrays
from treadle.execution.values.pickling import pickle_value


class Word(str):
    """A string with attributes, so it is not only its characters."""

    __slots__ = ("note",)


def through(value):
    data, buffers = pickle_value(value)
    return pickle.loads(data, buffers=[bytearray(buffer) for buffer in buffers])


def in_band(value):
    return len(pickle_value(value)[0])


def same(left, right):
    """Return whether two cells are of the same type and equal; None and NA must be the same object."""
    if left is None or left is pd.NA:
        return right is left
    if type(left) is float and math.isnan(left):
        return type(right) is float and math.isnan(right)
    return type(left) is type(right) and left == right


@pytest.fixture(autouse=True)
def _small_arrays_too(monkeypatch):
    monkeypatch.setattr(arrays, "MIN_DATES", 1)
    monkeypatch.setattr(arrays, "MIN_STRINGS", 1)
    monkeypatch.setattr(arrays, "_DISTINCT_SHARE", 0)


TEXT = st.text(st.characters(), max_size=6)  # lone surrogates included
CELLS = st.one_of(TEXT, TEXT, TEXT, st.sampled_from([None, np.nan, pd.NA, float("nan"), 1, 1.5, b"x", Word("w"), np.str_("n")]))
CELLS_OF_ONE_KIND = st.one_of(st.lists(st.one_of(TEXT, st.just(each)), max_size=12) for each in (None, np.nan, pd.NA, "same"))


@settings(deadline=None)
@given(st.one_of(st.lists(CELLS, max_size=12), CELLS_OF_ONE_KIND), st.sampled_from([1, 3]), st.sampled_from("CF"), st.booleans())
def test_arrays_of_objects_keep_their_cells(cells, times, order, sliced):
    """Strings, the three missing values and any mixture of them with other objects, each repeated or not."""
    cells = cells * times
    array = np.empty(len(cells), dtype=object)
    array[:] = cells
    array = array[::2] if sliced else array.reshape((2, -1) if len(cells) % 2 == 0 and cells else (1, -1), order=order)
    back = through(array)
    assert (back.dtype, back.shape) == (array.dtype, array.shape)
    assert sliced or (back.flags.c_contiguous, back.flags.f_contiguous) == (array.flags.c_contiguous, array.flags.f_contiguous)
    assert all(same(left, right) for left, right in zip(array.flat, back.flat, strict=True))
    assert back.flags.writeable


COLUMNS = {
    "object": lambda rows: pd.Series([f"é{row}" for row in range(rows)], dtype=object),
    "object with None": lambda rows: pd.Series([None if row % 3 else f"{row}" for row in range(rows)], dtype=object),
    "object, repeated": lambda rows: pd.Series([f"é{row % 3}" for row in range(rows)], dtype=object),
    "object, repeated with nan": lambda rows: pd.Series(
        [(np.nan, f"{row % 2}")[row % 3 > 0] for row in range(rows)], dtype=object
    ),
    "object with nan": lambda rows: pd.Series([np.nan if row % 3 else f"{row}" for row in range(rows)], dtype=object),
    "mixed": lambda rows: pd.Series([row if row % 2 else f"{row}" for row in range(rows)], dtype=object),
    "shared": lambda rows: pd.Series(["same"] * rows, dtype=object),
    "str": lambda rows: pd.Series([f"é{row}" for row in range(rows)]),
    "string[pyarrow]": lambda rows: pd.Series([None if row % 3 else f"{row}" for row in range(rows)], dtype="string[pyarrow]"),
    "string[python]": lambda rows: pd.Series([None if row % 3 else f"{row}" for row in range(rows)], dtype="string[python]"),
    "category": lambda rows: pd.Series(pd.Categorical(["x", "y", None] * rows)[:rows]),
    "date": lambda rows: pd.Series([pd.NaT, *pd.date_range("2013", periods=rows)][:rows]),
    "seconds": lambda rows: pd.Series(np.arange(rows).astype("M8[s]")),
    "zone": lambda rows: pd.Series(pd.date_range("2013", periods=rows, freq="h", tz="Europe/Berlin")),
    "duration": lambda rows: pd.Series(pd.to_timedelta(np.arange(rows), unit="s")),
    "period": lambda rows: pd.Series(pd.period_range("2013", periods=rows, freq="M")),
    "nullable": lambda rows: pd.Series([None if row % 3 else row for row in range(rows)], dtype="Int64"),
    "arrow date": lambda rows: pd.Series(pd.date_range("2013", periods=rows)).astype("date32[pyarrow]"),
    "float": lambda rows: pd.Series(np.arange(float(rows))),
}
INDEXES = {
    "range": pd.RangeIndex,
    "dates": lambda rows: pd.date_range("2013", periods=rows, tz="UTC"),
    "strings": lambda rows: pd.Index([f"{row}" for row in range(rows)], dtype=object),
    "levels": lambda rows: pd.MultiIndex.from_arrays([[f"{row}" for row in range(rows)], pd.date_range("2013", periods=rows)]),
}


@settings(max_examples=60, deadline=None)
@given(
    kinds=st.lists(st.sampled_from(sorted(COLUMNS)), max_size=5),
    rows=st.integers(0, 20),
    index=st.sampled_from(sorted(INDEXES)),
    part=st.sampled_from([slice(None), slice(2, 9), slice(None, None, -2)]),
)
def test_frames_are_equal(kinds, rows, index, part):
    """Frames of any columns and labels, whole and sliced."""
    columns = [COLUMNS[kind](rows) for kind in kinds]
    frame = pd.concat(columns, axis=1) if columns else pd.DataFrame(index=range(rows))
    frame.columns = [f"c{place}" for place in range(len(kinds))]
    frame.index = INDEXES[index](rows)
    frame = frame[part]
    back = through(frame)
    pd.testing.assert_frame_equal(back, frame, check_freq=True, check_flags=True)
    for name in frame.columns:
        assert back[name].dtype == frame[name].dtype
        assert frame[name].dtype != object or all(map(same, frame[name], back[name]))


def test_dates_and_strings_are_sent_as_buffers():
    """The pickle itself stays small: nothing of the cells is copied into it."""
    assert in_band(pd.DataFrame({"zone": COLUMNS["zone"](9_000), "date": COLUMNS["date"](9_000)})) < 4_000
    assert in_band(pd.DataFrame({"text": COLUMNS["object"](9_000), "none": COLUMNS["object with None"](9_000)})) < 4_000


def test_a_locked_array_of_dates_can_be_changed_where_it_arrives():
    """It has its own copy there, as a short array has."""
    dates = np.arange(20).astype("M8[s]")
    dates.flags.writeable = False
    received = through(dates)
    received[0] = dates[1]
    assert received[:3].tolist() == [dates[1].item(), dates[1].item(), dates[2].item()]


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
@pytest.mark.parametrize("times", [1, 5])
def test_missing_values_between_strings_stay_the_same_object(missing, times):
    """Equal lists of cells must stay equal, and NaN is equal to itself only by identity."""
    cells = ["a", missing, "b", missing] * times
    assert list(through(np.array(cells, dtype=object))) == cells


def test_repeated_strings_are_sent_once_and_arrive_as_one_object():
    """The cells are different objects, so pickle would send each of them; only the places where they occur are sent."""
    cells = np.array([f"a long name {row % 10}" for row in range(9_000)], dtype=object)
    data, buffers = pickle_value(cells)
    assert len(data) + sum(buffer.nbytes for buffer in buffers) < 5 * len(cells)
    received = through(cells)
    assert received.tolist() == cells.tolist()
    assert len(set(map(id, received))) == 10


def test_strings_that_are_mostly_different_are_sent_as_they_are():
    """To find the few equal ones would take longer than to create an object for each."""
    cells = np.array([f"a long name {row % 8_000}" for row in range(9_000)], dtype=object)
    assert len(set(map(id, through(cells)))) == len(cells)


def test_a_string_that_many_cells_share_stays_one_object(monkeypatch):
    """Such a column is left to pickle, which stores the string once."""
    monkeypatch.undo()
    column = through(COLUMNS["shared"](9_000))
    assert len(set(map(id, column))) == 1


@pytest.mark.parametrize("make", [lambda table: table, lambda table: table.to_batches()[0]])
def test_a_slice_of_a_table_is_sent_without_the_rest(make):
    """The slice arrives equal, with its schema; what is sent has about its size."""
    table = pa.table({"a": [f"row {row}" for row in range(50_000)], "b": np.arange(50_000.0)}).replace_schema_metadata({"k": "v"})
    part = make(table.slice(10, 1_000))
    _data, buffers = pickle_value(part)
    back = through(part)
    assert type(back) is type(part)
    assert back.equals(part, check_metadata=True)
    assert sum(buffer.nbytes for buffer in buffers) < 2 * part.nbytes
    assert through(table).equals(table, check_metadata=True)


class Celsius(pa.ExtensionType):
    """A type of a project. Its name is registered in no process."""

    def __init__(self):
        super().__init__(pa.float64(), "celsius")

    def __arrow_ext_serialize__(self):
        return b""

    @classmethod
    def __arrow_ext_deserialize__(cls, _storage, _serialized):
        return cls()


@pytest.mark.parametrize("nested", [False, True])
def test_a_slice_of_a_table_keeps_the_types_of_a_project(nested):
    """The class of a type arrives, as in a whole table, and not only the type that it is stored as."""
    cells = pa.ExtensionArray.from_storage(Celsius(), pa.array(np.arange(50_000.0)))
    part = pa.table({"a": pa.StructArray.from_arrays([cells], ["cells"]) if nested else cells}).slice(10, 100)
    back = through(part)
    assert back.schema == part.schema
    assert back.equals(part)


def test_frames_of_polars_are_equal():
    """They are pickled by polars itself."""
    frame = pl.DataFrame({"a": ["x", None], "b": [1.5, None], "c": [[1], []]})
    assert through(frame).equals(frame)
