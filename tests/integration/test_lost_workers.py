"""Workers that die: the verdict names node and signal, what the others finish is kept, and the runner goes on."""

from __future__ import annotations

import json
import logging
import os
import resource
import signal

import numpy as np
import pytest

from treadle import Catalog, ParallelRunner, Pipeline, node
from treadle.errors import NodeError, WorkerLostError
from treadle.events import NodeFailed, NodeFinished, NodeSkipped, WorkerLost, WorkerStarted
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
    """`lose(function, hooks)`: lose a worker while another node runs; returns the error, the events, and what was kept."""

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


def test_runner_goes_on(lose, parallel_runner, accidents):
    """After a loss the runner has its full number of workers again, a new one among them."""
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
    """A warm worker that is killed while it is idle is replaced; the next run does not fail for it."""
    pipeline = Pipeline([node(accidents.count_up, "number", "n")])
    events = []
    parallel_runner.run(pipeline, Catalog({"number": 1}), observers=(events.append,))
    pids = [event.pid for event in events if isinstance(event, WorkerStarted) and event.worker != "main"]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    assert parallel_runner.run(pipeline, Catalog({"number": 2}))["n"] == 3


class Unable(logging.Handler):
    """Cannot log, as one that would have to open a file."""

    def emit(self, record):
        raise OSError("too many open files")


@pytest.mark.parametrize("handler", [logging.NullHandler, Unable])
def test_a_worker_that_may_open_no_more_files_is_lost(tmp_path, handler):
    """Whoever asks such a worker for a value would wait for the answer for ever."""
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
