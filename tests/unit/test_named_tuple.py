"""Tests of `treadle.named_tuple`: what it makes is what `typing.NamedTuple` makes."""

from __future__ import annotations

import inspect
import pickle
import typing

import pytest

import treadle.named_tuple


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
    """Fields, defaults, signature, docstring, bases and names are equal; so are all attributes but one for introspection."""
    for name in ("_fields", "_field_defaults", "__doc__", "__module__", "__bases__", "__match_args__", "__slots__"):
        assert getattr(Ours, name) == getattr(Theirs, name), name
    assert str(inspect.signature(Ours)) == "(x: 'int', y: 'tuple[int, ...]' = ())"
    assert (Ours.__name__, Ours.__qualname__, type(Ours)) == ("Ours", "Ours", type)
    assert set(dir(Theirs)) - set(dir(Ours)) <= {"__orig_bases__"}
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
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'x'"):
        Ours()


def test_a_field_without_default_cannot_follow_one_with_default():
    """The mistake is found when the class is made, not when an instance gets the wrong value."""
    with pytest.raises(TypeError, match="In Wrong, a field without a default follows one with a default"):

        class Wrong(treadle.named_tuple.NamedTuple):
            x: int = 0
            y: int
