"""A real Kedro project on a dask cluster: the same files, values and hooks as with Kedro's SequentialRunner."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import closing

import pytest

from treadle.observe.store import SQLStore

pytest.importorskip("kedro", reason="the Kedro runner's tests need Kedro")
pytest.importorskip("kedro_datasets", reason="the projects use kedro-datasets")
distributed = pytest.importorskip("distributed")


@pytest.fixture
def project(make_project):
    """A copy of the project."""
    return make_project("mill")


@pytest.fixture
def address(project, tmp_path):
    """The address of a cluster whose workers do not have the project's code on their path. Its hooks write to their directory."""
    file, processes = tmp_path / "scheduler.json", []

    def start(*words):
        with (tmp_path / f"log-{len(processes)}").open("wb") as log:
            command = [sys.executable, "-m", "dask", *words, "--host", "127.0.0.1", "--no-dashboard"]
            processes.append(subprocess.Popen(command, cwd=project.root, env=project.environment(), stdout=log, stderr=log))

    start("scheduler", "--port", "0", "--scheduler-file", str(file))
    for _ in range(2):
        start("worker", "--scheduler-file", str(file), "--nthreads", "1", "--no-nanny")
    with distributed.Client(scheduler_file=str(file), set_as_default=False) as client:
        client.wait_for_workers(2, timeout=60)
        yield client.scheduler.address
    for process in reversed(processes):
        process.terminate()
        process.wait(30)


def check(project, sequential_mill):
    """Compare what a run of a project left with what the run of Kedro's own runner left."""
    left = [json.loads((each.root / "results.json").read_text()) for each in (sequential_mill, project)]
    assert left[0] == left[1]
    assert project.files() == sequential_mill.files()
    assert project.events() == sequential_mill.events()
    assert project.node_events() == sequential_mill.node_events()
    assert len({record["pid"] for record in project.records("hooks.jsonl")}) > 1


def test_a_project_runs_as_under_the_sequential_runner(sequential_mill, project):
    """28 nodes with one of everything have the same outputs and files, and each hook fires once."""
    project.kedro("--runner=treadle.kedro.DaskRunner", LOKY_MAX_CPU_COUNT="2")
    check(project, sequential_mill)


def test_a_project_runs_on_a_cluster_that_was_started_elsewhere(sequential_mill, project, address):
    """The same on workers that get the project's code from the run; they still run afterwards."""
    project.kedro("--runner=treadle.kedro.DaskRunner", DASK_SCHEDULER_ADDRESS=address)
    check(project, sequential_mill)
    with distributed.Client(address, set_as_default=False) as client:
        assert len(client.scheduler_info()["workers"]) == 2


def test_datasets_are_sent_with_the_nodes_that_use_them(tmp_path):
    """Without hooks that may use any dataset, a worker gets each with its first node, and builds it there."""
    from kedro.io import DataCatalog
    from kedro.pipeline import node, pipeline

    from treadle.kedro import DaskRunner

    entries = {name: {"type": "text.TextDataset", "filepath": str(tmp_path / f"{name}.txt")} for name in ("raw", "loud", "long")}
    catalog = DataCatalog.from_config(entries)
    catalog.save("raw", "wool")
    nodes = [
        node(lambda raw: raw.upper(), "raw", "loud", name="shout"),
        node(lambda loud: loud * 2, "loud", "long", name="repeat"),
        node(lambda long, raw: len(long) + len(raw), ["long", "raw"], "count", name="count"),
    ]
    with DaskRunner(max_workers=2) as runner:
        assert runner.run(pipeline(nodes), catalog)["count"].load() == 12
    assert (tmp_path / "long.txt").read_text() == "WOOLWOOL"


def test_resume_and_skip_unchanged(make_project, has_flag, address):
    """What is done is not run again on a cluster either, stored values included; the main process verifies the workers' files."""
    if not has_flag("--runner-params"):
        pytest.skip("this Kedro has no --runner-params")
    lane = make_project("lane")
    with (lane.root / "pyproject.toml").open("a") as file:
        file.write('\n[tool.treadle]\npackage_name = "lane"\n')
    (lane.root / "conf/base/execution.yml").write_text("nodes: {kept: {cache: store}}\n")

    def run(*flags, fails=False):
        lane.kedro(
            "--runner=treadle.kedro.DaskRunner", "--pipelines=resuming", *flags, fails=fails, DASK_SCHEDULER_ADDRESS=address
        )
        with closing(SQLStore(project_path=lane.root)) as store:
            return {node.node: node.outcome.value for node in store.load(store.list(1)[0].session_id).runs[-1].nodes}

    assert run(fails=True) == {"saved": "succeeded", "kept": "succeeded", "bad": "failed"}
    nodes = lane.root / "src/lane/nodes.py"
    nodes.write_text(nodes.read_text().replace('raise LaneError(f"no luck with {values}")', "return values"))
    assert run("--runner-params=resume=last") == {"saved": "reused", "kept": "reused", "bad": "succeeded"}
    assert run("--runner-params=skip_unchanged=true", "--to-nodes=saved") == {"saved": "reused"}
