"""Random runs whose nodes fail, are tried again and change what they get: each runner tells the story of the sequential one."""

from __future__ import annotations

import pytest

from treadle import SequentialRunner

SEEDS = range(10)


@pytest.mark.parametrize("seed", SEEDS)
def test_each_runner_tells_the_same_story(any_runner, way, tmp_path, seed, random_runs):
    """The values, files, failures, attempts and skipped nodes, and each value that was made is released once."""
    expected = random_runs.story(SequentialRunner(), seed, tmp_path / "expected")
    assert max(expected["released"].values(), default=1) == 1
    seen = random_runs.story(any_runner, seed, tmp_path / way)
    assert seen == expected


@pytest.mark.parametrize("seed", range(10, 14))
def test_a_runner_that_expects_tiny_nodes_tells_the_same_story(parallel_runner, tmp_path, seed, random_runs):
    """A node shares its job with all that need nothing else; many of them take longer than that, and the rest is returned."""
    expected = random_runs.story(SequentialRunner(), seed, tmp_path / "expected")
    seen = random_runs.story(parallel_runner, seed, tmp_path / "parallel", seconds=1e-6)
    assert seen == expected
