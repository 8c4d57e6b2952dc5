"""A value of any shape has as many takers as the pipeline says, and each gets it as it was made, under every runner."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import pandas as pd
import pytest

from treadle import Catalog, Pipeline, node

sys.path.insert(0, str(Path(__file__).parent))
import shapes
from looks import look

MAKERS = {"kept": shapes.make, "forgotten": shapes.make_and_forget}


def _nodes(name, maker):
    """A maker, two takers at the same time, and two that come after these have changed what they got."""
    case = f"{name} {maker}"
    value, one, two, three, four = (f"{role} {case}" for role in ("value", "one", "two", "three", "four"))
    take = partial(shapes.take, name)
    return [
        node(partial(MAKERS[maker], name), None, value, name=f"make {case}"),
        node(take, value, one, name=one),
        node(take, value, two, name=two),
        node(take, [value, one, two], three, name=three),
        node(take, [value, three], four, name=four),
        node(lambda *seen: seen, [one, two, three, four], case, name=f"all {case}"),
    ]


@pytest.mark.parametrize("maker", MAKERS)
def test_every_taker_gets_the_value_as_it_was_made(any_runner, maker):
    """Whether the maker keeps a reference to the value or not, and whatever earlier takers did with it."""
    result = any_runner.run(Pipeline([each for name in shapes.SHAPES for each in _nodes(name, maker)]), Catalog())
    wrong = {}
    for name in shapes.SHAPES:
        expected, seen = repr(look(shapes.make_and_forget(name))), result[f"{name} {maker}"]
        if set(seen) != {expected}:
            wrong[name] = seen, expected
    assert wrong == {}


@pytest.mark.parametrize("make", [pd.DataFrame, lambda: pd.DataFrame({"a": [1, 2]})[[]]], ids=["no rows", "no columns"])
def test_an_empty_frame_has_two_takers(any_runner, make):
    """A frame without blocks of cells is a value like others."""
    pipeline = Pipeline([node(make, None, "frame"), node(pd.DataFrame.copy, "frame", "one"), node(len, "frame", "two")])
    result = any_runner.run(pipeline, Catalog())
    pd.testing.assert_frame_equal(result["one"], make())
    assert result["two"] == len(make())
