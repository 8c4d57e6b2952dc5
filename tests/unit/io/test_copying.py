from __future__ import annotations

import copyreg
import datetime as dt
import enum
import random
import threading
from collections import OrderedDict, namedtuple

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.errors import DatasetError
from treadle.io.copying import CopyMode, copy_value


class Colour(enum.Enum):
    RED = "red"


class Holder:
    def __init__(self, content):
        self.content = content


class Basket(namedtuple("Basket", ["fruits"])):  # noqa: PYI024 - a NamedTuple cannot have its own `__getnewargs__`
    """A named tuple whose `__iter__` does not return its fields."""

    __slots__ = ()

    def __iter__(self):
        return iter(self.fruits)

    def __getnewargs__(self):  # that of named tuples calls `__iter__`
        return (self.fruits,)


class Picky:
    """Refuses pickle, takes a deep copy."""

    def __init__(self):
        self.items = [1]

    def __reduce_ex__(self, protocol):
        msg = "no pickle"
        raise TypeError(msg)

    def __deepcopy__(self, memo):
        other = Picky()
        other.items = list(self.items)
        return other


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        3,
        2.5,
        "text",
        b"bytes",
        dt.date(2013, 1, 1),
        Colour.RED,
        (1, "a"),
        len,
        Colour,
        np.float64(1.5),
        frozenset({1}),
    ],
    ids=repr,
)
def test_constants_are_handed_over(value):
    """What cannot change is handed over as it is."""
    assert copy_value(value) is value


def test_assign_hands_over_the_object():
    """Under assign, the very object arrives."""
    value = [1]
    assert copy_value(value, CopyMode.ASSIGN) is value


def test_copy_is_shallow():
    """Under copy, the outside is new and the inside shared."""
    value = {"inner": [1]}
    copied = copy_value(value, CopyMode.COPY)
    assert copied is not value
    assert copied["inner"] is value["inner"]


@pytest.mark.parametrize("mode", [None, CopyMode.DEEPCOPY])
@pytest.mark.parametrize("value", [{}, [], set(), OrderedDict(), bytearray()], ids=repr)
def test_empty_containers_are_isolated(value, mode):
    """The copy of an empty container is another one, of the same type."""
    copied = copy_value(value, mode)
    assert copied is not value
    assert (type(copied), copied) == (type(value), value)


@pytest.mark.parametrize(
    "value",
    [
        [1, "a", None, 2.5],
        {"a": 1, (1, 2): b"b"},
        {1, "a"},
        [{"id": 1}, {"id": 2}],
        [{"id": 1}, [2], {3}, (4,), 5],
        {"a": [1, 2], "b": {"c": 3}, "d": {4}, "e": (5,), "f": 6},
        [(1, 2), (3, 4)],
        [[[1]], [[2]]],
    ],
    ids=repr,
)
def test_containers_of_containers_are_equal_and_isolated(value):
    """The copy has the same order and types, and shares no list, dictionary or set with the original."""
    copied = copy_value(value)
    assert repr(copied) == repr(value)
    shared = {id(part) for part in _all_containers(copied)} & {id(part) for part in _all_containers(value)}
    assert not shared


def test_the_attributes_of_an_object_are_isolated():
    """A node may return `vars(something)`."""
    holder = Holder([1])
    copied = copy_value(vars(holder))
    copied["content"].append(2)
    assert holder.content == [1]


@pytest.mark.parametrize("mode", [None, CopyMode.DEEPCOPY])
def test_named_tuples_with_another_iter_are_isolated(mode):
    """Constants that a named tuple yields do not make its fields constants."""
    basket = Basket(["apple"])
    copied, (inside,) = copy_value(basket, mode), copy_value([basket], mode)
    copied.fruits.append("pear")
    inside.fruits.append("fig")
    assert basket.fruits == ["apple"]
    assert type(copied) is Basket


def test_methods_of_objects_are_isolated_with_them():
    """A built-in method refers to its object, which is copied, too."""
    value = {"draw": random.Random(1).random}
    first, second = copy_value(value), copy_value(value)
    assert first["draw"]() == second["draw"]() == value["draw"]()
    # A method alone, and one beside a function that cannot be pickled.
    alone = random.Random(2).random
    assert copy_value(alone)() == copy_value(alone)()
    beside = {"draw": random.Random(3).random, "local": lambda: 1, "built in": len}
    first, second = copy_value(beside), copy_value(beside)
    assert first["draw"]() == second["draw"]()
    assert (first["local"], first["built in"]) == (beside["local"], len)


def test_objects_of_a_type_with_an_odd_module_are_isolated():
    """A class may set its `__module__` to anything."""
    kind = type("Odd", (Holder,), {"__module__": None})
    value = [kind([1])]
    copy_value(value)[0].content.append(2)
    assert value[0].content == [1]


