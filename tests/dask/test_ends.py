"""Runs on a cluster that end early: by Ctrl-C, a timeout, or the death of their process or of workers."""

from __future__ import annotations

import os
import re
import signal
import tempfile
import threading
import time
from functools import partial
from pathlib import Path

import dask
import numpy as np
import psutil
import pytest

from treadle import Catalog, NodePolicy, Pipeline, node
from treadle.errors import NodeTimeoutError, WorkerLostError
from treadle.events import NodeFinished, NodeStarted, WorkerLost
from treadle.execution.executors import executor
from treadle.execution.executors.dask.pool import DaskPool
from treadle.execution.executors.executor import Executor
from treadle.execution.runners.dask import DaskRunner

distributed = pytest.importorskip("distributed")


DEADLINE = 60

SCRIPT = """
import os
import time
from pathlib import Path

import numpy as np

from treadle import Catalog, DaskRunner, Pipeline, node

FOLDER = {folder!r}

def hold(large):
    Path(FOLDER, "pid").write_text(str(os.getpid()))
    try:
        while True:
            time.sleep(0.02)
    finally:
        Path(FOLDER, "ended").touch()

if __name__ == "__main__":
    nodes = [node(lambda: np.ones(300_000), None, "large", name="make"), node(hold, "large", "held", name="hold")]
    with DaskRunner({address!r}, max_workers=1) as runner:
        runner.run(Pipeline(nodes), Catalog())
"""


@pytest.fixture
def begin(launch, tmp_path):
    """Start a run in a process of its own; return the process, and the process id of the worker in which a node waits."""

    def start(address):
        launched = launch(SCRIPT.format(folder=str(tmp_path), address=address), tmp_path)
        pid = tmp_path / "pid"
        wait_for(lambda: launched.process.poll() is not None or (pid.exists() and pid.read_text()))
        assert launched.process.poll() is None, launched.output
        return launched, int(pid.read_text())

    return start


def wait_for(condition):
    """Wait until a condition holds."""
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def tasks(client):
    """Return the keys of the tasks that the scheduler knows, and the pools that workers know."""
    keys = client.run_on_scheduler(lambda dask_scheduler: sorted(map(str, dask_scheduler.tasks)))
    pools = client.run(
        lambda dask_worker: sorted(dask_worker._treadle_host.pools) if hasattr(dask_worker, "_treadle_host") else []
    )
    return keys, [pool for each in pools.values() for pool in each]


def blackboards(pid):
    """Return the files of a worker's blackboards."""
    return list(Path(tempfile.gettempdir()).glob(f"treadle-board-{os.getuid()}-{pid}-*"))


def test_ctrl_c_frees_the_worker(begin, cluster, client):
    """The worker's process is ended, whatever its node does, and the nanny starts another one."""
    launched, pid = begin(cluster.address)
    launched.process.send_signal(signal.SIGINT)
    wait_for(lambda: not psutil.pid_exists(pid))
    assert launched.wait() != 0
    assert launched.output.rstrip().endswith("KeyboardInterrupt")
    assert blackboards(pid) == []
    client.wait_for_workers(2, timeout=DEADLINE)
    wait_for(lambda: tasks(client) == ([], []))


def test_an_interrupt_while_the_runner_closes_leaves_no_connection(cluster, monkeypatch):
    """The runner's own client, and with it a cluster that the runner has started, is closed nevertheless."""
    sync = distributed.Client.sync

    def interrupted(client, function, *arguments, **options):
        if getattr(function, "__func__", None) is DaskPool._close:
            raise KeyboardInterrupt
        return sync(client, function, *arguments, **options)

    before = {thread.ident for thread in threading.enumerate()}
    with DaskRunner(cluster.address) as runner:
        runner.run(Pipeline([node(os.getpid, None, "pid")]), Catalog())
        loops = [each for each in threading.enumerate() if each.ident not in before and each.name == "IO loop"]
        monkeypatch.setattr(distributed.Client, "sync", interrupted)
        with pytest.raises(KeyboardInterrupt):
            runner.close()
    assert loops
    for each in loops:
        each.join(DEADLINE)
        assert not each.is_alive()


