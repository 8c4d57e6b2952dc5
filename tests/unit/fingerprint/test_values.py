"""Tokens of values: equal exactly if the values are; readable if short."""

from __future__ import annotations

import collections
import copy
import datetime as dt
import decimal
import fractions
import functools
import io
import itertools
import logging
import operator
import os
import pathlib
import re
import string
import sys
import types
import uuid
import weakref
import zoneinfo
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treadle.fingerprint.facts import Facts
from treadle.fingerprint.objects import Objects


@dataclass
class Point:
    x: int = 1
    y: object = None


class Slotted:
    __slots__ = ("a", "b")

    def __init__(self, a):
        self.a = a


class MyList(list):
    pass


class Lazy:
    """Raises whatever is done with it."""

    def __getattribute__(self, name):
        raise RuntimeError(name)

    def __eq__(self, other):
        raise RuntimeError

    def __hash__(self):
        raise RuntimeError


def extended(items, **attributes):
    made = MyList(items)
    vars(made).update(attributes)
    return made


def described(value, name=""):
    facts = Facts()
    values = Objects("no_package", lambda path: False)._context.values
    return values.describe(value, name, facts, "value"), facts


UTC, BERLIN = dt.timezone.utc, zoneinfo.ZoneInfo("Europe/Berlin")

KINDS = [
    lambda: [
        None,
        True,
        False,
        0,
        1,
        -1,
        0.0,
        -0.0,
        float("nan"),
        float("inf"),
        1j,
        "",
        "0",
        "1",
        b"",
        b"1",
        bytearray(b"1"),
        ...,
    ],
    lambda: [[], (), set(), frozenset(), {}, [1], (1,), {1}, frozenset({1}), {1: 1}, [[1]], [1, 1], ([1], 1), ([1, 1],)],
    lambda: [{"a": 1, "b": 2}, {"b": 2, "a": 1}, {"a": 1}, {"a": "1"}, {"a": None}, types.MappingProxyType({"a": 1})],
    lambda: [
        collections.deque([1]),
        collections.OrderedDict(a=1),
        collections.Counter("a"),
        collections.defaultdict(int, a=1),
        collections.defaultdict(list, a=1),
    ],
    lambda: ["a', 'b", ["a", "b"], ["a', 'b"], "['a', 'b']", "a\nb", "a\\nb", "é", "e\u0301", "\ud800"],
    lambda: ["x" * 300, "x" * 301, b"x" * 300, b"x" * 301, [1] * 300, [1] * 301, {"x" * 300}, [["x" * 300]]],
    lambda: [
        dt.date(2020, 1, 1),
        dt.datetime(2020, 1, 1),  # noqa: DTZ001 - one without a zone
        dt.datetime(2020, 1, 1, tzinfo=UTC),
        dt.datetime(2020, 1, 1, tzinfo=BERLIN),
        dt.time(1),
        dt.timedelta(1),
        UTC,
        BERLIN,
    ],
    lambda: [
        decimal.Decimal("1.0"),
        decimal.Decimal("1.00"),
        fractions.Fraction(1, 2),
        fractions.Fraction(1, 3),
        uuid.UUID(int=1),
        uuid.UUID(int=2),
    ],
    lambda: [
        range(3),
        range(0, 3, 2),
        slice(1),
        slice(2),
        re.compile("a"),
        re.compile("a", re.IGNORECASE),
        re.compile(b"a"),
        string.Template("a"),
        string.Template("b"),
    ],
    lambda: [
        pathlib.Path("a"),
        pathlib.Path("b"),
        "a",
        logging.getLogger("a"),
        logging.getLogger("b"),
        object(),
        len,
        print,
        int,
        str,
    ],
    lambda: [
        Point(),
        Point(2),
        Point(1, Point()),
        Point(y=[1]),
        Slotted(1),
        Slotted(2),
        types.SimpleNamespace(a=1),
        types.SimpleNamespace(a=2),
    ],
    lambda: [MyList([1]), MyList([2]), extended([1], a=1), extended([1], a=2), ValueError(1), ValueError(2), KeyError(1)],
    lambda: [
        functools.partial(len),
        functools.partial(len, 1),
        functools.partial(len, a=1),
        operator.itemgetter(1),
        operator.itemgetter(2),
        operator.attrgetter("a"),
        operator.methodcaller("a", 1),
    ],
    lambda: [
        list[int],
        list[str],
        int | None,
        "a".join,
        "b".join,
        str.join,
        Point.__init__,
        [].append,
        re.compile("a").match,
        re.compile("b").match,
    ],
    lambda: [
        np.array([1, 2]),
        np.array([1, 3]),
        np.array([[1, 2]]),
        np.array([1.0, 2.0]),
        np.array([1, 2], "i4"),
        np.float64(1),
        np.int64(1),
        np.float32(1),
        np.dtype("i4"),
        np.dtype("f4"),
        np.sin,
        np.cos,
    ],
    lambda: [
        np.zeros(2, [("a", "i4")]),
        np.zeros(2, [("b", "i4")]),
        np.zeros(2, [("a", "i4")])[0],
        np.zeros((1, 2)).view(np.matrix),
    ],
    lambda: [np.random.default_rng(1), np.random.default_rng(2), np.random.RandomState(1), np.random.RandomState(2)],
    lambda: [
        pd.DataFrame({"a": [1, 2]}),
        pd.DataFrame({"b": [1, 2]}),
        pd.DataFrame({"a": [1, 3]}),
        pd.DataFrame({"a": [1.0, 2.0]}),
        pd.DataFrame({"a": [1, 2]}, index=[5, 6]),
        pd.DataFrame(),
    ],
    lambda: [
        pd.Series([1, 2]),
        pd.Series([1, 2], name="a"),
        pd.Series(["1", "2"]),
        pd.Index([1, 2]),
        pd.Index([1, 2], name="a"),
        pd.Timestamp("2020-01-01"),
        pd.Timestamp("2020-01-01", tz="UTC"),
        pd.NaT,
    ],
    lambda: [
        pd.Series(["a", "b"], dtype="category"),
        pd.Series(["b", "a"], dtype="category"),
        pd.date_range("2020", periods=2),
        pd.MultiIndex.from_tuples([(1, 2)]),
        pd.MultiIndex.from_tuples([(1, 3)]),
    ],
]


