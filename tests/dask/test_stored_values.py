"""In-memory outputs that are stored: workers of a cluster write and load them as every other file."""

from __future__ import annotations

import json
from contextlib import closing

import pytest

from treadle.observe.store import SQLStore

pytest.importorskip("distributed")

FILES = {
    "pyproject.toml": '[tool.treadle]\npackage_name = "vault"\nproject_name = "Vault"\n',
    "src/vault/__init__.py": "",
    "src/vault/settings.py": "",
    "src/vault/pipeline_registry.py": """
from treadle import Pipeline, node


def make():
    return {"made": 1}


def use(value):
    return value["made"] + 1


def register_pipelines():
    return {"__default__": Pipeline([node(make, None, "value", name="make"), node(use, "value", "used", name="use")])}
""",
    "conf/base/catalog.yml": "used: {type: json.JSONDataset, filepath: data/used.json}\n",
    "conf/base/execution.yml": "nodes: {make: {cache: store}}\n",
    "conf/local/.gitkeep": "",
}


def test_a_stored_value_is_loaded_by_a_worker(cluster, treadle, tmp_path):
    """After a change of its consumer, the value that one worker has stored is loaded, not made again."""
    for name, text in FILES.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def run(*flags):
        launched = treadle(tmp_path, "run", "--runner=dask", *flags, DASK_SCHEDULER_ADDRESS=cluster.address)
        assert launched.wait() == 0, launched.output
        with closing(SQLStore(project_path=tmp_path)) as store:
            nodes = store.load(store.list(1)[0].session_id).runs[-1].nodes
        return {node.node: node.outcome.value for node in nodes}, json.loads((tmp_path / "data/used.json").read_text())

    assert run() == ({"make": "succeeded", "use": "succeeded"}, 2)
    (stored,) = (tmp_path / ".treadle/cache").glob("value,*")
    registry = tmp_path / "src/vault/pipeline_registry.py"
    registry.write_text(registry.read_text().replace('value["made"] + 1', 'value["made"] + 100'))
    assert run("--skip-unchanged") == ({"make": "reused", "use": "succeeded"}, 101)
    stored.unlink()
    registry.write_text(registry.read_text().replace("+ 100", "+ 9"))
    assert run("--skip-unchanged") == ({"make": "succeeded", "use": "succeeded"}, 10)