@pytest.mark.usefixtures("restore_hangup")
@pytest.mark.parametrize(("owner", "name", "call"), [(Executor, "_accept", 300), (DaskPool, "_handle_fact", 300)])
def test_an_interrupt_loses_no_report(client, monkeypatch, tmp_path, owner, name, call):
    """Whatever of the reports the driver holds at that moment, the events tell all nodes that finished, each once."""

    def mark(index):
        (tmp_path / f"n{index}").touch()
        return index

    original, calls, seen = getattr(owner, name), [], []

    def interrupted(*arguments):
        calls.append(arguments)
        if len(calls) == call:
            raise KeyboardInterrupt
        return original(*arguments)

    nodes = [node(partial(mark, index), None, f"d{index}", name=f"n{index}") for index in range(3000)]
    monkeypatch.setattr(executor, "LAST_EVENTS_SECONDS", 1.0)  # the machine may be busy
    monkeypatch.setattr(owner, name, interrupted)
    with DaskRunner(client=client) as runner, pytest.raises(KeyboardInterrupt):
        runner.run(Pipeline(nodes), Catalog(), observers=[seen.append])
    ran = {path.name for path in tmp_path.iterdir()}
    finished = [event.node for event in seen if isinstance(event, NodeFinished)]
    started = [event.node for event in seen if isinstance(event, NodeStarted)]
    assert len(started) == len(set(started))
    running = set(started).difference(finished)
    assert len(finished) < len(nodes)
    assert sorted(finished) == sorted(ran - running)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_signal_of_the_terminal_is_the_drivers_to_deal_with(begin, number, restore_hangup):
    """All processes get it. The workers of a cluster on this machine say nothing about it, and are gone at the end."""
    launched, pid = begin(None)
    os.killpg(launched.process.pid, number)
    assert launched.wait() in (-number, 128 + number)
    wait_for(lambda: not psutil.pid_exists(pid))
    assert blackboards(pid) == []
    assert not re.search("Dask Worker process|Removing worker|Restarting worker", launched.output), launched.output
    assert launched.output.count("Traceback") == (number == signal.SIGINT), launched.output  # the driver's own


def test_a_killed_client_leaves_nothing(begin, cluster, client, tmp_path):
    """Its tasks and values are gone at once; a node that still runs gets an interrupt."""
    launched, pid = begin(cluster.address)
    launched.process.kill()
    launched.wait()
    wait_for(lambda: tasks(client) == ([], []))
    wait_for((tmp_path / "ended").exists)
    assert psutil.pid_exists(pid)
    with DaskRunner(client=client) as runner:  # the worker can be used
        assert dict(runner.run(Pipeline([node(lambda: 1, None, "a", name="a")]), Catalog())) == {"a": 1}


def test_a_timeout_frees_the_worker(client, tmp_path):
    """The node's process is ended, although compiled code blocks its event loop, and the nanny starts another one."""
    folder = str(tmp_path)

    def note():
        return Path(folder, "pid").write_text(str(os.getpid()))

    def hold(_noted):
        return sum(range(10**12))  # lets no other thread run

    noted = node(note, None, "noted", name="note")  # before the node with the limit, which it could reach on a slow disk
    held = node(hold, "noted", "a", name="hold", policy=NodePolicy(timeout=0.5))
    with DaskRunner(client=client, max_workers=1) as runner, pytest.raises(NodeTimeoutError, match="hold"):
        runner.run(Pipeline([noted, held]), Catalog())
    wait_for(lambda: not psutil.pid_exists(int((tmp_path / "pid").read_text())))
    client.wait_for_workers(2, timeout=DEADLINE)


