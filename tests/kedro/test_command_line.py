"""The ways to start a Kedro project on Treadle's runner, and the flags of `kedro run`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from contextlib import closing

import pytest

from treadle.observe.store import SQLStore

pytest.importorskip("kedro", reason="the Kedro runner's tests need Kedro")
pytest.importorskip("kedro_datasets", reason="the projects use kedro-datasets")


def test_selections_and_params(lane):
    """--tags, --pipelines and --params select and set what they do under any runner."""
    lane.treadle("spawn", "--tags=sides", "--params=factor=5")
    assert json.loads((lane.root / "data/left.json").read_text()) == [5, 10, 15]
    assert not (lane.root / "data/joined.json").exists()
    lane.treadle("fork", "--pipelines=where", "--nodes=where")
    assert [record["results"].keys() for record in lane.records("hooks.jsonl")][-1] == {"pid": None}.keys()


def test_only_missing_outputs(lane):
    """--only-missing-outputs skips what exists, and what leads to nothing missing; nothing missing is no error."""
    lane.treadle("fork")
    assert any("5 nodes: parallel runner, 2 workers (fork)" in line for line in lane.lines("run.log"))
    (lane.root / "data/joined.json").unlink()
    before = (lane.root / "data/left.json").stat().st_mtime_ns
    lane.treadle("fork", "--only-missing-outputs", "--to-nodes=join", LANE_HOOKS="counting")
    assert [record["node"] for record in lane.records("hooks.jsonl") if record["event"] == "after_node_run"] == ["join"]
    assert (lane.root / "data/joined.json").exists()
    assert (lane.root / "data/left.json").stat().st_mtime_ns == before
    (lane.root / "hooks.jsonl").unlink()
    lane.treadle("fork", "--only-missing-outputs", "--tags=sides", LANE_HOOKS="counting")
    assert not [record for record in lane.records("hooks.jsonl") if record["event"] == "after_node_run"]


WHICH_METHOD = """
from treadle.kedro import ParallelRunner

print(ParallelRunner(max_workers=2))
print(ParallelRunner(max_workers=2, start_method="loky"))
"""


def test_start_method_from_kedros_own_variable(lane):
    """Where Treadle is told no start method, KEDRO_MP_CONTEXT decides, as for Kedro's own runner."""
    told = lane.script(WHICH_METHOD, KEDRO_MP_CONTEXT="spawn").splitlines()
    assert told[-2:] == [
        "treadle.kedro.ParallelRunner(max_workers=2, start_method='spawn')",
        "treadle.kedro.ParallelRunner(max_workers=2, start_method='loky')",
    ]


NEW_REGISTRY = """
from kedro.pipeline import node, pipeline


def register_pipelines():
    return {"__default__": pipeline([node(lambda: [1, 2, 3], None, "numbers"), node(sum, "numbers", "total")])}
"""


