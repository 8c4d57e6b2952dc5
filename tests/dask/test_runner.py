"""`DaskRunner` on a cluster of processes, each with a working directory of its own."""

from __future__ import annotations

import importlib
import logging
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from treadle import Catalog, NodeError, NodePolicy, Pipeline, node
from treadle.errors import RunnerError, WorkerSetupError
from treadle.events import NodeFinished, Outcome
from treadle.execution.executors.dask.versions import versions
from treadle.execution.runners.dask import DaskRunner
from treadle.execution.runners.preflight import check_pipeline
from treadle.execution.runners.registry import make_runner
from treadle.hooks import create_hook_manager, hook_impl
from treadle.io.contents import digest_of
from treadle.observe.store import RunRecorder
from treadle.observe.store.log_lines import RunLog, log_lines
from treadle.project.log_capture import logs_captured


@pytest.fixture(scope="module")
def runner(client):
    """A runner that is kept between the tests."""
    with DaskRunner(client=client) as made:
        yield made


def test_values_pass_from_worker_to_worker(runner):
    """Large values, small ones and those from the driver reach their nodes, and the result comes back."""
    nodes = [
        node(lambda n: np.full(n, 1.0), "n", "a", name="a"),
        node(lambda n: np.full(n, 2.0), "n", "b", name="b"),
        node(lambda a, b, table: float((a + b + table).sum()), ["a", "b", "table"], "sum", name="sum"),
    ]
    catalog = Catalog({"n": 300_000, "table": np.full(300_000, 3.0)})
    assert dict(runner.run(Pipeline(nodes), catalog)) == {"sum": 6.0 * 300_000}


def test_inputs_from_another_worker_may_arrive_in_any_order(runner):
    """A node waits for all of its inputs, also if the first of them is the largest and arrives last."""
    far = [f"far_{index}" for index in range(9)]
    nodes = [
        node(lambda: np.full(6_000_000, 1.0), None, "near", name="near"),
        node(lambda: [np.full(3_000_000, 1.0), *(np.full(20_000, 1.0) for _ in far[1:])], None, far, name="far"),
        node(lambda *arrays: sum(array.size for array in arrays), [*far, "near"], "size", name="use"),
    ]
    assert dict(runner.run(Pipeline(nodes), Catalog())) == {"size": 9_000_000 + 8 * 20_000}


def test_log_lines_and_phases_are_recorded(runner, tmp_path):
    """What a node logs on a worker is a part of its attempt in the record; a failed attempt has its phases."""

    def stumble(folder):
        marker = folder / "seen"
        logging.getLogger("yarn").warning("again" if marker.exists() else "first")
        if not marker.exists():
            marker.touch()
            raise ValueError("no luck")

    recorder = RunRecorder("id", number=1, pipelines=(), runner="", params={}, started=0.0)
    recorder.log = RunLog(str)
    nodes = [node(stumble, "folder", None, name="stumble", policy=NodePolicy(retries=1))]
    with logs_captured(recorder.log):
        runner.run(Pipeline(nodes), Catalog({"folder": tmp_path}), observers=[recorder])
    record = recorder.record(Outcome.SUCCEEDED, finished=9.0)
    lines = [(line.node, line.attempt, line.level, line.text) for line in log_lines(record.log) if line.logger == "yarn"]
    assert lines == [("stumble", 1, "WARNING", "first"), ("stumble", 2, "WARNING", "again")]
    failed, done = record.nodes
    assert (failed.outcome, failed.retried, done.outcome) == (Outcome.FAILED, True, Outcome.SUCCEEDED)
    assert 0 < failed.load_seconds + failed.run_seconds <= failed.finished - failed.started


def test_settings_of_the_drivers_machine_are_not_applied(runner):
    """A worker keeps its own umask, cores and limits, but adopts Python's settings."""

    def settings():
        mask = os.umask(0)
        os.umask(mask)
        return mask, len(os.sched_getaffinity(0)), sys.getrecursionlimit()

    pipeline = Pipeline([node(settings, None, "settings", name="look")])
    before = runner.run(pipeline, Catalog())["settings"]
    cores, limit, mask = os.sched_getaffinity(0), sys.getrecursionlimit(), os.umask(0o077)
    try:
        os.sched_setaffinity(0, {min(cores)})
        sys.setrecursionlimit(limit + 234)
        assert runner.run(pipeline, Catalog())["settings"] == (*before[:2], limit + 234)
    finally:
        os.umask(mask)
        os.sched_setaffinity(0, cores)
        sys.setrecursionlimit(limit)


