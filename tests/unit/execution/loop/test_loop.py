"""The loop with its executors: unusual runs under every runner."""

from __future__ import annotations

import logging
import os
import threading
from itertools import starmap
from pathlib import Path

import pytest

from treadle import (
    Catalog,
    DatasetError,
    MemoryDataset,
    NodeError,
    ParallelRunner,
    Pipeline,
    SequentialRunner,
    ThreadRunner,
    node,
)
from treadle.events import DatasetReleased, NodeFailed, NodeFinished, NodeSkipped, NodeStarted, RunFinished, WorkerLost

RUNNERS = {
    "sequential": SequentialRunner,
    "thread": lambda: ThreadRunner(2),
    "one process": lambda: ParallelRunner(1, "fork"),
    "two processes": lambda: ParallelRunner(2, "fork"),
}


@pytest.fixture(params=RUNNERS)
def runner(request):
    return RUNNERS[request.param]()


class Seen(list):
    """The events of a run, by kind and node."""

    def nodes(self, *kinds):
        return [event.node for event in self if isinstance(event, kinds)]


def run(runner, nodes, **data):
    seen = Seen()
    try:
        return dict(runner.run(Pipeline(nodes), Catalog(data), observers=[seen.append])), seen
    except NodeError as error:
        return error, seen


def test_a_parameter_of_two_nodes_in_a_row(runner):
    """A value that both a node and its only child consume reaches both."""
    result, seen = run(
        runner, [node(lambda p: p + 1, "p", "a", name="x"), node(lambda a, p: a + p, ["a", "p"], "b", name="y")], p=3
    )
    assert result == {"b": 7}
    assert seen.nodes(NodeStarted) == seen.nodes(NodeFinished) == ["x", "y"]
    assert sorted(event.dataset for event in seen if isinstance(event, DatasetReleased)) == ["a", "p"]


def test_releases_that_no_observer_needs_are_not_reported(runner):
    """An observer that ignores them receives the same events otherwise; if another one needs them, both receive them."""

    class Ignoring(list):
        ignored_events = (DatasetReleased,)

        def __call__(self, event):
            self.append(event)

    nodes = [node(lambda p: p + 1, "p", "a", name="x"), node(lambda a: a, "a", "b", name="y")]
    for others, releases in (((), 0), ((Seen().append,), 2)):
        seen = Ignoring()
        runner.run(Pipeline(nodes), Catalog({"p": 1}), observers=[seen, *others])
        kinds = [type(event) for event in seen]
        assert kinds.count(NodeFinished) == 2
        assert kinds.count(DatasetReleased) == releases


@pytest.mark.parametrize("consumers", [1, 3])
def test_a_lock_in_the_catalog(runner, consumers):
    """A value that cannot leave this process can be consumed by any number of nodes; they run here."""
    lock = threading.Lock()
    nodes = [node(lambda lock: lock.locked(), "lock", f"out{number}", name=f"n{number}") for number in range(consumers)]
    result, _seen = run(runner, nodes, lock=MemoryDataset(lock, copy_mode="assign"))
    assert result == {f"out{number}": False for number in range(consumers)}


def test_an_empty_memory_dataset_fails_its_consumer(runner):
    """Nodes before the one whose input cannot be loaded run first, and that node is the one that fails."""
    error, seen = run(
        runner,
        [
            node(lambda: 1, None, "a", name="x"),
            node(lambda a, e: a, ["a", "e"], "b", name="y"),
            node(lambda b: b, "b", "c", name="z"),
        ],
        e=MemoryDataset(),
    )
    assert isinstance(error.__cause__, DatasetError)
    assert (error.node, error.failure.phase, error.failure.dataset) == ("y", "load", "e")
    assert seen.nodes(NodeFinished) == ["x"]
    assert seen.nodes(NodeFailed) == ["y"]
    assert seen.nodes(NodeSkipped) == ["z"]


def test_values_that_cannot_meet(tmp_path):
    """Two values that are pinned to different workers fail the first node that needs both, and the run stops there."""
    barrier = [str(tmp_path / name) for name in "ab"]
    for path in barrier:
        os.mkfifo(path)

    def left():
        with Path(barrier[0]).open("w"), Path(barrier[1]).open():  # each waits for the other: they run in two workers
            return threading.Lock()

    def right():
        with Path(barrier[0]).open(), Path(barrier[1]).open("w"):
            return threading.Lock()

    error, seen = run(
        ParallelRunner(2, "fork"),
        [
            node(left, None, "a", name="x"),
            node(right, None, "b", name="y"),
            node(lambda a, b: 1, ["a", "b"], "c", name="first"),
            node(lambda a, b: 1, ["a", "b"], "d", name="second"),
        ],
    )
    assert error.node == "first"
    assert "Node 'first' could not load 'a'" in str(error)
    assert "'a', 'b'" in str(error)
    assert seen.nodes(NodeFailed) == ["first"]
    assert seen.nodes(NodeSkipped) == ["second"]
    assert error.resume_from == ("x", "y")


def test_a_failure_skips_the_nodes_that_were_not_assigned(runner):
    """After a failure no other node starts, and every node is reported once."""

    def fail():
        raise ValueError("no")

    nodes = [node(fail, None, "a", name="fails")]
    nodes += starmap(
        lambda name, inputs: node(lambda *_: 1, inputs, f"{name}_out", name=name), [("after", "a"), ("then", "after_out")]
    )
    error, seen = run(runner, nodes)
    assert isinstance(error.__cause__, ValueError)
    assert (seen.nodes(NodeFailed), seen.nodes(NodeSkipped), seen.nodes(NodeFinished)) == (["fails"], ["after", "then"], [])


