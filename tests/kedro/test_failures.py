"""Kedro's failures under its parallel runner, each under its number in our list of them: Treadle's runner has none of them.

Numbers 10 to 13 stand in `test_what_travels.py`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter

import pytest

pytest.importorskip("kedro", reason="the Kedro runner's tests need Kedro")
pytest.importorskip("kedro_datasets", reason="the projects use kedro-datasets")

pytestmark = pytest.mark.filterwarnings("ignore")  # Kedro's own, and those of what it imports


def node(*arguments, **options):
    """Make a Kedro node."""
    from kedro.pipeline import node as kedro_node

    return kedro_node(*arguments, **options)


def test_1_hooks_and_info_logs_of_workers(parallel_mill):
    """1: whatever the child inherits, the project's hooks run in it and its INFO records arrive."""
    assert sum("after_node_run" in event for event in parallel_mill.events()) == 28
    assert parallel_mill.log()["INFO|mill.nodes|totalling"] == 2


def test_2_workers_are_configured_once(lane, method):
    """2: a worker configures the project and builds its hooks once, however many of 30 nodes it runs."""
    lane.treadle(method, "--pipelines=many", LANE_HOOKS="counting")
    records = lane.records("hooks.jsonl")
    assert sum(record["event"] == "after_node_run" for record in records) == 30
    assert {record["expected"] for record in records if record["event"] == "after_node_run"} == {30}
    assert set(Counter(record["pid"] for record in records if record["event"] == "rebuilt").values()) == {1}
    assert set(Counter(lane.lines("configured.txt")).values()) == {1}


def test_3_the_catalog_does_not_travel_with_each_node(run, knots):
    """3: a dataset is pickled once a run, not once a node; thousands of params that no node takes not at all."""
    knots.CountedDataset.pickled = 0
    params = {f"params:p{n}": n for n in range(5000)}
    outputs = run(
        [node(knots.times_two, "counted", f"out_{n}", name=f"n{n}") for n in range(40)],
        {"counted": knots.CountedDataset(21), **params},
    )
    assert set(outputs.values()) == {42}
    assert knots.CountedDataset.pickled == 1


def test_4_a_declared_memory_dataset_carries_its_value(run, knots):
    """4: a MemoryDataset that the catalog declares hands the second node what the first one saved."""
    from kedro.io import MemoryDataset

    nodes = [node(knots.times_two, "start", "between"), node(knots.times_two, "between", "end")]
    assert run(nodes, {"start": 3, "between": MemoryDataset()}) == {"end": 12}


def test_5_outputs_can_be_loaded_after_the_run(run, knots):
    """5: what `run` returns holds data, though the workers are gone."""
    import numpy as np

    outputs = run([node(knots.one_more, "array", "more")], {"array": np.zeros(1_000_000)})
    assert outputs["more"].sum() == 1_000_000


def test_6_intermediates_are_released(run, knots, tmp_path):
    """6: at the end of a chain of ten 24 MB arrays not all of them are in memory."""
    meeting = tmp_path / "meeting"
    os.mkfifo(meeting)

    def come(mode):  # each waits for the other: both workers are up and have their libraries before anything is measured
        with meeting.open(mode):
            return knots.fresh_array(1)

    run([node(lambda start, mode=mode: come(mode), "start", mode, name=mode) for mode in "rw"], {"start": 1})
    chain = [node(knots.fresh_array, "params:mb", "a0", name="a0")]
    chain += [node(knots.one_more, f"a{n}", f"a{n + 1}", name=f"a{n + 1}") for n in range(9)]
    watched = [node(knots.tree_memory, "a0", "before", name="before"), node(knots.tree_memory, "a9", "after", name="after")]
    outputs = run([*chain, *watched], {"params:mb": 24})
    assert outputs["after"] - outputs["before"] < 5 * 24 * 2**20


def test_7_releasing_asks_nothing_of_the_pipeline(knots, monkeypatch):
    """7: how often the pipeline is asked for its inputs does not grow with the number of nodes."""
    from kedro.io import DataCatalog, MemoryDataset
    from kedro.pipeline import Pipeline, pipeline

    from treadle.kedro import ParallelRunner

    asked = []
    inputs = Pipeline.inputs
    monkeypatch.setattr(Pipeline, "inputs", lambda self: (asked.append(1), inputs(self))[1])
    chain = pipeline([node(knots.times_two, f"d{n}", f"d{n + 1}", name=f"n{n}") for n in range(300)])
    asked.clear()
    outputs = ParallelRunner(max_workers=2, start_method="fork").run(chain, DataCatalog({"d0": MemoryDataset(0)}))
    assert outputs["d300"].load() == 0
    assert len(asked) < 10


