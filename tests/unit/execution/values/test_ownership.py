"""Values are passed on without a copy only if no other code can reach their memory."""

from __future__ import annotations

import datetime as dt
import random
import weakref
from collections import Counter, OrderedDict, defaultdict, deque
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest

from treadle.execution.values.ownership import claim_ownership, share_copy_on_write

KEPT = []
ON_WRITE = int(pd.__version__.partition(".")[0]) >= 3


@pytest.fixture(autouse=True)
def _nothing_kept():
    yield
    KEPT.clear()


def keep(value):
    KEPT.append(value)
    return value


def keep_of(value, part):
    """Keep a part of a value; return the value."""
    KEPT.append(part(value))
    return value


def frame():
    return pd.DataFrame({"a": np.arange(100.0), "b": np.zeros(100), "i": range(100)})


def mixed():
    return pd.DataFrame(
        {
            "d": pd.date_range("2013", periods=3),
            "z": pd.date_range("2013", periods=3, tz="UTC"),
            "t": pd.to_timedelta([1, 2, 3]),
            "s": list("abc"),
            "p": pd.array(list("abc"), dtype="string[python]"),
            "c": pd.Categorical(list("aba")),
            "n": pd.array([1, None, 3], dtype="Int64"),
        }
    )


ARRAYS = {
    "C": lambda: np.zeros(9),
    "Fortran": lambda: np.zeros((3, 3), order="F"),
    "structured": lambda: np.zeros(3, dtype=[("a", "i4"), ("b", "f8")]),
}
FRAMES = {
    "new": frame,
    "computed": lambda: frame() + 1,
    "selected": lambda: frame()[lambda table: table.a > 3],
    "with another column": lambda: frame().assign(z=3.0),
    "grouped": lambda: frame().groupby("b").sum(),
    "merged": lambda: frame().merge(frame(), on="a"),
    "sorted": lambda: frame().sort_values("a", ascending=False),
    "looked up": lambda: keep_of(frame().set_index("i"), lambda table: float(table.loc[5, "a"])),
    "of many types": mixed,
    "a column": lambda: frame()["a"],
    "a series": lambda: pd.Series(np.zeros(9)),
    "over an array that is let go": lambda: pd.DataFrame(np.zeros((9, 3)), copy=False),
    "empty": lambda: pd.DataFrame({"a": []}),
}
SHARED = {
    "an array that is kept": lambda: keep(np.zeros(9)),
    "a view": lambda: np.zeros(9)[1:],
    "an array whose view is kept": lambda: keep_of(np.zeros(9), lambda array: array[1:]),
    "an array whose memory is kept": lambda: keep_of(np.zeros(9), memoryview),
    "an array that a weak reference leads to": lambda: keep_of(np.zeros(9), weakref.ref),
    "an array over a buffer": lambda: np.frombuffer(bytearray(80)),
    "a read-only array": lambda: keep_of(np.zeros(9), lambda array: array.setflags(write=False)),
    "objects": lambda: np.array([[1], 2], dtype=object),
    "a frame that is kept": lambda: keep(frame()),
    "a frame over an array": lambda: pd.DataFrame(keep(np.zeros((9, 3))), copy=False),
    "a frame over a column": lambda: pd.DataFrame({"a": keep(np.zeros(9))}, copy=False),
    "a series over an array": lambda: pd.Series(keep(np.zeros(9)), copy=False),
    "a series over a part": lambda: pd.Series(keep(np.zeros(9))[2:], copy=False),
    "a series over a buffer": lambda: pd.Series(np.frombuffer(keep(bytearray(80))), copy=False),
    "a series over a nullable array": lambda: pd.Series(keep(pd.array([1, None])), copy=False),
    "a nullable array over an array": lambda: pd.Series(
        pd.arrays.IntegerArray(keep(np.zeros(3, "i8")), np.zeros(3, bool)), copy=False
    ),
    "a series over a categorical": lambda: pd.Series(keep(pd.Categorical(list("ab"))), copy=False),
    "a series over dates": lambda: pd.Series(keep(pd.array(pd.date_range("2013", periods=2))), copy=False),
    "a frame whose column is kept": lambda: keep_of(frame(), lambda table: table["a"]),
    "a frame whose extension array is kept": lambda: keep_of(mixed(), lambda table: table["n"].array),
    "a frame whose numbers are kept": lambda: keep_of(pd.DataFrame(np.zeros((9, 3))), lambda table: table.to_numpy()),
    "a frame with attributes": lambda: keep_of(frame(), lambda table: table.attrs.update(notes=[1])),
    "a frame with something hung on it": lambda: keep_of(frame(), lambda table: object.__setattr__(table, "notes", [1])),
    "a frame that a weak reference leads to": lambda: keep_of(frame(), weakref.ref),
    "a frame in a weak dictionary": lambda: keep_of(frame(), lambda table: weakref.WeakValueDictionary(cached=table)),
    "a frame with lists in its cells": lambda: pd.DataFrame({"a": [[1], [2]]}),
    "a type that is not known for certain": lambda: pd.DataFrame({"a": pd.arrays.SparseArray([0, 1])}),
    "an object of an extension module": lambda: random.Random(1),
}
NESTS = {
    "a list": lambda: [1, "a", None, 2.5, b"b", dt.date(2024, 1, 1), Decimal(3)],
    "records": lambda: [{"id": number, "name": "a"} for number in range(3)],
    "columns": lambda: {"id": [1, 2], "name": ["a", "b"], ("a", 1): {1, 2}},
    "JSON": lambda: {"a": [{"b": [1, {"c": [None, True]}]}, []], "d": {}},
    "tuples of constants": lambda: [keep((1, "a")), frozenset({1})],
    "arrays": lambda: {"a": np.zeros(9), "b": [np.zeros(3), {"c": np.ones(2)}]},
    "constants that are kept": lambda: [keep("a" * 99), keep(Decimal(3))],
    "attributes of an object": lambda: vars(Record([1])),
    "nothing": dict,
    "an object": lambda: Record([1]),
    "an object whose dictionary was looked at": lambda: keep_of(Record([1]), lambda record: len(vars(record))),
    "an object that looked at its dictionary, inside": lambda: [keep_of(Record([1]), lambda record: len(vars(record)))],
    "objects": lambda: [Record([1]), Record({"a": Record([2])})],
    "objects as keys": lambda: {Record([1]): 1},
    "objects in a set": lambda: {Record([1])},
    "objects with slots": lambda: [Slots(1, [2]), MoreSlots(Slots(1, 2), Record([3]))],
    "objects with arrays": lambda: [Record(np.zeros(9)), Slots(np.zeros(9), {"c": np.ones(2)})],
    "objects of a type with an odd module": lambda: [type("Odd", (), {"__module__": None})()],
    "objects of a class with a metaclass": lambda: [Meta(), Meta()],
    "members of an enumeration": lambda: [Colour.RED, Record(Colour.RED)],
    "named tuples": lambda: [Point(1, "a"), keep(Point(2, "b"))],
    "named tuples with lists": lambda: [Point(1, ["a"])],
    "a list in a tuple": lambda: [([1],), ([2], ())],
    "a list in tuples in tuples": lambda: [(1, (2, [3]))],
    "containers of the standard library": lambda: [OrderedDict(a=[1]), defaultdict(list, a=[1]), Counter("ab"), deque([[1]])],
    "a subclass": lambda: Names(["a"]),
    "a subclass with attributes": lambda: Names([["a"]], owner=Record([1])),
    "subclasses of other containers": lambda: [Queue([[1]]), Groups(list, a=[1])],
    "a namespace": lambda: SimpleNamespace(items=[1], record=Record([2])),
    "numbers of numpy": lambda: {"rmse": np.float64(0.5), "n": keep(np.int64(3))},
    "a time of pandas": lambda: [keep(pd.Timestamp("2024-01-01")), pd.NaT],
}
SHARED_NESTS = {
    "a list that is kept": lambda: keep([1]),
    "a list whose iterator is kept": lambda: keep_of([1], iter),
    "a dictionary whose view is kept": lambda: keep_of({"a": 1}, dict.values),
    "a record that is kept": lambda: [{"id": 1}, keep({"id": 2})],
    "a record that a weak reference leads to": lambda: keep_of([{1}, {2}], lambda sets: weakref.ref(sets[1])),
    "a set that a weak reference leads to": lambda: keep_of({1}, weakref.ref),
    "something deep that is kept": lambda: {"a": [{"b": [1, keep([2])]}]},
    "a list in a tuple that is kept": lambda: [keep(([1],))],
    "a list in a tuple that is kept, beside others": lambda: [([2],), (1, keep(([1],)))],
    "a list that is kept, in a tuple": lambda: [(keep([1]),)],
    "one list in two places": lambda: [[1]] * 2,
    "a cycle": lambda: (cycle := [[]], cycle[0].append(cycle[0])) and cycle,
    "an array that is kept": lambda: {"a": keep(np.zeros(9))},
    "an array and a view of it": lambda: [array := np.zeros(9), array[1:]],
    "a frame over an array": lambda: [pd.DataFrame(keep(np.zeros((9, 3))), copy=False)],
    "an object that is kept": lambda: [keep(Record([1]))],
    "an object whose items are kept": lambda: Record(keep([1])),
    "an object with slots whose items are kept": lambda: [MoreSlots(1, keep([2]))],
    "an object whose dictionary is kept": lambda: keep_of(Record([1]), vars),
    "an object whose dictionary is kept, inside": lambda: [keep_of(Record([1]), vars)],
    "an object whose method is kept": lambda: keep_of(Record([1]), lambda record: record.count),
    "an object with a method of another": lambda: Record(keep(Record([1])).count),
    "an object that a weak reference leads to": lambda: keep_of(Record([1]), weakref.ref),
    "an object inside that a weak reference leads to": lambda: keep_of([Record([1])], lambda records: weakref.ref(records[0])),
    "an object that refers to itself": lambda: (record := Record([1]), record.items.append(record)) and record,
    "an object with an iterator over its items": lambda: with_iterator(Record([1])),
    "an object over an array": lambda: Record(keep(np.zeros(9))),
    "an object with a view": lambda: Record(np.zeros(9)[1:]),
    "an object in a named tuple that is kept": lambda: [keep(Point(1, Record([1])))],
    "a subclass whose attribute is kept": lambda: Names(["a"], owner=keep(Record([1]))),
    "a subclass of another container that a weak reference leads to": lambda: [keep_of(Queue([[1]]), weakref.ref)],
    "a subclass of another container whose items are kept": lambda: [Groups(list, a=keep([1]))],
    "a container of the standard library that is kept": lambda: [keep(deque([[1]]))],
    "a default that is made by an object": lambda: defaultdict(Record([1]).count),
    "an instance of a subclass of an extension type": lambda: [Draws(1)],
    "a frame in an object, over an array": lambda: Record(pd.DataFrame(keep(np.zeros((9, 3))), copy=False)),
    "attributes of an object that is kept": lambda: vars(keep(Record([1]))),
    "attributes of such an object, inside": lambda: [vars(keep(Record([1])))],
    "attributes of an object that are shared": lambda: vars(Record(keep([1]))),
    "a method of an object": lambda: {"draw": random.Random(1).random},
    "a slice of objects": lambda: [slice([1])],
    "a frame in a weak dictionary": lambda: keep_of([frame()], lambda tables: weakref.WeakValueDictionary(cached=tables[0])),
    "objects of a type without a hash": lambda: [Unhashable("Odd", (), {})()],
}