@pytest.mark.parametrize("make", KINDS)
def test_equal_values_have_equal_tokens_and_others_do_not(make):
    """Two values that are made alike have the same token; different ones have different tokens."""
    ones, others = make(), make()
    tokens = [described(value) for value in ones]
    assert [token for token, _ in tokens] == [described(value)[0] for value in others]
    assert len({token for token, _ in tokens}) == len(ones)
    assert all(facts.is_complete for _, facts in tokens)


@pytest.mark.parametrize(
    "value",
    [
        iter([1]),
        itertools.count(),
        (each for each in ()),
        types.SimpleNamespace(a=iter([])),
        np.array([iter([])]),
        pd.DataFrame({"a": [[1]]}),
    ],
)
def test_a_value_with_hidden_state_is_not_complete(value):
    """The state of an iterator cannot be read, nor that of what contains one."""
    _, facts = described(value)
    assert not facts.is_complete
    assert len(facts.unknown) == 1


def test_a_universal_function_of_numpy_is_not_mistaken_for_one_of_the_project():
    """`numpy.frompyfunc` hides the function that it is given, so the result is not complete; `numpy.sin` is."""
    assert not described(np.frompyfunc(len, 1, 1))[1].is_complete
    assert described(np.sin)[1].is_complete


def test_standard_streams_do_not_count():
    """A default value such as `sys.stderr` is the same whatever the stream is."""
    with pytest.MonkeyPatch.context() as patch:
        before = described([sys.stderr])
        patch.setattr(sys, "stderr", io.StringIO())
        assert described([sys.stderr])[0] == before[0]
    assert before[1].is_complete