def told(project):
    """The error with which a run of `lane_runs` ended."""
    (outcome,) = project.records("outcome.json")
    return outcome["error"]


def test_8_after_a_failure_nothing_more_starts(lane_runs):
    """8: after a failure no queued node starts, and the hint to resume comes when all that ran has ended."""
    project = lane_runs["stopping"]
    assert not (project.root / "ran.txt").exists()
    assert "LaneError: failed at once" in told(project)
    log = "\n".join(project.lines("run.log"))
    assert log.index("Failed after") < log.index("repeat the same command")


def test_8_the_hint_to_resume_names_the_nearest_nodes(lane_runs):
    """8: the hint goes back to what persists, and following it needs nothing that is gone."""
    assert '  --from-nodes "kept"' in lane_runs["resuming"].lines("run.log")


def test_9_a_killed_worker_is_named_with_its_node(lane_runs):
    """9: a worker that is killed is an error that names node and signal, and hooks hear of it."""
    assert "WorkerLostError" in told(lane_runs["kill"])
    errors = {record["event"]: record for record in lane_runs["kill"].records("hooks.jsonl")}
    assert errors["on_node_error"]["node"] == "bad"
    assert "'bad'" in errors["on_pipeline_error"]["text"]
    assert "SIGKILL" in errors["on_pipeline_error"]["text"]


def test_9_an_exception_that_does_not_pickle_is_told(lane_runs):
    """9: an exception that pickle refuses arrives in its own class, with its text and its node."""
    assert "Node 'bad' failed" in told(lane_runs["stubborn"])
    assert "StubbornError: cannot be told" in told(lane_runs["stubborn"])
    assert [record["error"] for record in lane_runs["stubborn"].records("hooks.jsonl")] == ["StubbornError", "StubbornError"]


def test_9_an_exit_in_a_node_is_its_failure(lane_runs):
    """9: `sys.exit` in a node reaches both error hooks, and leaves the run with its exit code, as under the SequentialRunner."""
    records = lane_runs["leave"].records("hooks.jsonl")
    assert "SystemExit: 3" in told(lane_runs["leave"])
    assert [record["event"] for record in records] == ["on_node_error", "on_pipeline_error"]
    assert records[0]["error"] == "SystemExit"


def test_9_the_nodes_own_exception_is_raised(lane_runs):
    """9: what a node raises is what `session.run` raises and hooks see, inputs included."""
    node_error, pipeline_error = lane_runs["fail"].records("hooks.jsonl")
    assert node_error == {**node_error, "event": "on_node_error", "node": "bad", "error": "LaneError", "inputs": ["summed"]}
    assert pipeline_error["error"] == "LaneError"
    assert pipeline_error["text"] == "no luck with [2, 4, 6]"
    assert "Node 'bad' failed" in told(lane_runs["fail"])


def test_9_a_failed_run_fails_the_command(lane):
    """9: `kedro run` ends with an error, and the last thing it says names the node."""
    done = lane.treadle("fork", "--pipelines=fail", fails=True)
    assert "LaneError: no luck with [2, 4, 6]" in done.stderr
    assert "Node 'bad' failed" in done.stderr
    assert "in fail\n    raise LaneError" in done.stderr
    assert "execution/loop" not in done.stderr  # the way through the engine tells nothing of the project
    assert any("2 nodes: parallel runner (fork)" in line for line in lane.lines("run.log"))  # a chain needs one worker


def test_9_an_interrupt_ends_the_run_and_its_workers(lane, method, spelled):
    """9: Ctrl-C ends a run whose node never would, tells how to resume it, and leaves no process behind."""
    import psutil

    with subprocess.Popen(
        [sys.executable, "-m", "kedro", "run", "--runner=treadle.kedro.ParallelRunner", *spelled(["--pipelines=hang"])],
        cwd=lane.root,
        env=lane.environment(TREADLE_START_METHOD=method),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        hanging = lane.root / "hanging.txt"
        wait_for(hanging.exists)
        wait_for(hanging.read_text)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) != 0
    wait_for(lambda: not psutil.pid_exists(int(hanging.read_text())))
    assert '  --from-nodes "bad"' in lane.lines("run.log")


def wait_for(predicate, seconds=60):
    """Wait for a fact that nothing announces."""
    deadline, tick = time.monotonic() + seconds, threading.Event()
    while not predicate():
        assert time.monotonic() < deadline, "it did not come about"
        tick.wait(0.02)