class Unhashable(type):
    """The type of classes that have no hash."""

    __hash__ = None


@dataclass(eq=False)
class Record:
    """An object whose attribute can be changed."""

    items: list

    def count(self):
        """Return the number of items."""
        return len(self.items)


class Slots:
    """An object without a dictionary."""

    __slots__ = ("first", "second")

    def __init__(self, first, second):
        self.first, self.second = first, second


class MoreSlots(Slots):
    """An object whose slots are those of two classes, with a private one that is empty."""

    __slots__ = ("__private", "__weakref__")


class Registered(type):
    """A class of classes."""


class Meta(metaclass=Registered):
    """A class whose own class is not `type`."""


class Colour(Enum):
    """Constants."""

    RED = "red"


class Names(list):
    """A list with an attribute."""

    def __init__(self, items, owner=None):
        super().__init__(items)
        self.owner = owner


class Queue(deque):
    """A deque with a dictionary of attributes."""


class Groups(defaultdict):
    """A dictionary with a default and attributes."""


class Draws(random.Random):
    """A class of Python code whose base has memory of its own."""


class Point(NamedTuple):
    """A tuple with names."""

    x: int
    name: object


def with_iterator(record):
    """Give a record an iterator over its items."""
    record.at = iter(record.items)
    return record


def is_claimed(make):
    holder = {0: make()}
    return claim_ownership(holder, 0)