def _all_containers(value):
    if isinstance(value, (list, dict, set)):
        yield value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple, set)) else ():
        yield from _all_containers(part)


def test_types_that_are_registered_later_are_copied_by_their_function():
    """A function that is registered with `copyreg` for a type is used from then on."""
    copyreg.pickle(Refuser, lambda _refuser: (Refuser, ("restored",)))
    try:
        assert copy_value([Refuser("first")])[0].name == "restored"
    finally:
        del copyreg.dispatch_table[Refuser]


class Refuser:
    """An object that pickle cannot copy by itself."""

    def __init__(self, name):
        self.name = name

    def __reduce_ex__(self, _protocol):
        raise TypeError("cannot be pickled")


@pytest.mark.parametrize("mode", [None, CopyMode.DEEPCOPY])
def test_nested_containers_are_isolated(mode):
    """A change deep in a nest of lists, dicts and sets does not reach the original."""
    value = {"a": [[1], {"b": {2}}], "c": (["x"],)}
    copied = copy_value(value, mode)
    copied["a"][0].append(9)
    copied["a"][1]["b"].add(9)
    copied["c"][0].append(9)
    assert value == {"a": [[1], {"b": {2}}], "c": (["x"],)}


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6),
        np.asfortranarray(np.ones((2, 3))),
        np.zeros(3, dtype=[("a", "i4"), ("b", "f8")]),
        np.ma.masked_array([1, 2], mask=[0, 1]),
        np.array(5.0),
    ],
    ids=["plain", "fortran", "structured", "masked", "scalar"],
)
def test_arrays_are_isolated_and_writable(array):
    """A copied array shares no memory, keeps its kind and layout, and can be written to."""
    copied = copy_value(array)
    assert type(copied) is type(array)
    assert copied.dtype == array.dtype
    assert copied.flags.f_contiguous == array.flags.f_contiguous
    assert copied.flags.writeable
    assert not np.shares_memory(np.asarray(copied), np.asarray(array))
    np.testing.assert_array_equal(copied, array)


def test_read_only_arrays_arrive_writable():
    """A read-only array is copied to one that can be written to, alone and inside a container."""
    array = np.arange(3)
    array.flags.writeable = False
    alone, inside = copy_value(array), copy_value({"array": array})["array"]
    alone[0] = inside[0] = 9
    assert array[0] == 0


def test_object_arrays_are_isolated():
    """The cells of an object array are copied, too."""
    array = np.empty(2, dtype=object)
    array[:] = [[1], {"a": [2]}]
    copied = copy_value(array)
    copied[0].append(9)
    copied[1]["a"].append(9)
    assert array[0] == [1]
    assert array[1] == {"a": [2]}


def _frame():
    return pd.DataFrame(
        {
            "number": [1, 2],
            "text": ["a", "b"],
            "python_text": pd.Series(["a", None], dtype=object),
            "kind": pd.Categorical(["x", "y"]),
            "when": pd.to_datetime(["2013-01-01", "2013-01-02"]).tz_localize("UTC"),
            "nullable": pd.array([1, None], dtype="Int64"),
            "span": pd.period_range("2013", periods=2, freq="Y"),
        },
        index=pd.Index(["r1", "r2"], name="row"),
    )


def test_frames_are_equal_and_isolated():
    """A frame with columns of many types arrives equal, and no change to it reaches the original."""
    frame = _frame()
    copied = copy_value(frame)
    pd.testing.assert_frame_equal(copied, frame)
    copied.loc["r1", "number"] = 9
    copied.loc["r1", "text"] = "z"
    copied.loc["r1", "python_text"] = "z"
    copied.loc["r1", "nullable"] = 9
    copied["kind"] = copied["kind"].cat.rename_categories({"x": "z"})
    copied.index.name = "other"
    copied["new"] = 1
    pd.testing.assert_frame_equal(frame, _frame())


def test_frames_share_no_memory():
    """The numbers of a copied frame lie elsewhere, so not even a write past pandas reaches the original."""
    frame = pd.DataFrame({"a": np.arange(4.0), "b": np.arange(4.0)})
    copied = copy_value(frame)
    assert not np.shares_memory(copied["a"].to_numpy(), frame["a"].to_numpy())


@pytest.mark.parametrize("mode", [None, CopyMode.DEEPCOPY])
def test_nested_cells_are_isolated(mode):
    """A change inside a cell that holds a list does not reach the original frame or series."""
    frame = pd.DataFrame({"plain": [1, 2], "cells": [[1], [2]]})
    series = pd.Series([{"a": [1]}])
    copy_value(frame, mode).loc[0, "cells"].append(9)
    copy_value(series, mode)[0]["a"].append(9)
    assert frame.loc[0, "cells"] == [1]
    assert series[0] == {"a": [1]}