def test_a_connection_that_is_lost(client):
    """The error says that the worker's process goes on; the node there is ended, and the next run uses the worker."""

    def cut_off():
        worker = distributed.get_worker()
        (hosted,) = worker._treadle_host.pools.values()
        worker.loop.add_callback(hosted._comm.abort)
        while True:  # an exception ends it
            time.sleep(0.01)

    with DaskRunner(client=client, max_workers=1) as runner:
        with pytest.raises(WorkerLostError, match="But the process answers, so only the connection to it was lost") as caught:
            runner.run(Pipeline([node(cut_off, None, "a", name="cut")]), Catalog())
        assert caught.value.exitcode is None
        assert dict(runner.run(Pipeline([node(int, None, "a", name="fine")]), Catalog())) == {"a": 0}


def test_a_node_that_segfaults(client):
    """It costs one worker, and nothing runs again; the error has the worker's address and the signal, which the nanny knows."""
    client.wait_for_workers(2, timeout=DEADLINE)
    events = []
    crash = lambda _a: signal.pthread_kill(threading.get_ident(), signal.SIGSEGV)  # in this thread, as a segfault of its code
    nodes = [node(int, None, "a", name="fine"), node(crash, "a", "b", name="crash")]
    with DaskRunner(client=client) as runner, pytest.raises(WorkerLostError, match="was killed by SIGSEGV") as caught:
        runner.run(Pipeline(nodes), Catalog(), observers=[events.append])
    assert caught.value.node == "crash"
    assert "@127.0.0.1:" in caught.value.worker
    assert caught.value.exitcode == -signal.SIGSEGV
    assert len([event for event in events if isinstance(event, WorkerLost)]) == 1
    assert [event.node for event in events if isinstance(event, NodeFinished)] == ["fine"]
    client.wait_for_workers(2, timeout=DEADLINE)


def test_saved_outputs_survive_the_worker(client, tmp_path):
    """A node whose output is in a file does not run again when its worker dies; one whose value was only there does."""
    client.wait_for_workers(2, timeout=DEADLINE)
    folder = str(tmp_path)

    def count(name):
        with Path(folder, name).open("a") as file:
            file.write("x")

    def save():
        count("saved")
        return "wool"

    def keep():
        count("kept")
        return np.ones(300_000)

    def crash_once(saved, kept):
        count("crashed")
        if Path(folder, "crashed").read_text() == "x":
            os.kill(os.getpid(), signal.SIGKILL)
        return len(saved) + int(kept.sum())

    catalog = Catalog.from_config({"saved": {"type": "text.TextDataset", "filepath": str(tmp_path / "saved.txt")}})
    nodes = [
        node(save, None, "saved", name="save"),
        node(keep, None, "kept", name="keep"),
        node(crash_once, ["saved", "kept"], "total", name="crash", policy=NodePolicy(retries=1)),
    ]
    with DaskRunner(client=client, max_workers=1) as runner:
        assert dict(runner.run(Pipeline(nodes), catalog)) == {"total": 300_004}
    assert [(tmp_path / name).read_text() for name in ("saved", "kept", "crashed")] == ["x", "xx", "xx"]
    client.wait_for_workers(2, timeout=DEADLINE)


def test_all_workers_of_a_local_cluster_are_killed(tmp_path):
    """They come back, also if dask has given them up in the meantime, and the nodes that they ran are tried again."""
    folder = str(tmp_path)

    def crash_once(name):
        path = Path(folder, name)
        if not path.exists():
            path.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return 1

    nodes = [node(lambda name=name: crash_once(name), None, name, name=name, policy=NodePolicy(retries=1)) for name in "ab"]
    with dask.config.set({"distributed.deploy.lost-worker-timeout": "1 ms"}), DaskRunner(max_workers=2) as runner:
        assert dict(runner.run(Pipeline(nodes), Catalog())) == {"a": 1, "b": 1}


def test_idle_workers_that_die_before_a_run_are_not_the_fault_of_its_node(client):
    """The first node of the next run was sent to two workers that were dead already, and has no further attempt."""
    with DaskRunner(client=client, max_workers=2) as runner:
        for _ in range(3):
            pids = set(runner.run(Pipeline([node(_pid, None, name, name=name) for name in "ab"]), Catalog()).values())
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
            assert dict(runner.run(Pipeline([node(lambda: 1, None, "one", name="one")]), Catalog())) == {"one": 1}


def _pid():
    return os.getpid()