def test_an_instance_is_described_once_for_all_nodes():
    """A hundred bound methods of one object read its state once; an object that is too large is found so once."""
    values = Objects("no_package", lambda path: False)._context.values
    for size in (1_000, 150_000):
        point = Point(y=[(number,) for number in range(size)])
        for _ in range(100):
            facts = Facts()
            values.describe(point.__repr__, "", facts, "value")
            assert facts.is_complete is (size == 1_000)
        assert len(values._large) <= 4


def test_a_cache_with_weak_references_is_compared_while_it_is_empty():
    """An empty cache has no state; what a full one holds cannot be compared."""
    cache = weakref.WeakValueDictionary()
    assert described(cache)[1].is_complete
    kept = MyList()
    cache["a"] = kept
    assert not described(cache)[1].is_complete


def test_the_environment_does_not_count():
    """Objects of libraries that refer to `os.environ` are the same in another environment."""
    before = described([os.environ])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOMETHING_ELSE", "1")
        assert described([os.environ]) == before


def test_short_values_can_be_read():
    """The token of a short value is the value, as one writes it."""
    assert described([1, "a", (2,), {"b": None}])[0] == "[1, 'a', (2,), {'b': None}]"


def test_no_code_of_a_class_is_called():
    """The state is read without `__getattribute__`, `__eq__` or `__hash__` of the class."""
    token, facts = described([Lazy(), Lazy()])
    assert facts.is_complete
    assert "Lazy" in token


OVERRIDING = {
    str: ("__str__", "__repr__", "__len__", "__iter__", "__getitem__", "__eq__"),
    int: ("__int__", "__index__", "__pos__", "__repr__", "__str__", "__eq__"),
    float: ("__float__", "__pos__", "__repr__", "__str__", "__eq__"),
    complex: ("__complex__", "__pos__", "__repr__", "__str__", "__eq__"),
    bytes: ("__bytes__", "__repr__", "__iter__", "__getitem__", "__len__", "__eq__"),
    list: ("__iter__", "__getitem__", "__len__", "__repr__", "__eq__"),
    tuple: ("__iter__", "__getitem__", "__len__", "__repr__", "__eq__"),
    set: ("__iter__", "__contains__", "__len__", "__repr__", "__eq__"),
    frozenset: ("__iter__", "__contains__", "__len__", "__repr__", "__eq__"),
    dict: ("items", "keys", "__iter__", "__getitem__", "__len__", "__repr__", "__eq__"),
    collections.OrderedDict: ("items", "keys", "__iter__", "__getitem__", "__len__", "__repr__", "__eq__"),
    collections.defaultdict: ("items", "default_factory", "__iter__", "__getitem__", "__len__", "__repr__", "__eq__"),
    collections.deque: ("__iter__", "__getitem__", "__len__", "__repr__", "__eq__"),
    ValueError: ("args", "__str__", "__repr__"),
}


@pytest.mark.parametrize("base", OVERRIDING, ids=[each.__name__ for each in OVERRIDING])
def test_the_content_of_an_instance_is_read_without_methods_of_its_class(base):
    """A text that hides itself, or a dictionary that does not show its entries, has the content that it has."""

    def raises(*_):
        raise RuntimeError

    body = {name: property(raises) if name in {"args", "default_factory"} else raises for name in OVERRIDING[base]}
    kind = type("Own", (base,), {**body, "__hash__": base.__hash__})
    first: tuple = (int,) if base is collections.defaultdict else ()
    given = {str: "ab", bytes: (b"a", b"b"), dict: ({1: 1}, {1: 2}), ValueError: ("a", "b")}
    one, other = given.get(
        next((each for each in given if issubclass(base, each)), None),
        (1, 2) if issubclass(base, (int, float, complex)) else ([1], [2]),
    )
    tokens = [described(kind(*first, each)) for each in (one, other, one)]
    assert all(facts.is_complete for _, facts in tokens)
    assert tokens[0][0] == tokens[2][0] != tokens[1][0]


def test_the_order_of_an_ordered_dictionary_counts():
    """It has an order of its own, which is not that of the dictionary below."""
    one, other = (type("Own", (collections.OrderedDict,), {})({1: 1, 2: 2}) for _ in range(2))
    other.move_to_end(1)
    assert described(one)[0].partition("{")[2] != described(other)[0].partition("{")[2]


