"""A real Kedro project on a dask cluster: the same files, values and hooks as with Kedro's SequentialRunner."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("kedro", reason="the Kedro runner's tests need Kedro")
pytest.importorskip("kedro_datasets", reason="the projects use kedro-datasets")
pytest.importorskip("distributed")


def test_a_project_runs_as_under_the_sequential_runner(sequential_mill, make_project):
    """28 nodes with one of everything have the same outputs and files, and each hook fires once."""
    project = make_project("mill")
    project.kedro("--runner=treadle.kedro.DaskRunner", LOKY_MAX_CPU_COUNT="2")
    left = [json.loads((each.root / "results.json").read_text()) for each in (sequential_mill, project)]
    assert left[0] == left[1]
    assert project.files() == sequential_mill.files()
    assert project.events() == sequential_mill.events()
    assert project.node_events() == sequential_mill.node_events()
    assert len({record["pid"] for record in project.records("hooks.jsonl")}) > 1
