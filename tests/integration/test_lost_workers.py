"""Lost workers: the error names node and signal, outputs of other nodes are kept, and the runner stays usable."""

from __future__ import annotations

import gc
import json
import logging
import os
import resource
import signal
import tempfile
from pathlib import Path

import numpy as np
import pytest

from treadle import Catalog, MemoryDataset, NodePolicy, ParallelRunner, Pipeline, node
from treadle.errors import NodeError, RunnerError, WorkerLostError, WorkerSetupError
from treadle.events import NodeFailed, NodeFinished, NodeSkipped, WorkerLost, WorkerStarted
from treadle.execution.packing import worker_spec as worker_specs
from treadle.hooks import create_hook_manager, register_hooks
from treadle.io.datasets.json import JSONDataset

ENDS = {
    "die_of_sigkill": (signal.SIGKILL, "was killed by SIGKILL"),
    "die_of_sigsegv": (signal.SIGSEGV, "was killed by SIGSEGV"),
    "die_of_sigterm": (signal.SIGTERM, "was killed by SIGTERM"),
    "exit_at_once": (None, "exited with code 3"),
}


@pytest.fixture
def lose(parallel_runner, accidents, tmp_path):
    """`lose(function, hooks)`: lose a worker while another node runs; returns the error, the events and the saved outputs."""

    def run(function, hooks=None):
        pipe, kept, events = tmp_path / "pipe", tmp_path / "kept.json", []
        os.mkfifo(pipe)
        nodes = [
            node(getattr(accidents, function), "pipe", "never", name="victim"),
            node(accidents.outlive, "pipe", "kept", name="survivor"),
            node(accidents.sizes, ["never", "kept"], "after", name="after"),
        ]
        catalog = Catalog({"pipe": str(pipe), "kept": JSONDataset(kept)})
        with pytest.raises(WorkerLostError) as caught:
            parallel_runner.run(Pipeline(nodes), catalog, observers=(events.append,), hooks=hooks)
        return caught.value, events, json.loads(kept.read_text())

    return run


@pytest.mark.parametrize("function", ENDS)
def test_verdict(lose, function):
    """The error names the node, the signal or exit code, and how to resume; the other worker's output is kept (failure 9)."""
    number, words = ENDS[function]
    error, events, kept = lose(function)
    assert isinstance(error, NodeError)
    assert "Node 'victim' lost its worker" in str(error)
    assert words in str(error)
    assert "while it ran node 'victim'" in str(error)
    assert (error.node, error.attempt, error.signal) == ("victim", 1, number)
    assert error.exitcode == (-number if number else 3)
    assert set(error.resume_from) == {"victim"}
    assert kept is True
    assert [event.node for event in events if isinstance(event, NodeFinished)] == ["survivor"]
    assert [event.node for event in events if isinstance(event, NodeFailed)] == ["victim"]
    assert [event.node for event in events if isinstance(event, NodeSkipped)] == ["after"]
    (lost,) = [event for event in events if isinstance(event, WorkerLost)]
    assert (lost.worker, lost.exitcode, lost.node) == (error.worker, error.exitcode, "victim")


def test_the_error_gives_the_sizes_of_the_inputs(parallel_runner):
    """The size of a large input is in the error, also if its value is lost with the worker."""
    nodes = [
        node(np.ones, "number", "big", name="make"),
        node(lambda _big: os.kill(os.getpid(), signal.SIGKILL), "big", "never", name="victim"),
        node(lambda _big, _never: None, ["big", "never"], None, name="after"),
    ]
    with pytest.raises(WorkerLostError, match=r"The node's inputs in memory: big 16\.0 MB\."):
        parallel_runner.run(Pipeline(nodes), Catalog({"number": 2_000_000}))


def test_runner_goes_on(lose, parallel_runner, accidents):
    """After a loss the runner has its full number of workers again, one of them new."""
    _error, events, _kept = lose("die_of_sigkill")
    before = {event.pid for event in events if isinstance(event, WorkerStarted)}
    (lost,) = [event.pid for event in events if isinstance(event, WorkerLost)]
    events = []
    pipeline = Pipeline([node(accidents.count_up, "number", f"n{index}", name=f"n{index}") for index in range(8)])
    result = parallel_runner.run(pipeline, Catalog({"number": 1}), observers=(events.append,))
    assert [result[f"n{index}"] for index in range(8)] == [2] * 8
    after = {event.pid for event in events if isinstance(event, WorkerStarted)}
    assert lost not in after
    assert before - {lost} <= after


