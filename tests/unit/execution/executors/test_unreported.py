"""UnreportedResults: which nodes on the blackboard of a lost worker count as finished."""

from __future__ import annotations

import pytest

from treadle import Catalog, Pipeline, node
from treadle.execution.executors.unreported import UnreportedResults
from treadle.execution.processes.blackboard import FinishedNode
from treadle.execution.protocol.handles import RemoteValue
from treadle.planning import compile_plan


@pytest.fixture
def unreported():
    """Run 1 with four nodes; all but the third make an in-memory value."""
    nodes = [node(len, "x", None if index == 2 else f"y{index}", name=f"n{index}") for index in range(4)]
    unreported = UnreportedResults()
    unreported.begin(1, compile_plan(Pipeline(nodes), Catalog({"x": "abc"})))
    return unreported


def done(*nodes, run=1):
    return [FinishedNode(run, index, 2.0, 2.5) for index in nodes]


def test_nodes_on_the_blackboard_are_finished_and_their_values_lost(unreported):
    """The facts are those that the worker would have reported, without values. Entries of another run are ignored."""
    first, second = unreported.facts(7, [*done(0, run=0), *done(3, 2)])
    assert (first.node, first.started, first.at, first.run_seconds) == (3, 2.0, 2.5, 0.5)
    assert first.outputs == ((first.outputs[0][0], RemoteValue(7, 0)),)
    assert (second.node, second.outputs) == (2, ())


def test_a_node_is_accepted_once_and_so_are_nodes_that_may_depend_on_it(unreported):
    """A node without an in-memory value is accepted each time."""
    assert [fact.node for fact in unreported.facts(1, done(0, 2))] == [0, 2]
    assert [fact.node for fact in unreported.facts(1, done(3, 0, 1, 2))] == [3, 2]
    assert [fact.node for fact in unreported.facts(1, done(1))] == [1]


def test_each_run_starts_from_scratch(unreported):
    """Nodes that were accepted in one run do not affect the next."""
    unreported.facts(1, done(0))
    unreported.begin(2, unreported._plan)
    assert unreported.facts(1, done(0)) == []
    assert [fact.node for fact in unreported.facts(1, done(0, run=2))] == [0]