def test_contents_of_outputs_come_back(runner, tmp_path):
    """An observer that asks for them gets the hash that the worker took of the file it saved."""
    seen = []

    class Contents:
        records_outputs = True

        def __call__(self, event):
            seen.extend(event.outputs if isinstance(event, NodeFinished) else ())

    catalog = Catalog.from_config({"x": {"type": "text.TextDataset", "filepath": str(tmp_path / "x.txt")}})
    runner.run(Pipeline([node(lambda: "hello", None, "x", name="save")]), catalog, observers=[Contents()])
    assert [(each.dataset, each.digest) for each in seen] == [("x", digest_of(b"hello"))]


def test_validators_check_on_workers(runner, tmp_path):
    """Of files and of values in memory: what a validator returns is used, and what it refuses fails the node."""
    catalog = Catalog.from_config(
        {
            "parsed": {"type": "MemoryDataset", "validator": {"class": "json.loads", "on": "save"}},
            "sorted": {"type": "json.JSONDataset", "filepath": str(tmp_path / "x.json"), "validator": "builtins.sorted"},
        }
    )
    texts = ["[3, 1]", "[3, 1"]
    nodes = [node(lambda: texts[0], None, "parsed", name="make"), node(lambda numbers: numbers, "parsed", "sorted", name="pass")]
    assert dict(runner.run(Pipeline(nodes), catalog)) == {"sorted": [1, 3]}
    texts.reverse()
    with pytest.raises(NodeError, match=r"'parsed' was refused by its validator json\.loads before it was saved") as caught:
        runner.run(Pipeline(nodes), catalog)
    assert caught.value.node == caught.value.__cause__.node == "make"


def test_a_failure_names_its_node(runner):
    """A node that raises fails the run with its own exception, and the worker's address is in the label."""

    def fail():
        raise ValueError("no yarn")

    with pytest.raises(NodeError) as caught:
        runner.run(Pipeline([node(fail, None, "a", name="spin")]), Catalog())
    assert caught.value.node == "spin"
    assert isinstance(caught.value.__cause__, ValueError)
    assert "@127.0.0.1:" in caught.value.worker


def test_a_value_that_cannot_be_pickled_is_used_where_it_is(runner):
    """It stays in the worker that made it, and its consumer runs there."""
    nodes = [node(threading.Lock, None, "lock", name="make"), node(lambda lock: lock.locked(), "lock", "held", name="look")]
    assert dict(runner.run(Pipeline(nodes), Catalog())) == {"held": False}


def test_log_records_name_node_and_worker(runner, caplog):
    """What a node logs and prints reaches the driver."""

    def speak():
        logging.getLogger("yarn").warning("thin")
        return 1

    with caplog.at_level(logging.WARNING):
        runner.run(Pipeline([node(speak, None, "a", name="spin")]), Catalog())
    (record,) = [each for each in caplog.records if each.name == "yarn"]
    assert (record.getMessage(), record.node) == ("thin", "spin")
    assert record.worker.startswith("worker-")


def test_an_address_where_nobody_answers():
    """The error comes within ten seconds and names the address."""
    with pytest.raises(RunnerError, match=r"No dask scheduler answers at tcp://127\.0\.0\.1:9"):
        make_runner("dask", {"address": "tcp://127.0.0.1:9"}).run(Pipeline([node(lambda: 1, None, "a")]), Catalog())


@pytest.mark.parametrize("arguments", [{"max_workers": 0}, {"worker_timeout": 0}, {"address": "tcp://h:1", "client": 1}])
def test_invalid_arguments(arguments):
    """An argument that means nothing is an error before a cluster is looked for."""
    with pytest.raises(RunnerError):
        DaskRunner(**arguments)


