"""The status of a run's nodes."""

from __future__ import annotations

import pytest

from treadle import Catalog, Pipeline, node
from treadle.planning import compile_plan
from treadle.planning.reuse.decisions import Expected
from treadle.session.status import NodeStatus, RunStatus


def status(states, seconds):
    """The status of a run in which a file and a value in memory, each made by a node of its own, are inputs of another node."""
    pipeline = Pipeline(
        [
            node(len, "raw", "value", name="in_memory"),
            node(len, "raw", "file", name="on_disk"),
            node(max, ["value", "file"], "greatest", name="report"),
        ]
    )
    entry = {"type": "json.JSONDataset", "filepath": "file.json"}
    catalog = Catalog.from_config({"raw": {"type": "MemoryDataset", "data": "abc"}, "file": entry})
    return RunStatus(
        [NodeStatus(name, state, (), {}, None, seconds.get(name)) for name, state in states.items()],
        descendants=lambda names: names,
        plan=lambda: compile_plan(pipeline, catalog),
        successes=lambda _names: {},
        save=lambda _successes: None,
        forget=lambda _names: 0,
    )


TIMES = {"in_memory": 4.0, "on_disk": 2.0, "report": 1.0}


def test_expected_seconds_include_the_values_that_are_made_again():
    """If a node may run, the up-to-date node whose value in memory it needs runs too, and the one that saved a file does not."""
    states = {"in_memory": Expected.UP_TO_DATE, "on_disk": Expected.UP_TO_DATE, "report": Expected.DEPENDS}
    assert status(states, TIMES).expected_seconds() == pytest.approx(5.0)
    states["on_disk"] = Expected.RUNS
    assert status(states, TIMES).expected_seconds() == pytest.approx(7.0)
    assert status(states, TIMES).expected_seconds(2) == pytest.approx(5.0)


def test_expected_seconds_of_nothing_and_of_the_unknown():
    """A run without work takes no time; the duration of nodes that have never run is not known."""
    assert status(dict.fromkeys(TIMES, Expected.UP_TO_DATE), TIMES).expected_seconds() == 0.0
    assert status(dict.fromkeys(TIMES, Expected.RUNS), {}).expected_seconds() is None
