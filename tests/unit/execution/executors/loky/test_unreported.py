"""UnreportedResults: which of the nodes that a lost worker wrote down are done."""

from __future__ import annotations

import pytest

from treadle import Catalog, Pipeline, node
from treadle.execution.executors.loky.unreported import UnreportedResults
from treadle.execution.processes.blackboard import Done
from treadle.execution.protocol.handles import RemoteValue
from treadle.planning import compile_plan


@pytest.fixture
def unreported():
    """In run 1 of four nodes, of which all but the third make a value in memory."""
    nodes = [node(len, "x", None if index == 2 else f"y{index}", name=f"n{index}") for index in range(4)]
    unreported = UnreportedResults()
    unreported.begin(1, compile_plan(Pipeline(nodes), Catalog({"x": "abc"})))
    return unreported


def done(*nodes, run=1):
    return [Done(run, index, 2.0, 2.5) for index in nodes]


def test_what_was_written_down_is_done_and_its_values_are_lost(unreported):
    """The facts are as the worker would have told them; their values went with it. Those of another run say nothing."""
    first, second = unreported.facts(7, [*done(0, run=0), *done(3, 2)])
    assert (first.node, first.started, first.at, first.run_seconds) == (3, 2.0, 2.5, 0.5)
    assert first.outputs == ((first.outputs[0][0], RemoteValue(7, 0)),)
    assert (second.node, second.outputs) == (2, ())


def test_a_value_that_is_lost_so_again_is_not_believed_nor_what_may_have_taken_it(unreported):
    """What made no value is done in any case."""
    assert [fact.node for fact in unreported.facts(1, done(0, 2))] == [0, 2]
    assert [fact.node for fact in unreported.facts(1, done(3, 0, 1, 2))] == [3, 2]
    assert [fact.node for fact in unreported.facts(1, done(1))] == [1]


def test_every_run_begins_anew(unreported):
    """What was believed of one run says nothing about the next."""
    unreported.facts(1, done(0))
    unreported.begin(2, unreported._plan)
    assert unreported.facts(1, done(0)) == []
    assert [fact.node for fact in unreported.facts(1, done(0, run=2))] == [0]