def test_the_code_of_the_project_is_sent(client, tmp_path, monkeypatch):
    """Workers that do not have a module get it, and get it again when it has changed; a run beside it keeps its own version."""
    monkeypatch.syspath_prepend(tmp_path)
    package = tmp_path / "woven_goods"
    package.mkdir()
    (package / "pattern.txt").write_text("twill")

    def write(count):
        (package / "__init__.py").write_text(
            f"from pathlib import Path\n\ndef look():\n    here = Path(__file__).with_name('pattern.txt')\n"
            f"    return [{count}, here.read_text(), str(here)]\n"
        )
        for name in [each for each in sys.modules if each.partition(".")[0] == "woven_goods"]:
            del sys.modules[name]
        importlib.invalidate_caches()
        return Pipeline([node(importlib.import_module("woven_goods").look, None, "seen", name="look")])

    first = write(1)
    with DaskRunner(client=client) as older, DaskRunner(client=client) as newer:
        one = dict(older.run(first, Catalog()))["seen"]
        second = write(222)
        two = dict(newer.run(second, Catalog()))["seen"]
        three = dict(older.run(second, Catalog()))["seen"]
    assert [one[:2], two[:2], three[:2]] == [[1, "twill"], [222, "twill"], [222, "twill"]]
    assert not one[2].startswith(str(tmp_path))


def test_a_worker_that_cannot_write_the_code(changing_cluster, tmp_path, monkeypatch):
    """The run ends with one error that says what the worker lacks; it does not wait for another worker."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "heavy_goods.py").write_text("def look():\n    return 1\n")
    heavy = importlib.import_module("heavy_goods")
    with changing_cluster.client() as client, DaskRunner(client=client, worker_timeout=600) as mine:
        changing_cluster.start_workers(client, 1)
        client.run(lambda dask_worker: Path(dask_worker.local_directory, "treadle-code").write_text("in the way"))
        try:
            with pytest.raises(WorkerSetupError, match=r"could not be unpacked into .*treadle-code.*Not a directory"):
                mine.run(Pipeline([node(heavy.look, None, "seen", name="look")]), Catalog())
        finally:
            client.run(lambda dask_worker: Path(dask_worker.local_directory, "treadle-code").unlink())
            del sys.modules["heavy_goods"]


SHELF = """
from treadle import Dataset


class Shelf(Dataset):
    number = 0

    def load(self):
        return self.number

    def save(self, data):
        self.number = data
"""


def _move_to(folder):
    def move(dask_worker):
        """Change the worker's own directory; return the one before."""
        before, dask_worker.local_directory = dask_worker.local_directory, folder
        return before

    return move


def test_a_worker_that_cannot_write_the_files_of_a_run(changing_cluster, tmp_path, monkeypatch):
    """The run ends with that error; it does not look as if the worker had died in a node."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "heavy_shelves.py").write_text(SHELF)
    shelves = importlib.import_module("heavy_shelves")
    pipeline = Pipeline([node(int, None, "shelf", name="put")])
    with changing_cluster.client() as client, DaskRunner(client=client, worker_timeout=600) as mine:
        changing_cluster.start_workers(client, 1)
        mine.run(pipeline, Catalog({"shelf": shelves.Shelf()}))
        ((_, folder),) = client.run(_move_to(str(tmp_path / "missing"))).items()
        try:
            with pytest.raises(WorkerSetupError, match=r"could not write files of the run to .*missing: .*No such file"):
                mine.run(pipeline, Catalog({"shelf": shelves.Shelf()}))
        finally:
            client.run(_move_to(folder))
            del sys.modules["heavy_shelves"]


def test_a_traceback_has_the_paths_of_this_machine(client, tmp_path, monkeypatch):
    """A node that fails in the copy of the project's code on a worker is shown with the file that the user has."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "torn_goods.py").write_text("def tear():\n    raise ValueError('torn in ' + __file__)\n")
    torn = importlib.import_module("torn_goods")
    with DaskRunner(client=client) as mine, pytest.raises(NodeError) as caught:
        mine.run(Pipeline([node(torn.tear, None, "a", name="tear")]), Catalog())
    del sys.modules["torn_goods"]
    assert f'File "{tmp_path}/torn_goods.py", line 2, in tear' in caught.value.failure.traceback
    assert f"torn in {tmp_path}/torn_goods.py" in caught.value.failure.message


