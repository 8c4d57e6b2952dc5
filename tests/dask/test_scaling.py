"""Clusters whose workers come and go during a run, or whose scheduler goes."""

from __future__ import annotations

import os
import re
import threading
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest

from treadle import Catalog, NodePolicy, Pipeline, node
from treadle.errors import RunnerError, WorkerSetupError
from treadle.events import NodeFinished, NodeStarted
from treadle.execution.runners.dask import DaskRunner
from treadle.hooks import hook_impl
from treadle.hooks.manager import create_hook_manager, register_hooks

DEADLINE = 60

NODES = """
import time
from pathlib import Path


def first(folder):
    with Path(folder, "counted").open("a") as file:
        file.write("+")
    return "1"


def second(text, folder):
    reached = Path(folder, "reached")
    is_resumed = reached.exists()
    with reached.open("a") as file:
        file.write("+")
    if not is_resumed:
        time.sleep(600)
    return text + "2"
"""
PIPELINES = """
from treadle import Pipeline, node

from felt.nodes import first, second


def register_pipelines():
    nodes = [
        node(first, "params:folder", "first", name="first"),
        node(second, ["first", "params:folder"], "second", name="second"),
    ]
    return {"__default__": Pipeline(nodes)}
"""
PROJECT = {
    "pyproject.toml": '[tool.treadle]\npackage_name = "felt"\nproject_name = "Felt"\n',
    "src/felt/__init__.py": "",
    "src/felt/settings.py": "",
    "src/felt/nodes.py": NODES,
    "src/felt/pipeline_registry.py": PIPELINES,
    "conf/base/catalog.yml": "".join(
        f"{name}: {{type: text.TextDataset, filepath: {name}.txt}}\n" for name in ("first", "second")
    ),
    "conf/local/.gitkeep": "",
}
"""A project of two nodes: the second one waits in its first run."""


def wait_for(condition):
    """Wait until a condition holds."""
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def statuses(client):
    """Return what the scheduler says of each worker."""
    return list(client.sync(client.scheduler.identity)["workers"].values())


def test_a_cluster_without_workers(changing_cluster):
    """A run waits for workers for as long as it was told."""
    with changing_cluster.client() as client:
        changing_cluster.start_workers(client, 0)
        with pytest.raises(RunnerError, match="has had no worker that could run a node for 1 s"):
            DaskRunner(client=client, worker_timeout=1).run(Pipeline([node(int, None, "a", name="n")]), Catalog())


def test_a_worker_that_joins_during_a_run_is_used(changing_cluster, nodes_for_two_workers):
    """A node that waits gets it."""
    with changing_cluster.client() as client, DaskRunner(client=client) as runner:
        changing_cluster.start_workers(client, 1)
        joined = []

        def join(event):
            if isinstance(event, NodeStarted) and not joined:
                joined.append(changing_cluster.start_worker("joins", "--no-nanny"))

        result = dict(runner.run(nodes_for_two_workers(2), Catalog(), observers=[join]))
    assert len(set(result.values())) == 2


class Locked:
    """A number that cannot be pickled."""

    def __init__(self, number):
        self._number, self._lock = number, threading.Lock()

    def sum(self):
        return self._number


class Retirement:
    """A pipeline of three nodes: the worker of the first is to retire while the second runs."""

    def __init__(self, cluster, client, runner, folder, make, policy=None):
        self._cluster, self._client, self._runner, self._folder = cluster, client, runner, folder
        self._threads = []

        def note(name):
            with Path(folder, "ran").open("a") as ran:
                ran.write(f"{name} ")

        def make_value():
            note("make")
            return make()

        def wait_for_retirement():
            note("wait")
            wait_for(Path(folder, "retiring").exists)
            return True

        def use(value, _retiring):
            note("use")
            return float(value.sum())

        self.pipeline = Pipeline(
            [
                node(make_value, None, "large", name="make"),
                node(wait_for_retirement, None, "retiring", name="wait"),
                node(use, ["large", "retiring"], "sum", name="use", policy=policy),
            ]
        )

    def observe(self, event):
        """Have the worker of the first node retire."""
        if isinstance(event, NodeFinished) and event.node == "make" and not self._threads:
            address = f"tcp://{event.worker.partition('@')[2]}"
            self._threads = [threading.Thread(target=self._retire, args=(address,)), threading.Thread(target=self._report)]
            for thread in self._threads:
                thread.start()

    def _retire(self, address):
        self._cluster.start_workers(self._client, 2)  # the other one has to take the results of dask tasks
        self._client.retire_workers([address])

    def _report(self):
        wait_for(lambda: any(link.is_leaving for link in self._runner._executor.pool._links))
        Path(self._folder, "retiring").touch()

    def nodes_that_ran(self):
        """Wait until the worker has gone; return the names of the nodes, once for each time one ran."""
        for thread in self._threads:
            thread.join(DEADLINE)
        wait_for(lambda: len(statuses(self._client)) == 1)
        return Path(self._folder, "ran").read_text().split()


