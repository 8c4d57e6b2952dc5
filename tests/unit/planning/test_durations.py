"""Expected durations."""

from __future__ import annotations

import pytest

from treadle.io import Catalog
from treadle.pipeline import Pipeline, node
from treadle.planning import compile_plan
from treadle.planning.durations import expected_seconds, median


def make_plan():
    """Three nodes of one function and one of another, in the order of their names."""

    def same(value):
        return value

    nodes = [node(same, "x", f"d{index}", name=f"n{index}") for index in range(3)] + [
        node(lambda value: value, "x", "d3", name="n3")
    ]
    return compile_plan(Pipeline(nodes), Catalog({"x": 1}))


def test_nothing_known_is_none():
    """Without a node of the plan among what is known there is nothing to expect."""
    assert expected_seconds(make_plan(), {}) is None
    assert expected_seconds(make_plan(), {"another": 3.0}) is None


def test_a_known_node_takes_what_it_took():
    """A node's own past comes first, then that of its function, then what is usual (failure 19)."""
    assert expected_seconds(make_plan(), {"n0": 2.0, "n1": 4.0}) == pytest.approx([2.0, 4.0, 3.0, 3.0])


def test_another_function_takes_what_is_usual():
    """A node whose function nobody knows takes the median of all that is known."""
    assert expected_seconds(make_plan(), {"n0": 1.0, "n1": 2.0, "n2": 9.0})[3] == pytest.approx(2.0)


@pytest.mark.parametrize(("seconds", "expected"), [([3.0], 3.0), ([9.0, 1.0, 2.0], 2.0), (iter([4.0, 1.0, 2.0, 9.0]), 3.0)])
def test_the_median_is_the_middle_or_the_mean_of_both(seconds, expected):
    """The order of the durations does not matter."""
    assert median(seconds) == expected
