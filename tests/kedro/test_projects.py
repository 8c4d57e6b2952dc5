"""Real Kedro projects on Treadle's runner: the same results as with Kedro's SequentialRunner, under every start method."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from contextlib import closing, suppress
from pathlib import Path

import pytest

from treadle.io.contents import digest_of
from treadle.observe.store import SQLStore

pytest.importorskip("kedro", reason="the Kedro runner's tests need Kedro")
pytest.importorskip("kedro_datasets", reason="the projects use kedro-datasets")


def test_results_are_those_of_the_sequential_runner(sequential_mill, parallel_mill):
    """28 nodes with one of everything return the same outputs, loaded after the run."""
    assert json.loads((parallel_mill.root / "results.json").read_text()) == json.loads(
        (sequential_mill.root / "results.json").read_text()
    )
    assert len(json.loads((parallel_mill.root / "results.json").read_text())) == 12


def test_files_are_those_of_the_sequential_runner(sequential_mill, parallel_mill):
    """Factories, versions, partitions, checkpoints, caches and transcoded files are the same, byte for byte."""
    assert parallel_mill.files() == sequential_mill.files()
    assert "04_models/model.pkl/VERSION/model.pkl" in parallel_mill.files()


def test_every_hook_fires_exactly_once(sequential_mill, parallel_mill):
    """Each event reaches the project's hooks once, with the same arguments, and the catalog can be asked for anything."""
    assert parallel_mill.events() == sequential_mill.events()
    assert sum(parallel_mill.events().values()) == 202


def test_hooks_of_a_node_keep_their_order(sequential_mill, parallel_mill):
    """The events of each node come in the order in which Kedro tells them."""
    assert parallel_mill.node_events() == sequential_mill.node_events()


def test_nodes_run_in_workers_and_single_process_datasets_at_home(parallel_mill):
    """Nodes run in other processes; those of datasets that may not leave run in the parent."""
    records = parallel_mill.records("hooks.jsonl")
    parent = next(record["pid"] for record in records if record["event"] == "before_pipeline_run")
    where = {record["node"]: record["pid"] for record in records if record["event"] == "after_node_run"}
    assert {node for node, pid in where.items() if pid == parent} == {"stay", "leave", "cache", "uncache"}


def test_each_process_is_configured_once(parallel_mill):
    """settings.py is read once a process, however many nodes that process runs."""
    assert set(Counter(parallel_mill.lines("configured.txt")).values()) == {1}


def test_a_plugin_with_state_per_process_works(sequential_mill, parallel_mill):
    """A plugin of an entry point knows what it learned in the parent, and remembers from hook to hook in a worker."""
    assert parallel_mill.events("stopwatch.jsonl") == sequential_mill.events("stopwatch.jsonl")
    assert len({record["pid"] for record in parallel_mill.records("stopwatch.jsonl")}) > 1


def test_the_logging_configuration_holds_in_workers(sequential_mill, parallel_mill):
    """The project's levels decide in workers, and its handlers write what they log, in the format it asks for."""
    assert parallel_mill.log() == sequential_mill.log()
    assert parallel_mill.log()["DEBUG|mill.nodes|splitting 40 rows"] == 1


def test_async_loads_and_saves_in_threads(make_project, sequential_lane, method):
    """With --async the results are the same, and hooks are told."""
    parallel = make_project("lane")
    parallel.treadle(method, "--async", LANE_HOOKS="counting")
    parallel_events = Counter({event: count for event, count in parallel.events().items() if "rebuilt" not in event})
    assert parallel_events == sequential_lane.events()
    assert parallel.files() == sequential_lane.files()
    assert all(record["is_async"] for record in parallel.records("hooks.jsonl") if record["event"] == "after_node_run")


def test_async_refuses_generators_as_kedro_does(make_project):
    """A generator node under --async is an error that names the node."""
    project = make_project("mill")
    done = project.treadle("fork", "--async", fails=True)
    assert "ValueError" in done.stderr
    assert "is a generator" in done.stderr


SESSION = """
from pathlib import Path
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from treadle.kedro import ParallelRunner

bootstrap_project(Path.cwd())
with KedroSession.create() as session:
    result = session.run(runner=ParallelRunner(max_workers=2, start_method={method!r}))
print({{name: dataset.load() for name, dataset in sorted(result.items())}})
"""


def test_session_run_returns_datasets_that_can_be_loaded(lane, method):
    """From Python, without a main guard, `session.run` returns datasets whose data is there after the workers are gone."""
    out = lane.script(SESSION.format(method=method))
    assert out.splitlines()[-1] == "{'metrics': {'sum': 24}, 'model': {'a': 1, 'b': 2}}"


