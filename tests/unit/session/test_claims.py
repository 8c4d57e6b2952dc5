"""OutputClaims: runs of one service that write one file at the same time."""

from __future__ import annotations

import pytest

from treadle import Catalog, Pipeline, node
from treadle.io.datasets.text import TextDataset
from treadle.session.claims import OutputClaims

RUNNER = object()


@pytest.fixture
def pipeline():
    names = ("declared", "given", "versioned", "cached", "cached_version")
    return Pipeline([node(str, "x", each, name=f"make_{each}") for each in names])


@pytest.fixture
def catalog(tmp_path):
    entry = {"type": "text.TextDataset", "filepath": "declared.txt"}
    version = {**entry, "versioned": True}
    config = {"declared": entry, "versioned": version, "cached_version": {"type": "CachedDataset", "dataset": version}}
    config["cached"] = {"type": "CachedDataset", "dataset": {**entry, "filepath": "cached.txt"}}
    made = Catalog.from_config(config, project_path=tmp_path)
    made["given"] = TextDataset(tmp_path / "given.txt")
    return made


def test_two_runs_under_way_that_write_the_same_files(pipeline, catalog, caplog, tmp_path):
    """Each shared file is warned of once, with both runs; versions are files of their own."""
    claims = OutputClaims()
    with claims.held("one", pipeline, catalog, runner=RUNNER), claims.held("two", pipeline, catalog, runner=RUNNER):
        pass
    with claims.held("three", pipeline, catalog, runner=RUNNER), claims.held("four", pipeline, catalog, runner=RUNNER):
        pass
    assert [record.args for record in caplog.records] == [
        ("one", "two", "declared", str(tmp_path / "declared.txt")),
        ("one", "two", "given", str(tmp_path / "given.txt")),
        ("one", "two", "cached", str(tmp_path / "cached.txt")),
    ]


def test_runs_one_after_the_other(pipeline, catalog, caplog):
    """A run that is over is no reason to warn, and neither is one whose results are loaded as it ends."""
    claims = OutputClaims()
    for run in "ab":
        with claims.held(run, pipeline, catalog, runner=RUNNER):
            pass
    with claims.held("c", pipeline, catalog, runner=RUNNER), claims.held("d", pipeline, catalog, runner=RUNNER, loads_all=True):
        pass
    assert not caplog.records


def test_runs_of_two_runners(pipeline, catalog, caplog):
    """Runs of two runners overlap, whether they load their results as they end or not."""
    claims = OutputClaims()
    own, other = object(), object()
    with claims.held("a", pipeline, catalog, runner=own, loads_all=True):
        with claims.held("b", pipeline, catalog, runner=own, loads_all=True):
            assert not caplog.records
        with claims.held("c", pipeline, catalog, runner=other, loads_all=True):
            assert {record.args[:2] for record in caplog.records} == {("a", "c")}
