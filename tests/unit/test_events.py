"""The facts of a run: immutable, picklable, and all of them in the union."""

from __future__ import annotations

import pickle
import typing

import pytest

from treadle import events
from treadle.events import (
    DatasetReleased,
    Failure,
    NodeFailed,
    NodeFinished,
    NodeReused,
    NodeSkipped,
    NodeStarted,
    Outcome,
    RunFinished,
    RunStarted,
    WorkerLost,
    WorkerStarted,
)

FACTS = [
    NodeReused("a", 1.0),
    RunStarted("id", 1.0, "parallel", "spawn", 2, ("a", "b")),
    WorkerStarted("worker-1", 7, 1.0),
    NodeStarted("a", "worker-1", 1, 1.0),
    NodeFinished("a", "worker-1", 1, 1.0, 2.0, 0.1, 0.8, 0.1, (("x", 10),)),
    NodeFailed("b", "worker-1", 1, None, 2.0, Failure("ValueError", "bad", "Traceback"), final=False),
    NodeSkipped("c", 2.0),
    DatasetReleased("x", 2.0),
    WorkerLost("worker-1", 7, 2.0, -9, None),
    RunFinished("id", 3.0, Outcome.FAILED, ("b",)),
]


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: type(fact).__name__)
def test_a_fact_is_frozen_and_pickles(fact):
    """Nobody changes a fact, and it can be sent anywhere."""
    with pytest.raises(AttributeError):
        fact.at = 5.0
    assert pickle.loads(pickle.dumps(fact)) == fact
    assert hash(fact) == hash(pickle.loads(pickle.dumps(fact)))


def test_facts_of_different_classes_are_not_equal():
    """A node that was reused is not one that was skipped, although both have a name and a time."""
    named = [NodeSkipped("a", 1.0), NodeReused("a", 1.0), DatasetReleased("a", 1.0)]
    assert all((one == other) is (one is other) is not (one != other) for one in named for other in named)
    assert NodeSkipped("a", 1.0) != ("a", 1.0)
    assert len({*named, NodeSkipped("a", 1.0)}) == 3


def test_every_fact_of_a_run_is_in_the_union():
    """The union that observers take has each class that says when it happened."""
    facts = {value for value in vars(events).values() if "at" in getattr(value, "_fields", ())}
    assert set(typing.get_args(events.Event)) == facts == {type(fact) for fact in FACTS}


def test_outcomes_have_a_symbol_each():
    """Every outcome shows as one character of its own."""
    symbols = [outcome.symbol for outcome in Outcome]
    assert len(set(symbols)) == len(Outcome)
    assert all(len(symbol) == 1 for symbol in symbols)