def test_nested_cells_are_isolated_inside_containers_and_objects():
    """So does none in a frame held by a dict, by an object, or beside a function that cannot be pickled."""
    frame = pd.DataFrame({"cells": [[1]]})
    for held, take in (
        ({"frame": frame}, lambda held: held["frame"]),
        (Holder(frame), lambda held: held.content),
        ({"frame": frame, "function": lambda: None}, lambda held: held["frame"]),
    ):
        take(copy_value(held)).loc[0, "cells"].append(9)
    assert frame.loc[0, "cells"] == [1]


def test_frame_attributes_are_isolated():
    """The notes that a frame carries in `attrs` are copied, too."""
    frame = pd.DataFrame({"a": [1]})
    frame.attrs["notes"] = ["x"]
    copied = copy_value(frame)
    copied.attrs["notes"].append("y")
    assert frame.attrs == {"notes": ["x"]}


def test_mutable_categories_are_isolated():
    """Categories that can change are copied with the frame."""
    frame = pd.DataFrame({"kind": pd.Categorical([Label("x")])})
    copy_value(frame)["kind"].cat.categories[0].text = "z"
    assert frame["kind"].cat.categories[0].text == "x"


class Label:
    """A label that can be hashed and yet changed."""

    def __init__(self, text):
        self.text = text

    def __lt__(self, other):
        return id(self) < id(other)


def test_wide_frames_with_duplicate_names_are_copied():
    """Columns of one name do not confuse the copy."""
    frame = pd.DataFrame([[1, ["a"]]], columns=["x", "x"])
    copied = copy_value(frame)
    copied.iloc[0, 1].append("b")
    assert frame.iloc[0, 1] == ["a"]


def test_indexes_are_copied():
    """An index, plain or of many levels, arrives equal."""
    for index in (pd.Index([1, 2], name="n"), pd.MultiIndex.from_product([["a"], [1, 2]]), pd.date_range("2013", periods=2)):
        pd.testing.assert_index_equal(copy_value(index), index)


def test_local_functions_pass():
    """A value that holds a lambda or an instance of a local class is copied, the code itself shared."""

    class Local:
        def __init__(self):
            self.items = [1]

    function = lambda: None
    value = {"function": function, "local": Local()}
    copied = copy_value(value)
    copied["local"].items.append(2)
    assert copied["function"] is function
    assert type(copied["local"]) is Local
    assert value["local"].items == [1]


def test_values_that_refuse_pickle_are_deep_copied():
    """A value that refuses pickle but knows how to copy itself is copied its own way."""
    value = [Picky()]
    copied = copy_value(value)
    copied[0].items.append(2)
    assert value[0].items == [1]


def test_values_that_refuse_to_be_copied():
    """A value that nobody can copy is an error that says how to hand it over uncopied."""
    with pytest.raises(DatasetError, match=r"(?s)_thread.lock cannot be copied.*copy_mode: assign"):
        copy_value(threading.Lock())


def test_shared_references_stay_shared():
    """Two references to one list are two references to one copy, cycles included."""
    rows = copy_value([record := {"a": 1}, record])
    assert rows[0] is rows[1]
    inner: list = [1]
    inner.append(inner)
    copied = copy_value([inner, inner])
    assert copied[0] is copied[1]
    assert copied[0][1] is copied[0]


def test_copy_modes_by_name():
    """A mode is known by its word, and an unknown word is an error that lists them."""
    assert CopyMode.parse("deepcopy") is CopyMode.DEEPCOPY
    assert CopyMode.parse(None) is None
    with pytest.raises(DatasetError, match="no copy mode 'clone'"):
        CopyMode.parse("clone")


def test_immutable_tables_are_shared():
    """An Arrow table cannot change, so it is handed over as it is."""
    table = pytest.importorskip("pyarrow").table({"a": [1, 2]})
    assert copy_value(table) is table


def test_sparse_frames_are_isolated():
    """Sparse columns arrive equal."""
    frame = pd.DataFrame({"a": pd.arrays.SparseArray([0, 0, 1])})
    pd.testing.assert_frame_equal(copy_value(frame), frame)


def _mutable_parts(value):
    if isinstance(value, (list, dict)):
        yield id(value)
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ():
        yield from _mutable_parts(part)


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3) | st.tuples(inner, inner)
        ),
        max_leaves=12,
    )
)
def test_any_nest_is_equal_and_isolated(value):
    """Whatever the nest, its copy is equal and shares no list or dict with it."""
    copied = copy_value(value)
    assert copied == value
    assert not set(_mutable_parts(copied)) & set(_mutable_parts(value))