def test_a_zone_of_the_project_counts():
    """A time in a zone that the project defines is compared without the `repr` of the zone."""

    class Zone(dt.tzinfo):
        def __init__(self, hours=1):
            self.hours = hours

        def __repr__(self):
            return "zone"

        def __reduce__(self):
            return Zone, (self.hours,)

    values = Objects(__name__, lambda path: False)._context.values
    times = [dt.datetime(2020, 1, 1, tzinfo=Zone(hours)) for hours in (1, 2, 1)]
    tokens = [values.describe(each, "", Facts(), "value") for each in times]
    assert tokens[0] == tokens[2] != tokens[1]


def test_values_that_contain_themselves():
    """A cycle ends where it closes; the token does not depend on where in a larger value it is."""
    one, other = [1], [1]
    one.append(one)
    other.append(other)
    assert described(one) == described(other)
    assert described(one)[0] != described([1, [1]])[0]
    point = Point()
    point.y = [point]
    assert described([point, point])[0] == described([point, point])[0]


def test_shared_values_cost_once():
    """A value that contains the same list 2**60 times over is described at once."""
    value = []
    for _ in range(60):
        value = [value, value]
    assert described(value)[1].is_complete


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
NESTED = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text() | st.integers(), inner) | st.frozensets(LEAVES)
    ),
    max_leaves=20,
)


def typed(value):
    """Return a value that is equal to that of another value exactly if both have equal parts of equal types."""
    if isinstance(value, dict):
        return "dict", [(typed(key), typed(each)) for key, each in value.items()]
    if isinstance(value, frozenset):
        return "frozenset", sorted(repr(typed(each)) for each in value)
    if isinstance(value, (list, tuple)):
        return type(value).__name__, [typed(each) for each in value]
    return type(value).__name__, repr(value)


@given(NESTED, NESTED)
@settings(max_examples=50)
def test_tokens_are_equal_exactly_if_values_are(one, other):
    """Any two values have the same token if they are the same in value, type and order of keys, and only then."""
    values = Objects("no_package", lambda path: False)._context.values
    tokens = [values.describe(each, "", Facts(), "value") for each in (one, other, copy.deepcopy(one))]
    assert (tokens[0] == tokens[1]) == (typed(one) == typed(other))
    assert tokens[0] == tokens[2]


def test_a_large_value_has_the_same_facts_for_each_node():
    """A large list that several nodes use is described once, with what it refers to and what cannot be compared in it."""
    values = Objects("no_package", lambda path: False)._context.values
    hidden = iter([])
    large = [hidden, np.array([1]), *range(200)]
    found = []
    for value in ([hidden, np.array([1]), large], [large], large):
        facts = Facts()
        values.describe(value, "", facts, "value")
        found.append((facts.edges, facts.unknown, facts.is_complete))
    assert found[0] == found[1] == found[2]
    assert not found[0][2]
    assert found[0][1]


def test_whether_a_value_is_too_large_does_not_depend_on_others():
    """Two large lists exceed the limit together, whether they were described before or not."""
    values = Objects("no_package", lambda path: False)._context.values
    lists = [[(number,) for number in range(60_000)] for _ in range(2)]
    for value, is_complete in ((lists, False), (lists[0], True), (lists[1], True), (lists, False), ([lists, 1], False)):
        facts = Facts()
        values.describe(value, "", facts, "value")
        assert facts.is_complete is is_complete


def test_a_set_has_no_order():
    """Sets whose elements are in another order have the same token."""
    assert described({"a", ("b", 1), 3})[0] == described({3, "a", ("b", 1)})[0]


@pytest.mark.parametrize(
    ("value", "name"),
    [("abc", "password"), (1234, "PIN"), (b"abc", "token"), ({"api_key": "abc"}, ""), ("https://me:abc@host", "")],
)
def test_secrets_are_hashed(value, name):
    """A value that looks secret has a token that does not show it."""
    token = described(value, name)[0]
    assert "abc" not in token
    assert "1234" not in token
    assert "hidden" in token
    assert described(value, name)[0] == token