def test_workers_with_versions_that_break_pickles_are_refused(client, monkeypatch):
    """Nothing runs; the error has a table of the versions on both sides."""
    monkeypatch.setattr("treadle.execution.executors.dask.worker_checks.versions", lambda: {**versions(), "python": "3.7.1"})
    with pytest.raises(RunnerError, match=r"other versions of python.*\n.*here +worker\n +python +3\.7\.1 +3\."):
        DaskRunner(client=client).run(Pipeline([node(int, None, "a", name="n")]), Catalog())


def test_workers_of_another_version_may_not_understand_the_driver(client, monkeypatch):
    """The error has the versions, and not what a function of the other version has raised."""
    monkeypatch.setattr("treadle.execution.executors.dask.link.install", int)  # it takes no such arguments
    monkeypatch.setattr("treadle.execution.executors.dask.worker_checks.versions", lambda: {**versions(), "treadle": "99.1"})
    with pytest.raises(RunnerError, match=r"other versions of treadle.*\n.*here +worker\n +treadle +99\.1 +\d"):
        DaskRunner(client=client).run(Pipeline([node(int, None, "a", name="n")]), Catalog())


def test_two_runs_at_once_do_not_disturb_each_other(client):
    """Both use the same workers and the same names, and each has its own values."""

    def weave(times):
        nodes = [node(lambda: np.full(200_000, float(times)), None, "cloth", name="weave")]
        nodes += [node(lambda cloth: float(cloth.sum()), "cloth", f"sum{each}", name=f"sum{each}") for each in range(8)]
        with DaskRunner(client=client) as mine:
            return set(dict(mine.run(Pipeline(nodes), Catalog())).values())

    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(weave, (1, 2))) == [{200_000.0}, {400_000.0}]


def test_files_that_workers_do_not_see(runner, client, tmp_path):
    """A dataset on this machine only is refused before anything runs; one that the workers see is used."""
    config = {"yarn": {"type": "text.TextDataset", "filepath": str(tmp_path / "yarn.txt")}}
    catalog = Catalog.from_config(config)
    pipeline = Pipeline([node(lambda: "wool", None, "yarn", name="spin"), node(len, "yarn", "length", name="measure")])
    with pytest.raises(RunnerError, match="Dataset 'yarn' has its file in"):
        DaskRunner(client=client, shared_file_system=False).run(pipeline, catalog)
    assert list(tmp_path.iterdir()) == []
    assert dict(runner.run(pipeline, catalog)) == {"length": 4}
    assert [path.name for path in tmp_path.iterdir()] == ["yarn.txt"]


def fail_once(folder):
    """Raise an exception in the first process that calls this."""
    with suppress(FileExistsError):
        Path(folder, "failed").touch(exist_ok=False)
        raise RuntimeError("not yet")
    return Plugin(folder)


class Plugin:
    """A plugin that cannot be unpickled the first time."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return fail_once, (self.folder,)

    @hook_impl
    def after_node_run(self):
        """Do nothing."""


def test_a_run_that_cannot_be_opened_for_one_node(client, tmp_path):
    """Only that node fails: the others have their inputs, although these came with its job."""
    manager = create_hook_manager()
    manager.register(Plugin(str(tmp_path)))
    nodes = [node(lambda x: float(x[0]), "x", f"y{index}", name=f"n{index}") for index in range(20)]
    runner = DaskRunner(client=client, max_workers=1, on_failure="continue")
    seen = []
    with pytest.raises(NodeError, match="not yet"):
        runner.run(Pipeline(nodes), Catalog({"x": np.ones(300_000)}), hooks=manager, observers=[seen.append])
    assert len([event for event in seen if isinstance(event, NodeFinished)]) == 19


def test_the_check_uses_a_worker_of_the_cluster(client):
    """`treadle check --runner dask` builds everything in a worker, and reports what cannot be made there."""

    class Broken:
        def __call__(self, a):
            return a

        def __reduce__(self):
            return int, ("not a number",)

    nodes = [node(lambda: 1, None, "a", name="fine"), node(Broken(), "a", "b", name="broken")]
    report = check_pipeline(Pipeline(nodes), Catalog(), runner=DaskRunner(client=client))
    assert (report.nodes, report.start_method) == (2, "dask")
    assert [problem.nodes for problem in report.problems] == [("broken",)]
