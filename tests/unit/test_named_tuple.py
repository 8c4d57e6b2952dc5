"""Tests of `treadle.named_tuple`: what it makes is what `typing.NamedTuple` makes."""

from __future__ import annotations

import copy
import functools
import inspect
import pickle
import sys
import typing
from typing import Generic, TypeVar

import pytest
from rich.pretty import pretty_repr

import treadle.named_tuple

T = TypeVar("T")


class Ours(treadle.named_tuple.NamedTuple):
    """A point."""

    x: int
    y: tuple[int, ...] = ()

    @property
    def size(self) -> int:
        """Its size."""
        return self.x + len(self.y)

    def moved(self, by: int) -> Ours:
        """Return it elsewhere."""
        return self._replace(x=self.x + by)


class Theirs(typing.NamedTuple):
    """A point."""

    x: int
    y: tuple[int, ...] = ()

    @property
    def size(self) -> int:
        """Its size."""
        return self.x + len(self.y)

    def moved(self, by: int) -> Theirs:
        """Return it elsewhere."""
        return self._replace(x=self.x + by)


class Empty(treadle.named_tuple.NamedTuple):
    """Has no fields."""


def test_classes_are_those_of_the_standard_library():
    """Fields, defaults, signature, docstring and names are equal; so are all attributes but those for introspection."""
    for name in ("_fields", "_field_defaults", "__doc__", "__module__", "__match_args__", "__slots__"):
        assert getattr(Ours, name) == getattr(Theirs, name), name
    assert str(inspect.signature(Ours)) == "(x: 'int', y: 'tuple[int, ...]' = ())"
    assert (Ours.__name__, Ours.__qualname__, type(Ours)) == ("Ours", "Ours", type)
    assert issubclass(Ours, tuple)
    for name in ("x", "y"):
        assert type(vars(Ours)[name]) is type(vars(Theirs)[name])
        assert inspect.getdoc(getattr(Ours, name)) == inspect.getdoc(getattr(Theirs, name))
    assert set(dir(Theirs)) - set(dir(Ours)) <= {"__orig_bases__", "__annotate_func__"}
    assert typing.get_type_hints(Ours) == typing.get_type_hints(Theirs) == {"x": int, "y": tuple[int, ...]}
    assert Empty._fields == ()


def test_instances_are_those_of_the_standard_library():
    """They compare, print, pickle and refuse alike."""
    assert Ours(1) == Theirs(1) == (1, ())
    assert repr(Ours(1, y=(2,))) == repr(Theirs(1, y=(2,))).replace("Theirs", "Ours")
    assert Ours(1, (2,)).moved(3) == (4, (2,))
    assert Ours(1, (2,)).size == 2
    assert pickle.loads(pickle.dumps(Ours(1))) == Ours(1)
    assert type(pickle.loads(pickle.dumps(Ours(1)))) is Ours
    assert not hasattr(Ours(1), "__dict__")
    with pytest.raises(AttributeError):
        Ours(1).x = 2
    assert Ours._make([1, ()]) == Theirs._make([1, ()])
    assert Ours(1)._asdict() == Theirs(1)._asdict()
    assert copy.copy(Ours(1)) == Ours(1)
    match Ours(1, (2,)):
        case Ours(first, y=second):
            assert (first, second) == (1, (2,))
    for wrong in (
        lambda kind: kind(),
        lambda kind: kind(1, 2, 3),
        lambda kind: kind(1, z=2),
        lambda kind: kind._make([1]),
        lambda kind: kind(1)._replace(z=2),
    ):
        errors = []
        for kind in (Ours, Theirs):
            with pytest.raises((TypeError, ValueError)) as raised:  # _replace: TypeError since Python 3.13
                wrong(kind)
            errors.append(str(raised.value).replace("Theirs", "Ours"))
        assert errors[0] == errors[1]


def test_rich_prints_them_over_several_lines():
    """As it prints those of the standard library, for example in a traceback with local variables."""
    ours, theirs = Ours(1, tuple(range(20))), Theirs(1, tuple(range(20)))
    assert pretty_repr(ours, max_width=30) == pretty_repr(theirs, max_width=30).replace("Theirs", "Ours")


def test_methods_may_call_those_of_their_base_class():
    """A method can override that of all named tuples, and a class can be derived from one."""

    class Loud(treadle.named_tuple.NamedTuple):
        x: int

        def __repr__(self) -> str:
            return super().__repr__().upper()

    class Derived(Ours):
        @functools.cached_property
        def double(self) -> int:
            return 2 * self.x

    assert repr(Loud(1)) == "LOUD(X=1)"
    assert Derived(2)._replace(x=3).double == 6
    assert repr(Derived(2)) == "Derived(x=2, y=())"


def test_other_base_classes_are_refused():
    """They would be lost: `typing.NamedTuple` refuses all but Generic, too."""
    with pytest.raises(TypeError, match="Several has other base classes than NamedTuple"):

        class Several(treadle.named_tuple.NamedTuple, Generic[T]):
            x: T


def test_annotations_must_be_postponed():
    """Without the future statement, Python 3.14 stores no annotations in the body of a class, so it would have no fields."""
    code = "class Now(NamedTuple):\n    x: int"
    names = {"NamedTuple": treadle.named_tuple.NamedTuple, "__name__": __name__}
    if sys.version_info >= (3, 14):
        with pytest.raises(TypeError, match="The module of Now does not postpone annotations"):
            exec(compile(code, "now.py", "exec", dont_inherit=True), names)
    else:
        exec(compile(code, "now.py", "exec", dont_inherit=True), names)
        assert names["Now"]._fields == ("x",)


def test_a_field_without_default_cannot_follow_one_with_default():
    """The mistake is found when the class is made, not when an instance gets the wrong value."""
    with pytest.raises(TypeError, match="In Wrong, a field without a default follows one with a default"):

        class Wrong(treadle.named_tuple.NamedTuple):
            x: int = 0
            y: int