@pytest.mark.parametrize(("count", "most"), [(1, None), (2, None), (2, 1)])
@pytest.mark.parametrize("make", [lambda: np.full(300_000, 1.0), lambda: Locked(300_000)], ids=["array", "unpicklable"])
def test_a_worker_that_retires_loses_nothing(changing_cluster, tmp_path, make, count, most):
    """It stays until its values were used, also those that cannot leave it; each node runs once.

    A lone worker has the last two nodes as one job when it is to retire, and the value between them never leaves that job. A run
    that uses only some of the workers uses another one in place of the one that retires.
    """
    with changing_cluster.client() as client, DaskRunner(client=client, max_workers=most) as runner:
        changing_cluster.start_workers(client, count)
        alone = NodePolicy(retries=1) if most else None  # a node that may be tried again shares no job
        retirement = Retirement(changing_cluster, client, runner, str(tmp_path), make, alone)
        result = runner.run(retirement.pipeline, Catalog(), observers=[retirement.observe])
        assert dict(result) == {"sum": 300_000.0}
        assert sorted(retirement.nodes_that_ran()) == ["make", "use", "wait"]


class Picky:
    """A plugin that starts on the first worker only."""

    @hook_impl
    def on_worker_start(self, spec):
        if spec.number > 1:
            raise LookupError("no loom")


def test_a_late_worker_that_cannot_be_set_up(changing_cluster, tmp_path):
    """The run ends with the traceback of that worker, although the other one is busy; its node is ended."""
    folder, hooks, joined = str(tmp_path), create_hook_manager(), []
    register_hooks(hooks, [Picky()])

    def hold():
        Path(folder, "pid").write_text(str(os.getpid()))
        time.sleep(600)

    def join(event):
        if isinstance(event, NodeStarted) and not joined:
            joined.append(changing_cluster.start_worker("late", "--no-nanny"))

    nodes = [node(hold, None, None, name=f"hold{index}") for index in range(2)]
    with changing_cluster.client() as client, DaskRunner(client=client) as runner:
        changing_cluster.start_workers(client, 1)
        with pytest.raises(WorkerSetupError, match="on_worker_start") as caught:
            runner.run(Pipeline(nodes), Catalog(), hooks=hooks, observers=[join])
        assert "LookupError: no loom" in caught.value.failure.traceback
        assert caught.value.worker.startswith("worker-2@127.0.0.1:")
        pid = int((tmp_path / "pid").read_text())
        with suppress(psutil.NoSuchProcess):
            psutil.Process(pid).wait(DEADLINE)


def test_a_scheduler_that_ends(changing_cluster, cluster, treadle, tmp_path):
    """The run ends with one error and the command that resumes it: on another cluster, it runs only what had not finished."""
    for name, content in PROJECT.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    (tmp_path / "conf/base/parameters.yml").write_text(f"folder: {tmp_path}\n")
    with changing_cluster.client() as client:
        changing_cluster.start_workers(client, 1)
    failed = treadle(tmp_path, "run", "--runner", "dask", DASK_SCHEDULER_ADDRESS=changing_cluster.address)
    wait_for(lambda: failed.process.poll() is not None or (tmp_path / "reached").exists())
    changing_cluster.processes["scheduler"].kill()
    assert failed.wait() != 0
    assert failed.output.count("The connection to the dask scheduler was lost") == 1, failed.output
    (resume,) = re.findall(r"treadle run (--resume=\S+)", failed.output)
    resumed = treadle(tmp_path, "run", resume, DASK_SCHEDULER_ADDRESS=cluster.address)
    assert resumed.wait() == 0, resumed.output
    assert (tmp_path / "first.txt").read_text() == "1"
    assert (tmp_path / "second.txt").read_text() == "12"
    assert (tmp_path / "reached").read_text() == "++"
    assert (tmp_path / "counted").read_text() == "+"
