from __future__ import annotations

import pytest

from treadle.io.parameters import Parameters

VALUES = {"model": {"a": 1, "b": None, "deep": {"c": [1]}}, "dotted.key": {"x": 2}, "flat": 3, "by_number": {5: "five"}}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("parameters", VALUES),
        ("params:flat", 3),
        ("params:model", VALUES["model"]),
        ("params:model.b", None),
        ("params:model.deep.c", [1]),
        ("params:dotted.key", {"x": 2}),
        ("params:dotted.key.x", 2),
        ("params:by_number.5", "five"),
    ],
)
def test_look_up(name, value):
    """A name finds its value at any depth, also past keys with dots and keys that are numbers."""
    parameters = Parameters(VALUES)
    assert name in parameters
    assert parameters.dataset(name).load() == value


@pytest.mark.parametrize("name", ["params:", "params:none", "params:model.none", "params:flat.x", "flat", "params:dotted", 5])
def test_unknown(name):
    """What is not there is not found."""
    assert name not in Parameters(VALUES)


def test_unknown_has_no_dataset():
    """A parameter that is not there has no dataset."""
    assert Parameters({}).dataset("params:x") is None


def test_every_found_name_is_listed_and_every_listed_name_found():
    """The list of names has all levels, and each can be looked up."""
    parameters = Parameters(VALUES)
    names = list(parameters.names())
    assert names[:4] == ["parameters", "params:model", "params:model.a", "params:model.b"]
    assert all(name in parameters for name in names)
    assert len(names) == len(set(names)) == 11


def test_values_are_isolated():
    """Neither the mapping handed in nor a loaded value is the stored one."""
    values = {"a": [1]}
    parameters = Parameters(values)
    values["a"].append(2)
    parameters.dataset("params:a").load().append(3)
    assert parameters.dataset("params:a").load() == [1]


def test_release_keeps_the_value():
    """A released parameter is still there: no node could make it again."""
    dataset = Parameters({"a": 1}).dataset("params:a")
    dataset.release()
    assert dataset.load() == 1
