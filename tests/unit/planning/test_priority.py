"""longest_remaining_paths: how long the longest path from a node to the end is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from treadle.planning.priority import longest_remaining_paths


def test_equal_weights_count_nodes():
    """Without weights a path is as long as it has nodes."""
    assert longest_remaining_paths([(1, 2), (3,), (), ()]) == [3.0, 2.0, 1.0, 1.0]


def test_weights_are_added_along_the_heaviest_path():
    """With weights the heaviest way down counts, not the one with most nodes."""
    assert longest_remaining_paths([(1, 2), (), (3,), ()], [1.0, 10.0, 2.0, 3.0]) == [11.0, 10.0, 5.0, 3.0]


def test_nothing_has_no_paths():
    """No node, no number."""
    assert longest_remaining_paths([]) == []


@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=30).flatmap(
        lambda weights: st.tuples(
            st.just([float(weight) for weight in weights]),
            st.tuples(
                *(
                    st.sets(st.integers(index + 1, len(weights) - 1), max_size=3) if index + 1 < len(weights) else st.just(set())
                    for index in range(len(weights))
                )
            ),
        )
    )
)
def test_every_node_outweighs_its_children(drawn):
    """A node's path is its weight and the heaviest of its children's: the recurrence holds everywhere."""
    weights, children = drawn
    remaining = longest_remaining_paths([sorted(below) for below in children], weights)
    for index, below in enumerate(children):
        assert remaining[index] == weights[index] + max((remaining[child] for child in below), default=0.0)
