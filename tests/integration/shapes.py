"""Values of every shape, each with what changes it in place, and nodes that do so; importable here and in workers."""

from __future__ import annotations

import array
import collections
import contextlib
import dataclasses

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
from looks import look

KEPT = {}
"""What the nodes of this process have made or taken, by shape."""


class Frame(pd.DataFrame):
    _metadata = ["note"]  # noqa: RUF012 - pandas adds it to lists

    @property
    def _constructor(self):
        return Frame


class Column(pd.Series):
    @property
    def _constructor(self):
        return Column


class Vector(np.ndarray):
    pass


class Words(dict):
    pass


@dataclasses.dataclass
class Record:
    rows: list


@dataclasses.dataclass(slots=True)
class Slotted:
    first: list
    second: object


Pair = collections.namedtuple("Pair", "left right")  # noqa: PYI024 - an untyped one is under test


def _extension(kind, values, other):
    def spoil(frame):
        with contextlib.suppress(ValueError):  # some versions of pandas give it read-only
            frame["n"].array[0] = other
        frame.loc[1, "n"] = other

    return (lambda: pd.DataFrame({"n": pd.array(values, dtype=kind), "b": 1.5})), spoil


def _write(memory, value=9):
    if memory.flags.writeable:
        memory[...] = value


def _add_column(frame):
    frame["new"] = 1


def _spoil_floats(frame):
    _write(frame["a"].to_numpy())
    frame.iloc[0, 0] = 9
    frame.index.name = "spoilt"


def _spoil_levels(frame):
    frame.iloc[0, 0] = 9
    frame.index.names = ["r", "s"]
    for level in frame.index.levels:
        if level.dtype != object and isinstance(level.dtype, np.dtype):
            _write(level.values)


def _spoil_dates(frame):
    _write(frame.index.asi8, 0)
    _write(frame["d"].array.asi8, 0)


def _spoil_sparse(frame):
    _write(frame["s"].array.sp_values)
    frame.loc[0, "d"] = 9


def _spoil_categories(frame):
    with contextlib.suppress(ValueError):
        frame["c"].array[0] = "y"
    frame["c"].cat.categories.name = "spoilt"
    frame.loc[2, "c"] = "y"


def _spoil_nested(value):
    value["frames"][0].iloc[0, 0] = 9
    _add_column(value["frames"][1])
    value["series"][0].iloc[0] = 9
    value["view"][0] = 9
    value["frames"].append(1)


def _noted():
    frame = Frame({"a": [1.0, 2.0]})
    frame.note = ["x"]
    return frame


def _spoil_noted(frame):
    frame.note.append("y")
    frame.loc[0, "a"] = 9


def _with_attributes():
    frame = pd.DataFrame({"a": [1.0]})
    frame.attrs["n"] = [1]
    return frame


def _spoil_polars(frame):
    frame[0, "a"] = 9
    frame.insert_column(0, pl.Series("new", [0, 0]))


def _spoil_masked(value):
    value.data[0] = 9
    value.mask[2] = True


def _spoil_first(value):
    value[0] = 9


def _append_to_first(value):
    value[0].append(9)


def _no_way(_value):
    """What cannot change stays as it is."""


def _spoil_view(view):
    if not view.readonly:
        view[(0,) * view.ndim] = 9


def _set(key, other):
    def spoil(value):
        value[key] = other

    return spoil