@pytest.fixture(scope="session")
def sequential_fresh(make_project, tmp_path_factory):
    """A project as `kedro new` makes it, with two nodes, after `kedro run` with Kedro's SequentialRunner."""
    folder = tmp_path_factory.mktemp("new")
    made = subprocess.run(
        [sys.executable, "-m", "kedro", "new", "--name=Fresh", "--tools=none", "--example=no", "--telemetry=no"],
        cwd=folder,
        env=make_project("lane").environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    project = type(make_project("lane"))(folder / "fresh")
    (project.root / "src/fresh/pipeline_registry.py").write_text(NEW_REGISTRY)
    (project.root / "conf/base/catalog.yml").write_text("total: {type: json.JSONDataset, filepath: data/total.json}\n")
    project.kedro()
    return project


def test_a_project_of_kedro_new(sequential_fresh, tmp_path, method):
    """A project as `kedro new` makes it runs, unnamed nodes and a node without inputs included."""
    project = type(sequential_fresh)(tmp_path / "fresh")
    shutil.copytree(sequential_fresh.root, project.root)
    (project.root / "data/total.json").unlink()
    done = project.treadle(method)
    assert project.files() == sequential_fresh.files()
    assert project.files()["total.json"] == b"6"
    assert done.stdout.count("Running node:") == 2


def test_packaged_mode(lane, method):
    """`python -m package` takes the runner too, under start methods that inherit nothing."""
    python_path = os.pathsep.join([str(lane.root / "src"), os.environ.get("PYTHONPATH", "")])
    runner = "--runner=treadle.kedro.ParallelRunner"
    done = lane.command("-m", "lane", runner, PYTHONPATH=python_path, TREADLE_START_METHOD=method)
    assert done.returncode == 0, done.stderr
    assert json.loads((lane.root / "data/joined.json").read_text()) == [4, 8, 12]
    assert any(f"({method})" in line for line in lane.lines("run.log"))


def test_environment_configuration_and_versions(lane, method):
    """--env, --conf-source and --load-versions reach the nodes in workers; --namespaces and --to-outputs choose nodes."""
    (lane.root / "conf").rename(lane.root / "elsewhere")
    (lane.root / "elsewhere/night").mkdir()
    (lane.root / "elsewhere/night/parameters.yml").write_text("factor: 7\n")
    for version in ("2001-01-01T00.00.00.000Z", "2002-02-02T00.00.00.000Z"):
        saved = lane.root / "data/history.json" / version / "history.json"
        saved.parent.mkdir(parents=True)
        saved.write_text(json.dumps([version]))
    chosen = ("--pipelines=aisles", "--env=night", "--conf-source=elsewhere")
    lane.treadle(method, *chosen, "--load-versions=history:2001-01-01T00.00.00.000Z")
    assert json.loads((lane.root / "data/joined.json").read_text()) == ["2001-01-01T00.00.00.000Z"]
    assert json.loads((lane.root / "data/left.json").read_text()) == [7, 14, 21]
    (lane.root / "configured.txt").unlink()
    lane.treadle(method, *chosen, "--namespaces=aisle", "--to-outputs=left", LANE_HOOKS="counting")
    ran = [record["node"] for record in lane.records("hooks.jsonl") if record["event"] == "after_node_run"]
    assert ran == ["aisle.make"]
    assert set(Counter(lane.lines("configured.txt")).values()) == {1}


def test_the_parameters_of_the_runner(lane, has_flag):
    """--runner-params says how many workers there are, how they start and what a failure does."""
    if not has_flag("--runner-params"):
        pytest.skip("this Kedro has no --runner-params")
    runner = "--runner=treadle.kedro.ParallelRunner"
    lane.kedro(runner, "--runner-params=max_workers=4,start_method=spawn", "--pipelines=many")
    assert any("30 nodes: parallel runner, 4 workers (spawn)" in line for line in lane.lines("run.log"))
    lane.kedro(runner, "--runner-params=max_workers=2,on_failure=continue,resources.gpu=1", "--pipelines=fail,where", fails=True)
    assert any("2 of 3 nodes finished, 1 failed" in line for line in lane.lines("run.log"))
    done = lane.kedro(runner, "--runner-params=start_method=thread", fails=True)
    assert "Unknown start method 'thread' in the start_method argument. Use one of: fork, spawn, forkserver" in done.stderr


def test_a_file_of_flags(lane, has_flag):
    """`kedro run --config` takes the runner, and its parameters where Kedro has them."""
    flags = ["  runner: treadle.kedro.ParallelRunner", "  tags: sides"]
    if has_flag("--runner-params"):
        flags += ["  runner_params: {max_workers: 1, start_method: spawn}"]
    (lane.root / "flags.yml").write_text("\n".join(["run:", *flags]))
    lane.kedro("--config=flags.yml")
    said = "(spawn)" if has_flag("--runner-params") else "workers (fork: the fastest method"
    assert any("Running 2 nodes: parallel runner" in line and said in line for line in lane.lines("run.log"))
    assert json.loads((lane.root / "data/right.json").read_text()) == [2, 4, 6]


def test_a_service_session_as_the_projects_own(lane, method):
    """A project whose SESSION_CLASS is KedroServiceSession runs by `kedro run` as it does by default, policies included."""
    pytest.importorskip("kedro.framework.session.service_session")
    settings = lane.root / "src/lane/settings.py"
    chosen = "\nfrom kedro.framework.session import KedroServiceSession\nSESSION_CLASS = KedroServiceSession\n"
    settings.write_text(settings.read_text() + chosen)
    (lane.root / "conf/base/execution.yml").write_text("nodes: {make_left: {run_in: main}}", encoding="utf-8")
    lane.treadle(method, "--params=factor=5")
    assert json.loads((lane.root / "data/joined.json").read_text()) == [10, 20, 30]
    assert any("make_left" in line and line.endswith(" s on main") for line in lane.lines("run.log"))


def test_resume_and_skip_unchanged(lane, has_flag):
    """In a project that records its runs, only what is not done runs again, and then only what has changed (failure 19)."""
    if not has_flag("--runner-params"):
        pytest.skip("this Kedro has no --runner-params")
    runner = ("--runner=treadle.kedro.ParallelRunner", "--pipelines=resuming")
    refused = lane.kedro(*runner, "--runner-params=resume=last", fails=True)
    assert "records its runs" in refused.stdout + refused.stderr
    with (lane.root / "pyproject.toml").open("a") as file:
        file.write('\n[tool.treadle]\npackage_name = "lane"\n')
    lane.kedro(*runner, "--runner-params=start_method=fork", fails=True)
    nodes = lane.root / "src/lane/nodes.py"
    nodes.write_text(nodes.read_text().replace('raise LaneError(f"no luck with {values}")', "return values"))
    lane.kedro(*runner, "--runner-params=start_method=spawn,resume=last")
    failed, resumed = _sessions(lane)
    assert resumed.resumed_from == failed.session_id
    assert _outcomes(resumed) == {"saved": "reused", "kept": "succeeded", "bad": "succeeded"}
    lane.kedro(*runner[:1], "--runner-params=start_method=fork")
    (lane.root / "data/right.json").write_text("[0]")
    lane.kedro(*runner[:1], "--runner-params=start_method=fork,skip_unchanged=true", "--params=model.unused=1")
    assert any(
        line.endswith("Node 'make_right' will run: output right has changed since it was saved") for line in lane.lines("run.log")
    )
    status = lane.command("-m", "treadle", "status")
    assert status.returncode == 2
    assert "this command is `kedro treadle status`" in status.stderr
    assert _outcomes(_sessions(lane)[-1]) == {
        "make_left": "reused",
        "make_right": "succeeded",
        "join": "reused",  # what it loads is the same again
        "model_params": "succeeded",
        "measure": "succeeded",  # both are results in memory
    }


def test_the_auto_runner_learns_from_recorded_runs(lane):
    """The first run uses workers; the second knows how long its nodes took, and runs them in Kedro's own process."""
    with (lane.root / "pyproject.toml").open("a") as file:
        file.write('\n[tool.treadle]\npackage_name = "lane"\n')
    lane.kedro("--runner=treadle.kedro.AutoRunner")
    files = lane.files()
    lane.kedro("--runner=treadle.kedro.AutoRunner")
    first, second = (each.runs[-1] for each in _sessions(lane))
    assert (first.runner, second.runner) == ("parallel", "sequential")
    assert "have not run yet" in first.params["runner_reason"]
    assert "expected" in second.params["runner_reason"]
    assert {node.worker for node in second.nodes} == {"main"}
    assert {node.node for node in second.nodes} == {node.node for node in first.nodes}
    assert lane.files() == files


def _sessions(project):
    with closing(SQLStore(project_path=project.root)) as store:
        return [store.load(each.session_id) for each in reversed(store.list())]


def _outcomes(session):
    return {node.node: node.outcome.value for node in session.runs[-1].nodes}
