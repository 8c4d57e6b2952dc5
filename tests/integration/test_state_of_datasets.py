"""Datasets whose objects change: what saving teaches them travels, and each is released once; hooks keep what they are given."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from treadle import Catalog, Pipeline, node
from treadle.hooks import create_hook_manager


@pytest.fixture(params=["configured", "given"])
def catalog(request, accidents, tmp_path):
    """A catalog whose two datasets remember where they saved, from configuration or as objects."""
    if request.param == "given":
        return Catalog({name: accidents.TemporaryDataset(str(tmp_path)) for name in ("temporary", "kept")})
    entry = {"type": "loom.accidents.TemporaryDataset", "folder": str(tmp_path)}
    return Catalog.from_config({"temporary": entry, "kept": entry})


def test_released_once_after_the_last_consumer(any_runner, catalog, tmp_path):
    """Several consumers load what was saved; then the dataset is released, once, here; a result stays and can be loaded."""
    nodes = [
        node(str.upper, "text", "temporary", name="make"),
        *[node(str.lower, "temporary", f"low_{number}", name=f"low {number}") for number in range(4)],
        node(str.title, "temporary", "kept", name="keep"),
    ]
    result = any_runner.run(Pipeline(nodes), catalog, inputs={"text": "yarn"})
    assert [result[f"low_{number}"] for number in range(4)] == ["yarn"] * 4
    assert result["kept"] == "Yarn"
    assert (tmp_path / "released").read_text().split() == [str(os.getpid())]
    assert len(list(tmp_path.glob("*.json"))) == 1


def test_the_mappings_that_hooks_keep(any_runner, accidents):
    """What a hook is given stays as it is when the node goes on, and the node's own mappings are not the hook's."""
    hooks = create_hook_manager()
    hooks.register(accidents.KeepingHooks())
    pipeline = Pipeline([node(divmod, ["a", "b"], ["quotient", "rest"]), node(abs, "rest", "size")])
    result = any_runner.run(pipeline, Catalog(), hooks=hooks, inputs={"a": 7, "b": 4})
    assert (result["quotient"], result["size"]) == (1, 3)


def test_a_release_that_fails_fails_the_run(any_runner, catalog, tmp_path):
    """What `release` raises is what the run raises."""
    Path(tmp_path, "released").mkdir()
    nodes = [node(str.upper, "text", "temporary", name="make"), node(str.lower, "temporary", "low", name="low")]
    with pytest.raises(IsADirectoryError):
        any_runner.run(Pipeline(nodes), catalog, inputs={"text": "yarn"})