FRAMES = {
    "nothing at all": (pd.DataFrame, _add_column),
    "no columns": (lambda: pd.DataFrame({"a": [1, 2]})[[]], _add_column),
    "no columns but labels": (lambda: pd.DataFrame(index=pd.Index(["x", "y"], name="i")), _add_column),
    "no rows": (
        lambda: pd.DataFrame({"a": [], "b": pd.Series([], dtype="Int64"), "c": pd.Series([], dtype=object)}),
        _add_column,
    ),
    "one cell": (lambda: pd.DataFrame({"a": [1.0]}), _spoil_floats),
    "floats": (lambda: pd.DataFrame({"a": np.arange(5.0), "b": np.zeros(5)}), _spoil_floats),
    "duplicate columns": (
        lambda: pd.DataFrame([[1, 2.0, [1]]], columns=["x", "x", "x"]),
        lambda frame: frame.iloc[0, 2].append(9),
    ),
    "labels of many kinds": (lambda: pd.DataFrame({1: [1.0], "a": [2.0], None: [3.0]}), _spoil_floats),
    "many levels": (
        lambda: pd.DataFrame(
            np.zeros((4, 2)),
            index=pd.MultiIndex.from_product([["a", "b"], [1, 2]], names=["p", "q"]),
            columns=pd.MultiIndex.from_product([["x"], ["y", "z"]]),
        ),
        _spoil_levels,
    ),
    "dates": (
        lambda: pd.DataFrame({"d": pd.date_range("2013", periods=2, tz="UTC")}, index=pd.date_range("2013", periods=2)),
        _spoil_dates,
    ),
    "dates among levels": (
        lambda: pd.DataFrame({"a": 1.5}, index=pd.MultiIndex.from_product([pd.date_range("2013", periods=2), [1]])),
        lambda frame: _write(frame.index.levels[0].asi8, 0),
    ),
    "dates as labels of floats": (
        lambda: pd.DataFrame({"a": [1.5, 2.5]}, index=pd.date_range("2013", periods=2)),
        lambda frame: _write(frame.index.asi8, 0),
    ),
    "periods": (
        lambda: pd.DataFrame({"p": pd.period_range("2013", periods=3, freq="M")}),
        lambda frame: _write(frame["p"].array.asi8, 0),
    ),
    "intervals": (lambda: pd.DataFrame({"p": pd.interval_range(0, 3)}), lambda frame: frame.isetitem(0, frame["p"].array[::-1])),
    "sparse": (lambda: pd.DataFrame({"s": pd.arrays.SparseArray([0, 0, 1.0]), "d": [1.0, 2, 3]}), _spoil_sparse),
    "categories": (lambda: pd.DataFrame({"c": pd.Categorical(["x", "y", "x"], ordered=True), "a": 1.5}), _spoil_categories),
    "Int64": _extension("Int64", [1, None, 3], 7),
    "boolean": _extension("boolean", [True, None, False], False),
    "Float64": _extension("Float64", [1.0, None, 3], 7.5),
    "python strings": _extension("string[python]", ["a", None, "c"], "z"),
    "arrow strings": _extension("string[pyarrow]", ["a", None, "c"], "z"),
    "arrow integers": _extension("int64[pyarrow]", [1, None, 3], 7),
    "arrow lists": (
        lambda: pd.DataFrame({"l": pd.Series([[1], [2]], dtype=pd.ArrowDtype(pa.list_(pa.int64())))}),
        lambda frame: frame.isetitem(0, [0, 0]),
    ),
    "attributes": (_with_attributes, lambda frame: frame.attrs["n"].append(2)),
    "a subclass": (_noted, _spoil_noted),
    "an empty subclass": (Frame, _add_column),
}
SERIES = {
    "an empty series": (lambda: pd.Series(dtype=float), _set("new", 1.0)),
    "a series": (lambda: pd.Series([1.0, 2.0], name="s"), lambda series: _write(series.to_numpy()) or _set(0, 9.0)(series)),
    "a series of objects": (lambda: pd.Series([[1], {"a": [2]}]), _append_to_first),
    "a sparse series": (lambda: pd.Series(pd.arrays.SparseArray([0, 0, 1])), lambda series: _write(series.array.sp_values)),
    "a series of a subclass": (lambda: Column([1.0]), _set(0, 9.0)),
    "an empty index": (lambda: pd.Index([]), lambda index: setattr(index, "name", "spoilt")),
    "an index": (lambda: pd.Index(np.array([1.0, 2.0])), lambda index: _write(index.values) or setattr(index, "name", "spoilt")),
    "an index of dates": (lambda: pd.date_range("2013", periods=2), lambda index: _write(index.asi8, 0)),
    "an index of levels": (
        lambda: pd.MultiIndex.from_product([["a"], [1, 2]], names=["p", "q"]),
        lambda index: setattr(index, "names", ["z", "w"]),
    ),
}
ARRAYS = {
    "no dimensions": (lambda: np.array(3.0), _set((), 9)),
    "no items": (lambda: np.zeros((0, 3)), _no_way),
    "broadcast": (lambda: np.broadcast_to(np.zeros(1), (3,)), _write),
    "objects": (lambda: np.array([[1], {"a": [1]}, None], dtype=object), _append_to_first),
    "structured": (lambda: np.zeros(3, dtype=[("a", "i4"), ("b", "f8")]), lambda value: _write(value["a"])),
    "structured objects": (
        lambda: np.array([([1], 2.0)], dtype=[("a", "O"), ("b", "f8")]),
        lambda value: value["a"][0].append(9),
    ),
    "one structured item": (lambda: np.zeros(1, dtype=[("a", "i4")])[0], _set("a", 9)),
    "records": (lambda: np.rec.array([(1, 2.0)], names="a,b"), lambda value: _write(value.a)),
    "masked": (lambda: np.ma.masked_array([1, 2, 3], mask=[0, 1, 0]), _spoil_masked),
    "the masked constant": (lambda: np.ma.masked, _no_way),
    "dates of numpy": (lambda: np.array(["2013-01-01"], dtype="M8[D]"), _set(0, np.datetime64("2020-01-01"))),
    "an array of a subclass": (lambda: np.zeros(3).view(Vector), _spoil_first),
}
VIEWS = {
    "of bytes": (lambda: memoryview(b"abc"), _no_way),
    "of a bytearray": (lambda: memoryview(bytearray(b"abc")), _spoil_view),
    "of nothing": (lambda: memoryview(bytearray()), _no_way),
    "of two dimensions": (lambda: memoryview(np.zeros((2, 2))), _spoil_view),
    "of no items in two dimensions": (lambda: memoryview(np.zeros((0, 3))), _no_way),
    "of no dimensions": (lambda: memoryview(np.array(1.0)), _spoil_view),
    "with gaps": (lambda: memoryview(bytearray(b"abcdef"))[::2], _spoil_view),
    "read-only of a bytearray": (lambda: memoryview(bytearray(b"abc")).toreadonly(), lambda view: _set(0, 9)(view.obj)),
    "of the other byte order": (lambda: memoryview(np.array([1.0], dtype=">f8")), lambda view: _write(np.asarray(view))),
    "of a structure": (lambda: memoryview(np.zeros(2, dtype=[("a", "i4")])), lambda view: _write(np.asarray(view)["a"])),
    "in a list": (lambda: [memoryview(bytearray(b"abc"))], lambda value: _spoil_view(value[0])),
}
OTHERS = {
    "polars": (lambda: pl.DataFrame({"a": [1, 2], "l": [[1], [2]]}), _spoil_polars),
    "polars without columns": (pl.DataFrame, lambda frame: frame.insert_column(0, pl.Series("new", [], dtype=pl.Int64))),
    "polars objects": (
        lambda: pl.DataFrame({"o": pl.Series([[1], {2}], dtype=pl.Object), "a": [1, 2]}),
        lambda frame: frame["o"][0].append(9),
    ),
    "a series of polars": (lambda: pl.Series("a", [1, 2]), _spoil_first),
    "a series of polars objects": (lambda: pl.Series("o", [[1]], dtype=pl.Object), _append_to_first),
    "arrow": (
        lambda: pa.table({"a": np.arange(3.0), "b": ["x", "y", "z"]}),
        lambda table: _write(table["a"].chunk(0).to_numpy()),
    ),
    "arrow without columns": (lambda: pa.table({}), _no_way),
    "an arrow buffer": (lambda: pa.py_buffer(bytearray(b"abc")), lambda buffer: _spoil_view(memoryview(buffer))),
    "a bytearray": (lambda: bytearray(b"abc"), _spoil_first),
    "an array of Python": (lambda: array.array("d", [1, 2]), _spoil_first),
    "a deque": (lambda: collections.deque([[1]], maxlen=3), _append_to_first),
    "a dict with defaults": (lambda: collections.defaultdict(list, {"a": [1]}), lambda value: value["a"].append(9)),
    "a dict of a subclass": (lambda: Words(a=[1]), lambda value: value["a"].append(9)),
    "a named tuple": (lambda: Pair([1], (2,)), _append_to_first),
    "tuples and frozen sets": (lambda: ((1, (2,)), frozenset([(1,)])), _no_way),
    "an object": (lambda: Record([1]), lambda value: value.rows.append(9)),
    "objects in objects": (
        lambda: {"r": [Record([Slotted([1], Record({"a": (2, [3])}))])]},
        lambda value: value["r"][0].rows[0].second.rows["a"][1].append(9),
    ),
    "nested": (
        lambda: {
            "frames": [pd.DataFrame({"a": [1.0]}), pd.DataFrame()],
            "series": (pd.Series([1.0]),),
            "view": memoryview(bytearray(b"abc")),
        },
        _spoil_nested,
    ),
}
SHAPES = {
    **{f"frame: {name}": shape for name, shape in FRAMES.items()},
    **{f"series: {name}": shape for name, shape in SERIES.items()},
    **{f"array: {name}": shape for name, shape in ARRAYS.items()},
    **{f"view: {name}": shape for name, shape in VIEWS.items()},
    **OTHERS,
}


def make(name):
    """Make a value and keep a reference to it."""
    value = SHAPES[name][0]()
    KEPT[name] = [value]
    return value


def make_and_forget(name):
    """Make a value that nobody else holds."""
    return SHAPES[name][0]()


def take(name, value, *_after):
    """Return what can be seen of a value; then change it, and all of its shape that nodes of this process have held."""
    seen = repr(look(value))
    spoil = SHAPES[name][1]
    for kept in KEPT.pop(name, ()):
        spoil(kept)
    spoil(value)
    return seen