def test_16_dataset_errors_name_their_node(lane_runs):
    """16: an input that cannot be loaded is told with node and dataset, as Kedro's own DatasetError."""
    assert "Node 'wants_absent' could not load 'absent'" in told(lane_runs["absent"])
    assert lane_runs["absent"].records("hooks.jsonl")[-1]["error"] == "DatasetError"


def test_16_worker_logs_follow_the_logging_configuration(parallel_mill):
    """16: levels, formats and files of conf/logging.yml hold for what workers log."""
    assert parallel_mill.log()["DEBUG|mill.nodes|splitting 40 rows"] == 1
    assert not [line for line in parallel_mill.log() if line.startswith("INFO|kedro")]


def test_16_context_variables_reach_the_threads_of_async(knots):
    """16: with is_async, datasets are loaded and saved in threads that have the caller's context variables."""
    import contextvars

    from kedro.io import AbstractDataset, DataCatalog
    from kedro.pipeline import pipeline

    from treadle.kedro import ParallelRunner

    wanted = contextvars.ContextVar("wanted", default="nothing")
    seen = []

    class Asking(AbstractDataset):
        _SINGLE_PROCESS = True

        def load(self):
            seen.append((wanted.get(), threading.current_thread() is threading.main_thread()))
            return 1

        def save(self, data):
            seen.append((wanted.get(), threading.current_thread() is threading.main_thread()))

        def _describe(self):
            return {}

    wanted.set("something")
    runner = ParallelRunner(max_workers=1, is_async=True, start_method="fork")
    runner.run(pipeline([node(knots.times_two, "a", "b")]), DataCatalog({"a": Asking(), "b": Asking()}))
    assert seen == [("something", False), ("something", False)]


def test_17_the_projects_catalog_class_is_kept(sequential_lane, lane_runs):
    """17: a project's own DATA_CATALOG_CLASS sees each load and save, in memory and on disk, in workers too."""
    parallel = lane_runs["default"]
    assert parallel.events("audit.jsonl") == sequential_lane.events("audit.jsonl")
    (outcome,) = parallel.records("outcome.json")
    assert outcome["pid"] not in {record["pid"] for record in parallel.records("audit.jsonl")}


def test_17_memory_data_goes_in_and_comes_out(run, knots):
    """17: data given to the catalog in memory reaches the nodes, is still there afterwards, and outputs come back."""
    from kedro.io import MemoryDataset

    given = MemoryDataset([1, 2])
    assert run([node(knots.times_two, "given", "out")], {"given": given}) == {"out": [1, 2, 1, 2]}
    assert given.load() == [1, 2]


def test_18_a_run_loads_the_version_it_saved(lane_runs):
    """18: while another run saves a newer version, a run has its own in its nodes and outputs; the next run has the newer."""
    assert told(lane_runs["versions"]) is None
    assert lane_runs["versions"].records("hooks.jsonl")[-1]["results"] == {"recalled": "[[1, 2, 3], [1, 2, 3]]"}
    history = lane_runs["versions"].root.parents[1] / "data/history.json"
    assert max(path.name for path in history.iterdir()).startswith("9999")
    assert "seen" in told(lane_runs["versions again"])  # it lived in memory, and the older run's went with it


@pytest.mark.parametrize(("given", "code"), [(3, 3), (0, 0), (None, 0), ("no data", "no data")])
def test_9_an_exit_has_its_code(run, given, code):
    """9: what a node gives to `sys.exit` is the exit code of the process, or its last words; nothing after that node runs."""
    from kedro.pipeline import node

    def leave(_value):
        sys.exit(given)

    def never(_value):
        raise AssertionError

    with pytest.raises(SystemExit) as caught:
        run([node(leave, "a", "b", name="leave"), node(never, "b", "c", name="never")], {"a": 1})
    assert (caught.value.code or 0) == code


def test_a_process_of_the_applications_own_can_be_terminated(launch, tmp_path):
    """The forkserver that the runner starts early has no signal blocked, since the application's processes would inherit that."""
    launched = launch(
        """
import multiprocessing
import time

from treadle.kedro import ParallelRunner

if __name__ == "__main__":
    ParallelRunner(start_method="forkserver")
    process = multiprocessing.get_context("forkserver").Process(target=time.sleep, args=(60,))
    process.start()
    process.terminate()
    process.join(30)
    print("exit code", process.exitcode)
    process.kill()
""",
        tmp_path,
    )
    assert launched.wait() == 0, launched.output
    assert "exit code -15" in launched.output