@pytest.mark.parametrize("workers", [1, 2])
def test_a_worker_that_dies_between_two_nodes(tmp_path, monkeypatch, workers):
    """The values between the nodes of a job are made again in the worker that replaces it, and the run succeeds."""
    from treadle.execution.worker import run as worker_run

    flag = tmp_path / "first time"
    flag.touch()
    attempt = worker_run.WorkerRun.attempt

    def dies_once(self, index, rest):
        if index == 1 and flag.exists():
            flag.unlink()
            self._worker.channel.flush()
            os._exit(3)
        return attempt(self, index, rest)

    monkeypatch.setattr(worker_run.WorkerRun, "attempt", dies_once)  # forked children inherit it
    result, seen = run(
        ParallelRunner(workers, "fork"), [node(lambda: [1], None, "a", name="x"), node(lambda a: [*a, 2], "a", "b", name="y")]
    )
    assert result == {"b": [1, 2]}
    assert [(event.node, event.exitcode) for event in seen if isinstance(event, WorkerLost)] == [(None, 3)]
    assert seen.nodes(NodeFinished) == ["x", "x", "y"]
    assert [event.attempt for event in seen if isinstance(event, NodeFinished)] == [1, 2, 1]


@pytest.mark.parametrize("name", ["thread", "two processes"])
def test_an_interrupt_reports_nodes_that_have_just_started(name, tmp_path):
    """A running node is reported before the run's end, even if its own report was still in flight at the Ctrl-C."""
    started, gate = str(tmp_path / "started"), str(tmp_path / "gate")
    os.mkfifo(started)
    os.mkfifo(gate)
    listening = os.open(started, os.O_RDWR)
    closed = os.open(gate, os.O_RDWR)  # opening it to read does not block, and reading blocks until this is closed

    def wait():
        with Path(gate).open() as opened:
            with Path(started).open("w") as report:
                report.write("x")
            opened.read()

    seen = Seen()

    def watch(event):
        seen.append(event)
        if isinstance(event, NodeStarted) and len(seen.nodes(NodeStarted)) == 1:
            assert os.read(listening, 1) + os.read(listening, 1) == b"xx"
            raise KeyboardInterrupt

    meeting, parting = str(tmp_path / "meeting"), str(tmp_path / "parting")
    os.mkfifo(meeting)
    os.mkfifo(parting)

    def come_first():
        Path(meeting).open("w").close()
        Path(parting).open().close()

    def come_second():
        Path(meeting).open().close()
        Path(parting).open("w").close()

    with RUNNERS[name]() as runner:
        # The two nodes wait for each other, so both workers are ready afterwards.
        runner.run(Pipeline([node(come_first, None, None, name="c"), node(come_second, None, None, name="d")]), Catalog())
        with pytest.raises(KeyboardInterrupt):
            runner.run(Pipeline([node(wait, None, "a"), node(wait, None, "b")]), Catalog(), observers=[watch])
        os.close(closed)  # a thread runs until its node returns
    os.close(listening)
    assert len(seen.nodes(NodeStarted)) == 2
    assert isinstance(seen[-1], RunFinished)


@pytest.mark.parametrize(
    ("name", "during"),
    [
        ("thread", "an observer"),
        *((name, during) for name in ("one process", "two processes") for during in ("an observer", "a log handler")),
    ],
)
def test_an_interrupt_loses_no_finished_node(name, during, tmp_path):
    """Nodes that had finished at the Ctrl-C are reported as such, wherever in the parent it came and their reports were."""
    reached, gate = str(tmp_path / "reached"), str(tmp_path / "gate")
    os.mkfifo(reached)
    os.mkfifo(gate)
    listening, closed = os.open(reached, os.O_RDWR), os.open(gate, os.O_RDWR)

    def hang(_value):
        with Path(gate).open() as opened:
            Path(reached).write_text("x", encoding="utf-8")
            opened.read()

    def count(number=0):
        logging.getLogger("counting").warning("counted")
        return number + 1

    interrupts, seen, parent = [], Seen(), os.getpid()

    def interrupt_once():
        if not interrupts:
            interrupts.append(os.read(listening, 1))  # the last node is running
            raise KeyboardInterrupt

    def watch(event):
        seen.append(event)
        if during == "an observer" and isinstance(event, NodeStarted):
            interrupt_once()

    class Interrupting(logging.Handler):
        def emit(self, _record):
            if os.getpid() == parent:
                interrupt_once()

    chain = [node(count, f"x{n - 1}" if n else None, f"x{n}", name=f"n{n}") for n in range(3)]
    logger, handler = logging.getLogger("counting"), Interrupting()
    if during == "a log handler":
        logger.addHandler(handler)
    try:
        with pytest.raises(KeyboardInterrupt), RUNNERS[name]() as runner:
            runner.run(Pipeline([*chain, node(hang, "x2", "end", name="hang")]), Catalog(), observers=[watch])
    finally:
        logger.removeHandler(handler)
        os.close(closed)  # a thread runs until its node returns
        os.close(listening)
    assert seen.nodes(NodeFinished) == ["n0", "n1", "n2"]
    assert seen.nodes(NodeStarted) == ["n0", "n1", "n2", "hang"]