@pytest.mark.parametrize("name", ARRAYS)
def test_an_unshared_array_is_not_copied(name):
    """A plain array that owns its memory and has no other reference can be passed on without a copy."""
    assert is_claimed(ARRAYS[name])


@pytest.mark.parametrize("name", FRAMES)
def test_an_unshared_frame_is_not_copied(name):
    """A frame or series under copy-on-write whose blocks have no other reference can be passed on without a copy."""
    assert is_claimed(FRAMES[name]) == ON_WRITE


@pytest.mark.parametrize("name", SHARED)
def test_a_shared_value_is_copied(name):
    """A value is copied if there is another reference to the object, its memory or its cells."""
    assert not is_claimed(SHARED[name])


@pytest.mark.parametrize("name", NESTS)
def test_an_unshared_nest_is_not_copied(name):
    """Containers of constants and unshared arrays, none of which has another reference, can be passed on without a copy."""
    assert is_claimed(NESTS[name])


@pytest.mark.parametrize("name", SHARED_NESTS)
def test_a_shared_nest_is_copied(name):
    """A container is copied if there is another reference to anything in it that can be changed."""
    assert not is_claimed(SHARED_NESTS[name])


def test_an_unshared_frame_in_a_container_is_not_copied():
    """A dictionary of frames is passed on like the frames themselves."""
    assert is_claimed(lambda: {"train": frame(), "test": [frame(), 1]}) == ON_WRITE


