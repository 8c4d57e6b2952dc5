"""Nodes in the main process: the worker processes do not wait for them."""

from __future__ import annotations

import gc
import os
import signal
from pathlib import Path

import pytest

from treadle import Catalog, NodePolicy, ParallelRunner, Pipeline, node
from treadle.events import NodeStarted, WorkerLost, WorkerStarted

METHODS = ["fork", "spawn", "forkserver", "loky"]


def wait_for_the_last(folder):
    """Start before any other node has ended, and end after all of them: opening a named pipe waits for the other end."""
    with Path(folder, "begun").open("w"):
        pass
    with Path(folder, "last").open() as last:
        return [os.getpid(), last.read()]


def wait_for_main(folder):
    """End only when the node in the main process has started; the first attempt dies instead."""
    with Path(folder, "begun").open():
        pass
    return 1


def die_once(folder, first):
    """Kill the process in the first attempt."""
    try:
        os.close(os.open(f"{folder}/died", os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return first + 1
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


def end_all(folder, one, other):
    """Let the node in the main process end."""
    with Path(folder, "last").open("w") as last:
        last.write(f"{one + other}")
    return os.getpid()


@pytest.mark.parametrize("method", METHODS)
def test_others_go_on_while_a_node_runs_in_the_main_process(tmp_path, method):
    """Other nodes are assigned, retried and finished meanwhile; a lost worker is replaced afterwards."""
    os.mkfifo(tmp_path / "begun")
    os.mkfifo(tmp_path / "last")
    nodes = [
        node(wait_for_the_last, "folder", "main", name="main", policy=NodePolicy(run_in="main")),
        node(wait_for_main, "folder", "first", name="first"),
        node(die_once, ["folder", "first"], "second", name="second", policy=NodePolicy(retries=1)),
        node(lambda first: first + 10, "first", "third", name="third"),
        node(end_all, ["folder", "second", "third"], "worker", name="last"),
        node(lambda main, worker: (main, worker), ["main", "worker"], "both", name="both"),
    ]
    events = []
    with ParallelRunner(2, method) as runner:
        result = runner.run(Pipeline(nodes), Catalog({"folder": str(tmp_path)}), observers=[events.append])
        (pid, told), worker = result["both"]
        assert told == "13"
        assert pid == os.getpid() != worker
        started = [event.node for event in events if isinstance(event, NodeStarted)]
        assert started.count("second") == 2
        assert [event.exitcode for event in events if isinstance(event, WorkerLost)] == [-9]
        again = runner.run(Pipeline([node(os.getpid, None, "pid", name="who")]), Catalog())
        assert again["pid"] != os.getpid()
    assert sum(isinstance(event, WorkerStarted) for event in events) >= 3


def test_what_goes_wrong_meanwhile_ends_the_run(tmp_path):
    """If a node fails while another runs in the main process, the run stops when that one has ended."""
    os.mkfifo(tmp_path / "begun")
    os.mkfifo(tmp_path / "last")

    def fail_after_main_began(folder):
        wait_for_main(folder)
        msg = "no"
        raise ValueError(msg)

    def release(event):
        if type(event).__name__ == "NodeFailed":
            with (tmp_path / "last").open("w") as last:
                last.write("failed")

    nodes = [
        node(wait_for_the_last, "folder", "main", name="main", policy=NodePolicy(run_in="main")),
        node(fail_after_main_began, "folder", "first", name="first"),
        node(lambda main: main, "main", "never", name="never"),
    ]
    events = []
    with pytest.raises(Exception, match="Node 'first' failed") as caught:
        ParallelRunner(2, "spawn").run(Pipeline(nodes), Catalog({"folder": str(tmp_path)}), observers=[events.append, release])
    assert caught.value.node == "first"
    assert [event.node for event in events if type(event).__name__ == "NodeFinished"] == ["main"]
    assert [event.node for event in events if type(event).__name__ == "NodeSkipped"] == ["never"]


def test_what_an_interrupted_node_had_handed_over_is_given_back():
    """A memory file that was not reported is closed."""

    def memory_files():
        gc.collect()
        links = [link for link in Path("/proc/self/fd").iterdir() if link.exists()]
        return sorted(str(link.readlink()) for link in links if "memfd" in str(link.readlink()))

    def chunks(_number):
        yield bytes(1 << 20)
        raise KeyboardInterrupt

    before = memory_files()
    with pytest.raises(KeyboardInterrupt):
        ParallelRunner(1, "fork").run(
            Pipeline([node(chunks, "number", "chunks", policy=NodePolicy(run_in="main"))]), Catalog({"number": 1})
        )
    assert memory_files() == before


def test_an_interrupt_of_the_node_in_the_main_process(tmp_path):
    """Ctrl-C in such a node ends the run like any other Ctrl-C, and no worker is left."""
    import psutil

    os.mkfifo(tmp_path / "begun")
    pids = []

    def interrupted(folder):
        Path(folder, "begun").read_text()
        signal.raise_signal(signal.SIGINT)

    def stand(folder):
        with Path(folder, "begun").open("w") as begun:
            begun.write(str(os.getpid()))
        signal.pause()

    def note(event):
        if isinstance(event, WorkerStarted) and event.pid != os.getpid():
            pids.append(event.pid)

    nodes = [
        node(interrupted, "folder", "main", name="main", policy=NodePolicy(run_in="main")),
        node(stand, "folder", "other", name="other"),
    ]
    with pytest.raises(KeyboardInterrupt):
        ParallelRunner(2, "spawn").run(Pipeline(nodes), Catalog({"folder": str(tmp_path)}), observers=[note])
    assert pids
    assert not [pid for pid in pids if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE]