SERVICE = """
import os
from pathlib import Path
from kedro.framework.session import KedroServiceSession
from kedro.framework.startup import bootstrap_project
from treadle.kedro import ParallelRunner

bootstrap_project(Path.cwd())
with ParallelRunner(max_workers=1, start_method={method!r}) as runner, KedroServiceSession.create() as session:
    pids = []
    for factor in (3, 4):
        result = session.run(runner=runner, runtime_params={{"factor": factor}})
        print(result["metrics"].load())
        pids += session.run(runner=runner, pipeline_names=["where"])["pid"].load()
print(len(set(pids)), os.getpid() in pids)
"""


def test_service_session_on_warm_workers(lane, method):
    """A service session runs again and again on the same worker, each run with its own params."""
    pytest.importorskip("kedro.framework.session.service_session")
    out = [line for line in lane.script(SERVICE.format(method=method)).splitlines() if line.startswith(("{'sum'", "1 ", "2 "))]
    assert out == ["{'sum': 36}", "{'sum': 48}", "1 False"]


def test_runs_are_recorded_where_the_project_asks_for_it(lane):
    """A project with a [tool.treadle] table finds its Kedro runs in `treadle sessions`; one without leaves nothing behind."""
    lane.treadle("fork")
    assert not (lane.root / ".treadle").exists()
    with (lane.root / "pyproject.toml").open("a", encoding="utf-8") as pyproject:
        pyproject.write('\n[tool.treadle]\npackage_name = "lane"\n')
    lane.treadle("fork", "--params=factor=5", "--tags=sides")
    lane.treadle("fork", "--pipelines=fail", fails=True)
    listed = lane.command("-m", "treadle", "sessions", "list").stdout.splitlines()
    assert [line.split()[1] for line in listed[1:]] == ["failed", "succeeded"]
    shown = lane.command("-m", "treadle", "sessions", "show", listed[2].split()[0]).stdout
    for fact in ("make_left", "factor=5", "tags=['sides']", "kedro run", str(lane.root / "conf")):
        assert fact in shown
    with closing(SQLStore(project_path=lane.root)) as store:
        kept = store.load(listed[2].split()[0])
    assert kept.boot_id is not None  # only a record that was written during the run has it
    nodes = kept.runs[0].nodes
    outputs = [record for node in nodes for record in node.outputs]
    assert outputs
    for record in outputs:
        assert record.digest == digest_of((lane.root / record.location).read_bytes())


TWICE = """
from pathlib import Path
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from treadle.kedro import ParallelRunner

bootstrap_project(Path.cwd())
for _ in range(2):
    with KedroSession.create() as session:
        session.run(runner=ParallelRunner(max_workers=2, start_method="fork"), **{arguments!r})
"""


def test_what_took_longest_is_started_first(lane, spelled_arguments):
    """A project that keeps records starts the node first that took longest in its last run, whatever its name."""
    with (lane.root / "pyproject.toml").open("a", encoding="utf-8") as pyproject:
        pyproject.write('\n[tool.treadle]\npackage_name = "lane"\n')
    one_at_a_time = "defaults: {resources: {turn: 1}}\nresources: {turn: 1}\n"
    (lane.root / "conf/base/execution.yaml").write_text(one_at_a_time, encoding="utf-8")
    lane.script(TWICE.format(arguments=spelled_arguments({"pipeline_names": ["uneven"]})), LANE_HOOKS="counting")
    ran = [record["node"] for record in lane.records("hooks.jsonl") if record["event"] == "after_node_run"]
    assert ran == ["a_quick", "b_slow", "b_slow", "a_quick"]


@pytest.mark.parametrize("confirming", ["read", "last"])
def test_what_a_node_confirms_is_what_was_loaded(warm_runner, knots, tmp_path, confirming):
    """An incremental dataset is confirmed by the node that loads it or by a later one; the next run has what is new."""
    from kedro.io import DataCatalog
    from kedro.pipeline import node, pipeline

    def run():
        entry = {"type": "partitions.IncrementalDataset", "path": str(tmp_path), "dataset": "text.TextDataset"}
        catalog = DataCatalog.from_config({"arrivals": {**entry, "filename_suffix": ".txt"}})
        confirms = {confirming: "arrivals"}
        nodes = [
            node(sorted, "arrivals", "seen", name="read", confirms=confirms.get("read")),
            node(knots.times_two, "seen", "twice", name="last", confirms=confirms.get("last")),
        ]
        return warm_runner.run(pipeline(nodes), catalog)["twice"].load()

    (tmp_path / "2024-01.txt").touch()
    (tmp_path / "2024-02.txt").touch()
    assert run() == ["2024-01", "2024-02"] * 2
    (tmp_path / "2024-03.txt").touch()
    assert run() == ["2024-03"] * 2
    assert run() == []


