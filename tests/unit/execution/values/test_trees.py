"""Copies of values that are trees: equal, of the same types, and without a common part that can be changed."""

from __future__ import annotations

import copy
import copyreg
import sys
from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from enum import Enum
from types import FunctionType
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.execution.values.ownership import claim_ownership
from treadle.execution.values.trees import copy_tree


class Plain:
    """An instance with a dictionary."""

    def __init__(self, *parts):
        self.parts, self.count = parts, len(parts)

    def __eq__(self, other):
        return type(other) is type(self) and vars(self) == vars(other)

    __hash__ = None


@dataclass
class Record:
    """A dataclass."""

    number: int
    rest: Any


@dataclass
class Longer(Record):
    """A derived dataclass."""

    more: Any = None


class Slotted:
    """An instance with slots, one of them with a private name, and room for weak references."""

    __slots__ = ("__second", "__weakref__", "first")

    def __init__(self, first, second):
        self.first, self.__second = first, second

    def __eq__(self, other):
        return type(other) is type(self) and (self.first, self.__second) == (other.first, other.__second)

    __hash__ = None


class Both(Slotted):
    """Slots of its base, and a dictionary."""


T = TypeVar("T")


class Box(Generic[T]):
    """A generic class."""

    def __init__(self, content):
        self.content = content

    def __eq__(self, other):
        return type(other) is type(self) and self.content == other.content

    __hash__ = None


class Pair(NamedTuple):
    """A named tuple."""

    left: Any
    right: Any


class Color(Enum):
    """An enumeration."""

    RED = 1


CONSTANTS = st.one_of(
    st.none(), st.integers(), st.text(max_size=3), st.floats(allow_nan=False), st.just(copy.deepcopy), st.just(Color.RED)
)
VALUES = st.recursive(
    CONSTANTS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.one_of(st.text(max_size=2), st.integers()), inner, max_size=4),
        st.sets(st.integers(), max_size=3),
        st.frozensets(st.integers(), max_size=3),
        st.tuples(inner, inner),
        st.builds(Pair, inner, inner),
        st.builds(Plain, inner, inner),
        st.builds(Record, st.integers(), inner),
        st.builds(Longer, st.integers(), inner, inner),
        st.builds(Slotted, inner, inner),
        st.builds(Both, inner, inner),
        st.builds(Box, inner),
    ),
    max_leaves=20,
)


def changeable_parts(value):
    """Return the parts of a value that can be changed, by their identity."""
    found, left = {}, [value]
    while left:
        part = left.pop()
        kind = type(part)
        if kind in (list, tuple, Pair, set, frozenset):
            left += list(part)
        elif kind is dict:
            left += [*part, *part.values()]
        elif hasattr(part, "__dict__") and not isinstance(part, (Enum, FunctionType)) and kind.__module__ == __name__:
            left += list(vars(part).values())
        if isinstance(part, Slotted):
            left += [part.first, part._Slotted__second]
        if kind in (list, dict, set) or (kind.__module__ == __name__ and kind not in (Pair, Color)):
            found[id(part)] = part
    return found


@given(VALUES)
def test_a_copy_is_equal_and_shares_nothing(value):
    """All kinds of parts at all depths; `value` is a tree, because each part was drawn by itself."""
    before, expected = copy.deepcopy(value), changeable_parts(value)
    copied = copy_tree(value)
    if copied is None:
        assert not expected
        return
    assert copied == value == before
    assert type(copied) is type(value)
    assert [type(each) for each in changeable_parts(copied).values()] == [type(each) for each in expected.values()]
    assert changeable_parts(copied).keys().isdisjoint(expected)


def test_arrays_and_frames_are_copied():
    """By their own libraries."""
    value = {"array": np.arange(3.0), "more": [Box(pd.DataFrame({"a": [1, 2]})), Box(pd.Series([1.5]))]}
    copied = copy_tree(value)
    copied["array"][0] = 7
    copied["more"][0].content.loc[0, "a"] = 7
    copied["more"][1].content.loc[0] = 7
    assert value["array"][0] == 0
    assert value["more"][0].content.loc[0, "a"] == 1
    assert value["more"][1].content.loc[0] == 1.5


def test_an_array_alone_is_left_to_its_library():
    """There are better ways to copy it."""
    assert copy_tree(np.arange(3)) is None
    assert copy_tree(pd.DataFrame({"a": [1]})) is None


def test_constant_tuples_are_not_copied():
    """They can be shared."""
    value = [(1, "a"), Pair(1, 2.5)]
    copied = copy_tree(value)
    assert copied is not value
    assert all(mine is theirs for mine, theirs in zip(value, copied, strict=True))


def own(method, result=None):
    """Return a class with a method of its own."""
    return type("Own", (), {method: lambda *_arguments: result})


class Made:
    """Counts its instances."""

    def __new__(cls):
        """Create one."""
        return super().__new__(cls)


class Registered:
    """Is pickled by a function of its own."""


@dataclass(frozen=True)
class Key:
    """Can be changed by force, and is found by its contents."""

    number: int


class Property:
    """Hides its attributes."""

    @property
    def __dict__(self):
        """None."""
        return {}


class OwnTuple(namedtuple("OwnTuple", "left right")):  # noqa: PYI024 - as old code has it
    """A named tuple that is pickled in its own way."""

    __slots__ = ()

    def __reduce__(self):
        return tuple, ()


def with_odd_key():
    """Return an instance with an attribute that has no name."""
    made = Box(1)
    vars(made)[Key(1)] = 2
    return made


def incomplete():
    """Return an instance of which one slot is not set."""
    made = Slotted(1, 2)
    del made.first
    return made


@pytest.mark.parametrize(
    "value",
    [
        *[own(name)() for name in ("__copy__", "__deepcopy__", "__reduce__", "__setstate__", "__getnewargs_ex__")],
        own("__getstate__", {})(),
        own("__reduce_ex__", "text")(),
        Made(),
        Property(),
        incomplete(),
        with_odd_key(),
        {Key(1): 2},
        {Key(1)},
        frozenset({Key(1)}),
        OwnTuple([], 1),
        OrderedDict(a=[]),
        ValueError([]),
        bytearray(b"a"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_may_have_its_own_way_is_left(value):
    """Alone, and inside of other values."""
    for each in (value, [value], Box(value), [Slotted(value, 1)], {"a": ([value],)}):
        assert copy_tree(each) is None


def test_a_registered_class_is_left(monkeypatch):
    """`copyreg.pickle` says how its instances are pickled."""
    assert type(copy_tree(Registered())) is Registered
    monkeypatch.setitem(copyreg.dispatch_table, Registered, lambda _value: (Registered, ()))
    assert copy_tree(Registered()) is None


def test_a_very_deep_value_is_left():
    """Nothing is said about the depth of a value that reference counts have proven to be a tree."""
    value: list[Any] = []
    for _ in range(sys.getrecursionlimit() * 2):
        value = [value]
    assert copy_tree(value) is None
    while value:  # a deep value is freed step by step: Python 3.10 and 3.11 would do it recursively
        value = value.pop()


def test_a_claimed_value_is_copied():
    """Those that pass without a copy are copied in this way for all consumers but the last."""
    holder = {0: [Record(1, {"a": [Slotted(1, [2])]})]}
    assert claim_ownership(holder, 0)
    copied = copy_tree(holder[0])
    assert copied == holder[0]
    copied[0].rest["a"][0].first = 5
    assert holder[0][0].rest["a"][0].first == 1
