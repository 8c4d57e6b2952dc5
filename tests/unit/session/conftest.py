"""A project on disk and a runner as small as the contract of runners allows, for the tests of sessions."""

from __future__ import annotations

import sys
import time
import traceback
from itertools import count
from pathlib import Path

import pytest

from treadle.errors import NodeError
from treadle.events import Failure, NodeFailed, NodeFinished, NodeSkipped, NodeStarted, Outcome, RunFinished, RunStarted
from treadle.project import bootstrap_project, configure

_COUNT = count()

NODES = """
import os

def count(raw):
    return len(raw)

def scale(n, factor):
    return n * factor

def broken(n):
    if os.path.exists("repaired"):
        return "repaired"
    raise ValueError("the loom is broken")
"""

REGISTRY = """
from treadle.pipeline import Pipeline, node
from {package}.nodes import broken, count, scale

def register_pipelines():
    good = Pipeline([
        node(count, "raw", "n", name="count", tags=["first"]),
        node(scale, ["n", "params:factor"], "scaled", name="scale", tags=["second"]),
    ])
    bad = Pipeline([node(count, "raw", "n", name="count"), node(broken, "n", "never", name="broken"),
                    node(count, "never", "last", name="last")])
    return {{"__default__": good, "bad": bad, "other": Pipeline([node(count, "raw", "other_n", name="other")])}}
"""

CATALOG = """
raw:
  type: text.TextDataset
  filepath: data/raw.txt
scaled:
  type: json.JSONDataset
  filepath: data/scaled.json
"""


class InlineRunner:
    """Runs node after node in this process and tells the observers, as the contract of runners says."""

    name = "inline"
    max_workers = 1
    start_method = None

    def __init__(self):
        self.calls = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.calls.append("closed")

    def run(self, pipeline, catalog, *, hooks=None, run_id=None, observers=(), durations=None):
        """Run, and return the free outputs."""

        def tell(event):
            for observer in observers:
                observer(event)

        self.calls.append({"run_id": run_id, "hooks": hooks})
        names = tuple(node.name for node in pipeline.nodes)
        tell(RunStarted(run_id, time.time(), self.name, None, 1, names))
        values = {}
        for position, node in enumerate(pipeline.nodes):
            started = time.time()
            tell(NodeStarted(node.name, "main", 1, started))
            try:
                inputs = {name: values[name] if name in values else catalog.load(name) for name in node.inputs}
                outputs = node.run(inputs)
            except Exception as exc:
                failure = Failure(type(exc).__name__, str(exc), traceback.format_exc())
                tell(NodeFailed(node.name, "main", 1, started, time.time(), failure))
                for name in names[position + 1 :]:
                    tell(NodeSkipped(name, time.time()))
                tell(RunFinished(run_id, time.time(), Outcome.FAILED, (node.name,)))
                message = f"node {node.name!r} failed: {exc}"
                raise NodeError(message, run_id=run_id, node=node.name, failure=failure, resume_from=(names[0],)) from exc
            for name, value in outputs.items():
                values[name] = value
                if name in catalog:
                    catalog.save(name, value)
            tell(NodeFinished(node.name, "main", 1, started, time.time(), 0.1, 0.2, 0.3, ()))
        tell(RunFinished(run_id, time.time(), Outcome.SUCCEEDED))
        return {name: values[name] for name in pipeline.outputs() if name not in catalog}


@pytest.fixture
def inline():
    """A runner that needs no engine."""
    return InlineRunner()


@pytest.fixture
def make_project(tmp_path, monkeypatch):
    """Make a project, bootstrap it and stand in it; afterwards the process is as it was."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("PYTHONPATH", "")
    monkeypatch.delenv("TREADLE_ENV", raising=False)
    monkeypatch.setattr(configure._process, "project", None)
    package = f"session_project_{next(_COUNT)}"

    def make(settings: str = "", files: dict[str, str] | None = None) -> Path:
        root = tmp_path / "project"
        content = {
            "pyproject.toml": f'[tool.treadle]\npackage_name = "{package}"\n',
            f"src/{package}/__init__.py": "",
            f"src/{package}/settings.py": settings,
            f"src/{package}/nodes.py": NODES,
            f"src/{package}/pipeline_registry.py": REGISTRY.format(package=package),
            "conf/base/catalog.yml": CATALOG,
            "conf/base/parameters.yml": "factor: 2\nmodel:\n  a: 1\n  b: 2\n",
            "conf/prod/parameters.yml": "factor: 7\n",
            "data/raw.txt": "four",
            **(files or {}),
        }
        for name, text in content.items():
            file = root / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        monkeypatch.chdir(root)
        bootstrap_project(root)
        return root

    yield make
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        del sys.modules[name]
