"""Random graphs on a dask cluster whose workers are killed, or whose client is."""

from __future__ import annotations

import importlib.util
import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

pytest.importorskip("distributed")

SCRIPT = str(Path(__file__).with_name("random_graph.py"))
SIGNALS = {"SIGKILL": 4, "SIGSEGV": 1, "SIGTERM": 1}
MOST_SIGNALS = 4
LONGEST_LIFE = 8.0
"""Seconds after which the client is killed at the latest; the workers need some of them to start."""

SLEEPER = """
import os
import time
from pathlib import Path

from treadle import Catalog, DaskRunner, Pipeline, node

def sleep():
    Path({file!r}).write_text(str(os.getpid()))
    time.sleep(600)  # in C: an exception that is raised in this thread comes after it

if __name__ == "__main__":
    DaskRunner({address!r}).run(Pipeline([node(sleep, None, "slept", name="sleep")]), Catalog())
"""


@pytest.fixture
def make_cluster(tmp_path_factory):
    """Make clusters of processes; they are closed at the end."""
    path = Path(__file__).parents[1] / "dask" / "conftest.py"
    spec = importlib.util.spec_from_file_location("treadle_dask_fixtures", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made = []

    def make():
        made.append(module.Cluster(tmp_path_factory.mktemp("cluster")))
        made[-1].start_worker("w")
        return made[-1]

    yield make
    for each in made:
        each.close()


def expected(seed, launch, folder):
    """Return the values of a seed's graph, as one node after another makes them."""
    launched = launch([sys.executable, SCRIPT, str(seed), "sequential", "expected.json"], folder)
    assert launched.wait() == 0, launched.output
    for path in (folder / "workers").glob("*"):
        path.unlink()
    return json.loads((folder / "expected.json").read_text())


def test_killed_workers_change_no_value(cluster_seed, launch, leftovers, wait_until, tmp_path):
    """Workers of a local cluster are killed at random moments, also all of them at once."""
    choose, values = random.Random(cluster_seed), expected(cluster_seed, launch, tmp_path)
    launched = launch([sys.executable, SCRIPT, str(cluster_seed), "dask", "result.json"], tmp_path)
    sent = []
    while launched.process.poll() is None and len(sent) < MOST_SIGNALS:
        time.sleep(choose.uniform(0.01, 0.3))  # to hit a random moment, not to wait for one
        workers = sorted(int(path.name) for path in (tmp_path / "workers").glob("*"))
        for pid in workers if choose.random() < 0.3 else workers[-1:]:
            name = choose.choices(list(SIGNALS), list(SIGNALS.values()))[0]
            with suppress(ProcessLookupError):
                os.kill(pid, signal.Signals[name])
                sent.append(name)
    assert launched.wait(120) == 0, f"after {sent}: {launched.output}"
    assert json.loads((tmp_path / "result.json").read_text()) == values, f"after {sent}"
    wait_until(lambda: not leftovers.processes(), "all processes ended")


def test_a_killed_client_leaves_nothing(cluster_seed, launch, leftovers, wait_until, tmp_path):
    """`kill -9` of a client at a random moment ends its local cluster."""
    choose = random.Random(cluster_seed)
    launched = launch([sys.executable, SCRIPT, str(cluster_seed), "dask", "result.json"], tmp_path)
    with suppress(subprocess.TimeoutExpired):
        launched.process.wait(choose.uniform(2.0, LONGEST_LIFE))
    launched.process.kill()
    launched.process.wait()
    wait_until(lambda: not leftovers.processes(), "all processes ended")  # dask's next cluster removes its files


def test_a_node_in_compiled_code_ends_after_its_client(long_seed, make_cluster, launch, tmp_path):
    """On a cluster that goes on, the worker's process is ended, as nothing else ends the node, and the nanny starts another."""
    cluster, pid = make_cluster(), tmp_path / "pid"
    launched = launch(SLEEPER.format(file=str(pid), address=cluster.address), tmp_path)
    end = time.monotonic() + 60
    while not (pid.exists() and pid.read_text()):
        assert time.monotonic() < end, launched.output
        time.sleep(0.02)
    launched.process.kill()
    launched.process.wait()
    with suppress(psutil.NoSuchProcess):
        psutil.Process(int(pid.read_text())).wait(30)
    with cluster.client() as client:
        client.wait_for_workers(1, timeout=60)
        assert client.run_on_scheduler(lambda dask_scheduler: list(dask_scheduler.tasks)) == []
