"""Random runs whose nodes fail, are tried again and change what they get: a dask cluster tells the sequential runner's story."""

from __future__ import annotations

import pytest

from treadle import SequentialRunner
from treadle.events import NodeStarted
from treadle.execution.runners.dask import DaskRunner

SEEDS = (0, 1, 5, 6, 7)
"""Runs of 4, 10 and 25 nodes."""


@pytest.fixture(scope="module")
def runner(client):
    """A runner that is kept between the tests."""
    with DaskRunner(client=client) as made:
        yield made


@pytest.mark.parametrize("seed", SEEDS)
def test_a_cluster_tells_the_same_story(runner, tmp_path, seed, random_runs):
    """The values, files, failures, attempts and skipped nodes, each value that was made is released once, and workers run all."""
    expected, events = random_runs.story(SequentialRunner(), seed, tmp_path / "expected"), []
    assert random_runs.story(runner, seed, tmp_path / "dask", observers=[events.append]) == expected
    assert "main" not in {event.worker for event in events if isinstance(event, NodeStarted)}
