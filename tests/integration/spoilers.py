"""Values of many kinds, and nodes that change whatever they get their hands on; importable here and in workers."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib

import numpy as np
import pandas as pd

HOARD = {}
"""What the nodes of this process have had in their hands, by kind, and have not let go of."""

SMALL, SEGMENT, RESIDENT = 10, 9_000, 140_000
"""Numbers of floats: such a value travels inside a message, is put into a memory file, or stays in its worker at first."""


def hoard(kind, value):
    """Keep a value; return it."""
    HOARD.setdefault(kind, []).append(value)
    return value


def _floats(kind, count):
    return hoard(kind, np.arange(float(count)))


def _structured(kind, count):
    return hoard(kind, np.array([(number, 0.5) for number in range(count)], dtype=[("a", "i8"), ("b", "f8")]))


def _objects(kind, count):
    array = np.empty(count, dtype=object)
    array[:] = [[number] if number % 2 else str(number) for number in range(count)]
    return hoard(kind, array)


def _frame(kind, count):
    return hoard(kind, pd.DataFrame({"a": np.arange(float(count)), "b": np.zeros(count), "i": range(count)}))


@dataclasses.dataclass
class Record:
    """An object with an attribute that can be changed."""

    number: int
    notes: list


def _records(count):
    return [Record(number, [number]) for number in range(count)]


def _records_and(keep):
    """Return a maker of records that keeps something of the last one."""

    def make_records(kind, count):
        records = _records(count)
        hoard(kind, keep(records[-1]))
        return records

    return make_records


def _texts(count):
    return [f"text {number % 7}" for number in range(count)]


MAKERS = {
    "C": _floats,
    "made and let go": lambda _kind, count: np.arange(float(count)),
    "Fortran": lambda kind, count: hoard(kind, np.asfortranarray(np.arange(float(2 * count)).reshape(2, count))),
    "strided": lambda kind, count: _floats(kind, 2 * count)[::2],
    "backwards": lambda kind, count: _floats(kind, count)[::-1],
    "structured": _structured,
    "objects": _objects,
    "from a buffer": lambda kind, count: np.frombuffer(hoard(kind, bytearray(8 * count)), dtype="i8"),
    "memoryview": lambda kind, count: memoryview(hoard(kind, bytearray(count))),
    "frame": _frame,
    "frame let go": lambda _kind, count: pd.DataFrame({"a": np.arange(float(count)), "i": range(count)}),
    "frame over an array": lambda kind, count: pd.DataFrame(_floats(kind, count).reshape(2, -1).T, copy=False),
    "frame over columns": lambda kind, count: pd.DataFrame({"a": _floats(kind, count)}, copy=False),
    "frame over labels": lambda kind, count: pd.DataFrame({"a": 0.5}, index=pd.Index(_floats(kind, count), copy=False)),
    "texts": lambda kind, count: hoard(kind, pd.DataFrame({"s": _texts(count), "n": range(count)})),
    "python texts": lambda _kind, count: pd.DataFrame({"s": pd.array(_texts(count), dtype="string[python]")}),
    "object texts": lambda _kind, count: pd.DataFrame({"s": np.array(_texts(count), dtype=object)}),
    "categories": lambda kind, count: pd.DataFrame({"c": hoard(kind, pd.Categorical(_texts(count)))}, copy=False),
    "nullable": lambda kind, count: pd.DataFrame({"n": hoard(kind, pd.array([1, None] * (count // 2)))}, copy=False),
    "mixed": lambda kind, count: hoard(
        kind,
        pd.DataFrame(
            {"t": pd.date_range("2013", periods=count), "s": _texts(count), "c": pd.Categorical(_texts(count)), "f": 1.5}
        ),
    ),
    "cells with lists": lambda kind, count: hoard(kind, pd.DataFrame({"l": [[number] for number in range(count)]})),
    "series": lambda kind, count: hoard(kind, pd.Series(np.arange(float(count)), name="s")),
    "series over an array": lambda kind, count: pd.Series(_floats(kind, count), copy=False),
    "series over nullable": lambda kind, count: pd.Series(hoard(kind, pd.array([True, None] * (count // 2))), copy=False),
    "lists": lambda kind, count: hoard(kind, [[number, [number]] for number in range(count)]),
    "records": lambda _kind, count: _records(count),
    "records of which one is kept": _records_and(lambda record: record),
    "records whose notes are kept": _records_and(lambda record: record.notes),
    "records whose attributes are kept": _records_and(vars),
    "record": lambda kind, count: Record(count, hoard(kind, [[number] for number in range(count)])),
    "dictionary": lambda kind, count: hoard(kind, {"a": np.arange(float(count)), "deep": {"l": [1, {"x": [2]}]}, "t": ([3],)}),
}
KINDS = tuple(MAKERS)
LARGE = ("C", "made and let go", "Fortran", "frame", "frame let go", "frame over an array", "texts", "series over an array")
"""Kinds of which there are some that stay in their worker at first too."""


def make(kind, count):
    """Make a value of a kind."""
    return MAKERS[kind]((kind, count), count)


def look(value):
    """Return all that there is to see of a value, as a text."""
    if isinstance(value, np.ndarray):
        seen = repr(value.tolist()).encode() if value.dtype.hasobject else value.tobytes()
        return f"{value.dtype} {value.shape} {hashlib.sha1(seen).hexdigest()}"
    if isinstance(value, (pd.DataFrame, pd.Series)):
        columns = [value] if isinstance(value, pd.Series) else [value.iloc[:, place] for place in range(value.shape[1])]
        seen = hashlib.sha1(str([axis.names for axis in value.axes]).encode())
        for cells in (*value.axes, *columns):
            if cells.dtype == object:
                seen.update("|".join(map(str, cells)).encode())
            else:
                numbers = isinstance(cells.dtype, np.dtype)
                seen.update(pd.util.hash_array(cells.to_numpy() if numbers else cells.array, categorize=False).tobytes())
        dtypes = [str(column.dtype) for column in columns]
        return f"{type(value).__name__} {value.shape} {dtypes} {value.attrs} {seen.hexdigest()}"
    if isinstance(value, dict):
        return str({key: look(each) for key, each in value.items()})
    if isinstance(value, memoryview):
        return f"{value.format} {value.shape} {hashlib.sha1(value.tobytes()).hexdigest()}"
    if isinstance(value, (list, tuple)) and len(value) < 10:
        return str([look(each) for each in value])
    return repr(value)


def spoil(value):
    """Change a value in every way that there is, down to its cells."""
    if isinstance(value, Record):
        value.number = -1
        spoil(value.notes)
    elif isinstance(value, np.ndarray):
        _spoil_array(value)
    elif isinstance(value, pd.api.extensions.ExtensionArray):
        value[:] = value[-1] if isinstance(value, pd.Categorical) else pd.NA
    elif isinstance(value, (pd.DataFrame, pd.Series)):
        _spoil_frame(value)
    elif isinstance(value, (bytearray, memoryview)):
        value[:] = b"\xff" * len(value)
    elif isinstance(value, (dict, list, tuple)):
        for each in value.values() if isinstance(value, dict) else value:
            spoil(each)
        if not isinstance(value, tuple):
            value.update(spoilt=True) if isinstance(value, dict) else value.append("spoilt")


def _spoil_array(array):
    if not array.flags.writeable:
        return
    if array.dtype == object:
        for cell in array.flat:
            spoil(cell)
    array[...] = np.zeros((), array.dtype) if array.dtype.names else -1


def _spoil_labels(frame):
    for axis in frame.axes:
        if axis.to_numpy().flags.writeable and axis.dtype != object:
            axis.to_numpy()[...] = axis.to_numpy()[-1]
        axis.name = "spoilt"


def _spoil_frame(frame):
    _spoil_labels(frame)
    columns = [frame] if isinstance(frame, pd.Series) else [frame.iloc[:, place] for place in range(frame.shape[1])]
    for column in columns:
        if column.dtype == object:
            for cell in column:
                spoil(cell)
        elif isinstance(column.dtype, (pd.CategoricalDtype, pd.Int64Dtype)):
            with contextlib.suppress(ValueError):  # pandas 3 gives it read-only
                column.array[:] = column.array[-2]
        memory = column.to_numpy()
        if memory.flags.writeable and memory.dtype != object:
            memory[...] = memory[-1]
    frame.attrs["spoilt"] = True
    if isinstance(frame, pd.Series):
        frame.iloc[0] = frame.iloc[-2]
        return
    for place in range(frame.shape[1]):
        frame.isetitem(place, frame.iloc[::-1, place].array)
        frame.iloc[0, place] = frame.iloc[-2, place]
    if "spoilt" not in frame:
        frame.insert(0, "spoilt", 1)


def raid(*kinds):
    """Change all that nodes of this process had of some kinds and kept, and let go of it."""
    for kind in kinds:
        for value in HOARD.pop(kind, ()):
            spoil(value)


# --- nodes ---------------------------------------------------------------------------------------------------------------


def produce(what):
    """Make a value, and a copy of it that shares its memory where there is such a thing; keep both."""
    value = make(*what)
    rows = value.iloc if isinstance(value, (pd.Series, pd.DataFrame)) else value
    shared = rows[1:] if isinstance(value, (np.ndarray, pd.Series, pd.DataFrame)) else value
    return value, shared, what


def see(value, what, *others):
    """Tell what there is to see, then change it, and all that was in this process's hands before of this and others; keep it."""
    raid(what, *others)
    seen = look(value)
    spoil(value)
    hoard(what, value)
    return seen


def hand_on(value, what):
    """Change a value and return the very same, and where it is kept: only nodes after this one look there.

    In a runner of threads, another node could change the value while this one returns it, before the runner has it.
    """
    spoil(value)
    kept = (*what, id(value))
    return hoard(kept, value), kept
