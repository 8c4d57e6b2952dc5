"""Nodes that are expected to be tiny and share a job with all that need nothing else, in real processes."""

from __future__ import annotations

import os

import numpy as np
import pytest

from treadle import Catalog, Pipeline, node
from treadle.errors import NodeError

TINY = 1e-6
"""Seconds that each node is expected to take."""


def small_project(read, clean, check):
    """One node that reads, two that use what it read, and one that joins what they made."""
    return Pipeline(
        [
            node(read, None, "raw", name="read"),
            node(clean, "raw", "clean", name="clean"),
            node(check, "raw", "check", name="check"),
            node(lambda *both: both, ["clean", "check"], "both", name="join"),
            node(sum, "both", "total", name="total"),
            node(len, "both", "count", name="count"),
        ]
    )


def run(runner, pipeline, **options):
    """Run a pipeline all of whose nodes are expected to be tiny."""
    return runner.run(
        pipeline, Catalog(), durations=lambda: dict.fromkeys((each.name for each in pipeline.nodes), TINY), **options
    )


def test_each_node_gets_its_own_value(parallel_runner):
    """Values that stay in the worker are shared by no two nodes that might change them."""

    def change(values):
        before = float(values.sum())
        values += 1
        return before

    result = run(parallel_runner, small_project(lambda: np.zeros(10), change, change))
    assert dict(result) == {"total": 0.0, "count": 2}


def test_what_waits_behind_a_node_that_takes_long_runs_elsewhere(parallel_runner, tmp_path):
    """Each of two nodes that were expected to be tiny waits for the other one: they run in two workers at the same time."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)

    def meet(mode):
        def end(values):
            with fifo.open(mode):  # returns when the other node is here, too
                return os.getpid() + 0 * int(values.sum())

        return end

    observed = []
    pipeline = small_project(lambda: np.zeros(10), meet("rb"), meet("wb"))
    result = run(parallel_runner, pipeline, observers=[observed.append])
    workers = {event.node: event.worker for event in observed if type(event).__name__ == "NodeFinished"}
    assert set(workers) == {"read", "clean", "check", "join", "total", "count"}
    assert workers["clean"] != workers["check"]
    assert result["count"] == 2


def test_a_value_that_cannot_be_pickled_stays_in_the_worker(parallel_runner):
    """Nothing has to be sent: all nodes that use it run there."""
    result = run(parallel_runner, small_project(lambda: (each for each in [1]), lambda _values: 1, lambda _values: 2))
    assert dict(result) == {"total": 3, "count": 2}


def test_a_failure_is_that_of_its_node(parallel_runner):
    """The nodes that do not need it run, and the error names it."""

    def fail(_values):
        raise ValueError("no data")

    observed = []
    pipeline = small_project(lambda: np.zeros(10), fail, len)
    with pytest.raises(NodeError, match="no data") as caught:
        run(parallel_runner, pipeline, observers=[observed.append], on_failure="continue")
    assert caught.value.node == "clean"
    finished = {event.node for event in observed if type(event).__name__ == "NodeFinished"}
    skipped = {event.node for event in observed if type(event).__name__ == "NodeSkipped"}
    assert (finished, skipped) == ({"read", "check"}, {"join", "total", "count"})