def test_error_hook_is_called_in_the_parent(lose, caplog):
    """A dead worker cannot call `on_node_error`: the parent does, once, with the error that names the loss."""
    from loom.accidents import Witness

    hooks = create_hook_manager()
    register_hooks(hooks, [Witness()])
    with caplog.at_level("INFO", logger="loom"):
        lose("die_of_sigkill", hooks)
    told = [record for record in caplog.records if record.name == "loom.accidents"]
    assert [record.getMessage() for record in told] == ["victim: WorkerLostError"]
    assert told[0].process == os.getpid()


def test_lost_between_runs(parallel_runner, accidents):
    """A warm worker that is killed while it is idle is replaced, and the next run succeeds."""
    pipeline = Pipeline([node(accidents.count_up, "number", "n")])
    events = []
    parallel_runner.run(pipeline, Catalog({"number": 1}), observers=(events.append,))
    pids = [event.pid for event in events if isinstance(event, WorkerStarted) and event.worker != "main"]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    assert parallel_runner.run(pipeline, Catalog({"number": 2}))["n"] == 3


class Unable(logging.Handler):
    """Cannot log, like a handler that would have to open a file."""

    def emit(self, record):
        raise OSError("too many open files")


@pytest.mark.parametrize("handler", [logging.NullHandler, Unable])
def test_a_worker_that_may_open_no_more_files_is_lost(tmp_path, handler):
    """Otherwise a process that needs a value from such a worker would wait forever."""
    for name in ("meet", "busy"):
        os.mkfifo(tmp_path / name)

    def one():
        with (tmp_path / "meet").open("w"):  # both are made at the same time, so by two workers
            return np.zeros(1 << 18), "met"

    def two():
        with (tmp_path / "meet").open():
            return np.zeros(1 << 18)

    def hold(_met):  # in one of the two, whose array the last node has to ask for
        logging.getLogger().handlers = [handler()]
        with (tmp_path / "busy").open("w"):
            resource.setrlimit(resource.RLIMIT_NOFILE, (3, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        signal.pause()

    def wait(_met):
        return (tmp_path / "busy").read_text()

    nodes = [
        node(one, None, ["first", "met"], name="one"),
        node(two, None, "second", name="two"),
        node(hold, "met", None, name="hold"),
        node(wait, "met", "waited", name="wait"),
        node(lambda first, second, _waited: len(first) + len(second), ["first", "second", "waited"], "both", name="both"),
        node(len, "waited", "length", name="length"),  # were `both` alone to follow, it would be asked for in time
    ]
    with pytest.raises(WorkerLostError) as caught:
        ParallelRunner(2, "fork").run(Pipeline(nodes), Catalog())
    assert (caught.value.node, caught.value.exitcode) == ("hold", 1)


def test_no_more_files(start_method, accidents):
    """If the parent may open no more files, the error says so and what to do, and the next run works."""
    pipeline, limits = Pipeline([node(accidents.count_up, "number", "n")]), resource.getrlimit(resource.RLIMIT_NOFILE)
    with ParallelRunner(1, start_method) as other:
        other.run(pipeline, Catalog({"number": 1}))  # all is imported
        with ParallelRunner(1, start_method) as runner:
            resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
            try:
                with pytest.raises(RunnerError, match=r"its limit is 3.*ulimit -n") as caught:
                    runner.run(pipeline, Catalog({"number": 1}))
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            assert caught.value.name == "max_workers"
            assert runner.run(pipeline, Catalog({"number": 1}))["n"] == 2


def _open_files():
    """Return the numbers of this process's open files, without the one used to list them."""
    return {int(link.name) for link in Path("/proc/self/fd").iterdir() if link.exists()}


@pytest.mark.parametrize("left", [3, 5, 7])
def test_no_more_files_for_the_pool_itself(tmp_path, monkeypatch, left):
    """If a file cannot be opened, the files that are already open are closed, and the directory is removed."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    runner = ParallelRunner(1, "fork")
    pipeline, limits = Pipeline([node(len, "text", "length")]), resource.getrlimit(resource.RLIMIT_NOFILE)
    runner.run(pipeline, Catalog({"text": "abc"}))  # all is imported
    gc.collect()  # what nobody has any more is closed first
    before = _open_files()
    free = [number for number in range(len(before) + left + 1) if number not in before]
    resource.setrlimit(resource.RLIMIT_NOFILE, (free[left], limits[1]))
    try:
        with pytest.raises(RunnerError, match="more open files"):
            runner.run(pipeline, Catalog({"text": "abc"}))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    gc.collect()
    assert _open_files() == before
    assert list(tmp_path.glob("treadle-*")) == []


def test_what_is_here_stays_when_its_node_runs_again_for_another_output(tmp_path, start_method):
    """A node runs again for a lost output; its other output stays the one that consumers received before."""

    def make():
        with (tmp_path / "calls").open("a") as calls:
            calls.write("x")
        return np.zeros(1 << 18), len((tmp_path / "calls").read_text())

    def die_once(count):
        if not (tmp_path / "dead").exists():
            (tmp_path / "dead").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return count

    nodes = [
        node(make, None, ["large", "small"], name="make"),
        node(die_once, "small", "seen", name="die_once", policy=NodePolicy(retries=1)),
        node(lambda large, small, seen: (len(large), small, seen), ["large", "small", "seen"], "all", name="take"),
    ]
    with ParallelRunner(1, start_method) as runner:
        assert runner.run(Pipeline(nodes), Catalog())["all"] == (1 << 18, 1, 1)
    assert (tmp_path / "calls").read_text() == "xx"


def test_what_a_lost_worker_had_finished_is_not_done_again(tmp_path, start_method):
    """Tiny nodes that ended before the worker was killed, and were not reported yet, count as finished."""

    def write(name):
        with (tmp_path / name).open("a") as file:
            file.write("x")

    def die_once():
        if not (tmp_path / "dead").exists():
            (tmp_path / "dead").touch()
            os.kill(os.getpid(), signal.SIGKILL)

    names = [f"n{index}" for index in range(12)]
    nodes = [
        *(node(write, f"name_{name}", None, name=name) for name in names),
        node(die_once, None, None, name="z", policy=NodePolicy(retries=1)),
    ]
    events = []
    with ParallelRunner(1, start_method) as runner:
        runner.run(Pipeline(nodes), Catalog({f"name_{name}": name for name in names}), observers=(events.append,))
    assert [(tmp_path / name).read_text() for name in names] == ["x"] * 12
    assert sorted(event.node for event in events if isinstance(event, NodeFinished)) == sorted([*names, "z"])


def _make_and_die(folder, times):
    """Make a value in a worker that is killed after the node and before the report, a number of times."""
    from treadle.execution.processes.blackboard import Blackboard

    with (folder / "calls").open("a") as calls:
        calls.write("x")
    finish = Blackboard.finish

    def finish_and_die(self, *facts):
        finish(self, *facts)
        if len((folder / "calls").read_text()) <= times:
            os.kill(os.getpid(), signal.SIGKILL)

    Blackboard.finish = finish_and_die
    return 1


def test_a_result_that_was_lost_with_its_worker_is_made_again(tmp_path, start_method):
    """The run does not end until its results are available, even if every node is done."""
    pipeline = Pipeline([node(lambda folder: _make_and_die(folder, times=1), "folder", "result", name="make")])
    with ParallelRunner(1, start_method) as runner:
        assert runner.run(pipeline, Catalog({"folder": tmp_path}))["result"] == 1
    assert (tmp_path / "calls").read_text() == "xx"


@pytest.mark.parametrize("more", [False, True])
def test_a_node_whose_worker_dies_after_it_each_time_is_at_fault(tmp_path, start_method, more):
    """Its value is lost each time, so the run would never end; the next node of its job is not at fault."""
    nodes = [node(lambda folder: _make_and_die(folder, times=100), "folder", "made", name="make")]
    if more:
        nodes.append(node(lambda made: made, "made", "taken", name="take"))
    with ParallelRunner(1, start_method) as runner, pytest.raises(WorkerLostError) as caught:
        runner.run(Pipeline(nodes), Catalog({"folder": tmp_path}))
    assert caught.value.node == "make"


@pytest.fixture
def mortal(monkeypatch, tmp_path):
    """`mortal(first, last)`: from the first to the last, each worker process is killed during its set-up."""
    monkeypatch.syspath_prepend(Path(__file__).parent)
    make = worker_specs.make_worker_spec

    def apply(first, last):
        from custom_datasets import Mortal

        project = Mortal(tmp_path / "tally", first, last)

        def changed(*facts):
            spec = make(*facts)
            return spec._replace(project=spec.project._replace(setup=project), inherits=False)

        monkeypatch.setattr(worker_specs, "make_worker_spec", changed)

    return apply


def test_a_worker_that_dies_during_its_set_up_is_replaced(start_method, mortal, accidents, caplog):
    """It counts as a lost worker, and no node loses an attempt; the next run of the runner works."""
    mortal(1, 2)
    events = []
    pipeline = Pipeline([node(accidents.count_up, "number", f"n{index}", name=f"n{index}") for index in range(4)])
    with ParallelRunner(2, start_method) as runner:
        for _ in range(2):
            result = runner.run(pipeline, Catalog({"number": 1}), observers=(events.append,))
            assert [result[f"n{index}"] for index in range(4)] == [2] * 4
    lost = [event for event in events if isinstance(event, WorkerLost)]
    assert [(event.exitcode, event.node) for event in lost] == [(-signal.SIGKILL, None)] * 2
    assert all(event.pid for event in lost)
    assert sorted(event.node for event in events if isinstance(event, NodeFinished)) == sorted(["n0", "n1", "n2", "n3"] * 2)
    assert caplog.text.count("was killed by SIGKILL before it was set up") == 2


def test_workers_that_die_during_their_set_up_each_time(start_method, mortal):
    """After a few of them the run ends with an error; its last event has the nodes to resume from."""
    mortal(2, 100)

    def die():
        os.kill(os.getpid(), signal.SIGKILL)

    nodes = [
        node(lambda: 1, None, "one", name="before", policy=NodePolicy(on_failure="continue")),
        node(lambda one: die(), "one", "two", name="dies", policy=NodePolicy(retries=5)),
    ]
    events = []
    with ParallelRunner(1, start_method) as runner, pytest.raises(WorkerSetupError, match=r"SIGKILL.*The 2 processes before"):
        runner.run(Pipeline(nodes), Catalog({"one": MemoryDataset()}), observers=(events.append,))
    assert [event.node for event in events if isinstance(event, WorkerLost)] == ["dies", None, None, None]
    assert events[-1].resume_from == ("before",)


def test_no_other_process_can_connect(start_method):
    """A pool has no socket that a stranger could find, and the worker that replaces a lost one is connected all the same."""
    pipeline = Pipeline([node(os.getpid, None, "pid", name="n")])
    with ParallelRunner(1, start_method) as runner:
        first = runner.run(pipeline, Catalog())["pid"]
        folder = Path(runner._executor.pool.spec.scratch)
        assert not any(path.is_socket() for path in folder.iterdir())
        os.kill(first, signal.SIGKILL)
        assert runner.run(pipeline, Catalog())["pid"] != first


def kill_the_forkserver():
    """Kill the process that started this worker."""
    os.kill(os.getppid(), signal.SIGKILL)
    signal.pause()


def test_a_forkserver_that_is_killed_while_a_node_runs():
    """It alone knows how a worker ended: the error says so, and blames no code of the node. The next run has another one."""
    with ParallelRunner(1, start_method="forkserver") as runner:
        pipeline = Pipeline([node(kill_the_forkserver, None, "nothing", name="victim")])
        with pytest.raises(WorkerLostError, match=r"exit code is unknown.*The forkserver, .* was killed") as caught:
            runner.run(pipeline, Catalog())
        assert (caught.value.node, caught.value.exitcode) == ("victim", None)
        assert "os._exit" not in str(caught.value)
        assert runner.run(Pipeline([node(len, "text", "length")]), Catalog({"text": "abc"}))["length"] == 3