def test_a_terminal_shows_progress(lane):
    """Where standard error is a terminal, the run is drawn on it, and log lines still come."""
    master, slave = os.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "kedro", "run", "--runner=treadle.kedro.ParallelRunner", "--tags=sides"],
        cwd=lane.root,
        env=lane.environment(TERM="xterm-256color"),
        stdout=slave,
        stderr=slave,
    ) as process:
        os.close(slave)
        seen = b""
        with suppress(OSError):  # Linux's way to say that nobody has the other end any more
            while part := os.read(master, 65536):
                seen += part
        assert process.wait(timeout=60) == 0
    os.close(master)
    assert "nodes · ".encode() in seen
    assert b"2 nodes in" in seen
    assert b"[2/2]" in seen


def test_without_a_wish_workers_are_forked_from_a_quiet_process(lane):
    """Where no other thread is alive, `kedro run` forks its workers, as Kedro's own runner does; where one is, it does not."""
    runner = "--runner=treadle.kedro.ParallelRunner"
    lane.kedro(runner, "--tags=sides")
    assert any("2 workers (fork: the fastest method, and safe" in line for line in lane.lines("run.log"))
    hooks = lane.root / "src/lane/hooks.py"
    started = "threading.Thread(target=threading.Event().wait, daemon=True).start()\n"
    hooks.write_text(hooks.read_text() + f"\nif not multiprocessing.parent_process():\n    {started}")
    hooks.write_text("import multiprocessing\n" + hooks.read_text())
    lane.kedro(runner, "--tags=sides")
    assert any("2 workers (forkserver: the safe default, because another thread" in line for line in lane.lines("run.log"))


POLICIES = """
defaults: {on_failure: stop}
tags:
  sides: {retries: 1}
  hanging: {timeout: 1s}
nodes:
  make_left: {run_in: main}
  bad: {retries: 1}
"""


def test_policies_of_execution_yml(lane):
    """conf/<env>/execution.yml says where a node runs, how often it is tried and for how long, whoever runs the project."""
    (lane.root / "conf/base/execution.yml").write_text(POLICIES, encoding="utf-8")
    for own in (
        "parameters/execution.yml",
        "catalog/execution_reports.yml",
        "execution_notes.yml",
    ):  # no policies, whatever the name
        (lane.root / "conf/base" / own).parent.mkdir(exist_ok=True)
        (lane.root / "conf/base" / own).write_text("{of_the_project: {type: MemoryDataset}}", encoding="utf-8")
    runs = {"default": {}, "fail": {"pipeline_names": ["fail"]}, "hang": {"pipeline_names": ["hang"]}}
    done = lane.command(str(Path(__file__).parent / "run_pipelines.py"), "fork", json.dumps(runs))
    assert done.returncode == 0, done.stderr
    left = {name: type(lane)(lane.root / "left" / name) for name in runs}
    where = {line.split()[3].rstrip(":"): line.split()[-1] for line in left["default"].lines("run.log") if " s on " in line}
    assert where["make_left"] == "main"
    assert where["make_right"].startswith("worker-")
    for name, error in (("fail", "LaneError"), ("hang", "NodeTimeoutError")):
        told = [record["error"] for record in left[name].records("hooks.jsonl") if record["event"] == "on_node_error"]
        assert told == [error, error]
    assert "timeout of 1 s" in left["hang"].records("outcome.json")[0]["error"]


def test_a_wrong_policy_is_told_before_anything_runs(lane):
    """A policy of a node that no pipeline has is an error that names file, key and a close name."""
    (lane.root / "conf/local/execution.yml").write_text("nodes: {make_leff: {retries: 1}}", encoding="utf-8")
    done = lane.treadle("fork", "--tags=sides", fails=True)
    assert "conf/local/execution.yml: the execution key 'nodes.make_leff'" in done.stderr
    assert "Did you mean 'make_left'?" in done.stderr
    assert not (lane.root / "data/left.json").exists()


def test_the_script_of_the_documentation_runs(lane):
    """The Python example of docs/kedro.md runs in a project as it stands there."""
    page = Path(__file__).parents[2] / "docs" / "kedro.md"
    example = page.read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    assert lane.script(example).splitlines()[-1] == "{'metrics': {'sum': 24}, 'model': {'a': 1, 'b': 2}}"