@pytest.mark.skipif(not ON_WRITE, reason="frames are handed over under copy-on-write only")
def test_labels_over_an_array_are_copied():
    """Labels may be made of an array that other code still references, so they are copied."""
    labels = np.arange(3.0)
    holder = {0: pd.DataFrame({"a": np.zeros(3)}, index=pd.Index(labels, copy=False, name="at"))}
    assert claim_ownership(holder, 0)
    labels[:] = 9
    assert holder[0].index.tolist() == [0, 1, 2]
    assert holder[0].index.name == "at"


@pytest.mark.skipif(not ON_WRITE, reason="this pandas does not copy on write")
def test_frames_that_share_memory_are_isolated():
    """The new frame shares memory until either frame is written to; labels and their names are isolated too."""
    stored = frame()
    first, second = share_copy_on_write(stored), share_copy_on_write(stored)
    assert np.shares_memory(first["a"].to_numpy(), stored["a"].to_numpy())
    first.loc[0, "a"] = -1
    first.index.name = "changed"
    first.columns = ["x", "y", "z"]
    stored.loc[1, "a"] = -2
    assert second["a"].tolist() == frame()["a"].tolist()
    assert stored.loc[0, "a"] == 0
    assert stored.index.name is None
    assert not second["a"].to_numpy().flags.writeable


def test_only_plain_frames_share_memory():
    """Arrays, lists and frames with extension arrays, which can be written to past the frame, do not share memory."""
    assert share_copy_on_write(np.zeros(3)) is None
    assert share_copy_on_write(mixed()) is None
    assert share_copy_on_write(pd.DataFrame({"a": [[1]]})) is None
    assert (share_copy_on_write(pd.Series([1.0])) is not None) == ON_WRITE


@pytest.mark.skipif(not ON_WRITE, reason="frames are copied without copy-on-write")
def test_a_range_of_labels_takes_no_memory():
    """Claiming and sharing a frame does not make pandas create the array of its row labels, which it would keep."""
    holder = {0: frame()}
    assert claim_ownership(holder, 0)
    assert share_copy_on_write(holder[0]) is not None
    assert "_data" not in holder[0].index._cache
