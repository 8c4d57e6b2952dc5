"""Runners: the executor after a run that did not end normally."""

from __future__ import annotations

import fnmatch
import gc
import os
import signal
import statistics
import sys
import tempfile
import threading
import weakref
from functools import partial
from pathlib import Path

import pytest

from treadle import Catalog, NodePolicy, ParallelRunner, Pipeline, SequentialRunner, ThreadRunner, node
from treadle.errors import NodeError, RunnerError
from treadle.events import NodeFailed, NodeFinished, Outcome
from treadle.execution.executors.executor import Executor
from treadle.execution.packing import worker_spec as spec
from treadle.io import Dataset


def test_an_interrupt_while_the_pool_is_made_closes_it(monkeypatch, tmp_path):
    """Ctrl-C while the pool is made closes it and removes its directory."""
    make = spec.make_worker_spec

    def interrupted(*args):
        os.kill(os.getpid(), signal.SIGINT)
        return make(*args)

    monkeypatch.setattr(spec, "make_worker_spec", interrupted)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(KeyboardInterrupt):
        ParallelRunner(max_workers=1, start_method="loky").run(Pipeline([node(len, "x", "y")]), Catalog({"x": "a"}))
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_in_an_observer_ends_the_run_and_leaves_nothing_running(tmp_path):
    """After an interrupt, workers that are running a node are killed; the next run has new workers."""
    gate = str(tmp_path / "gate")
    os.mkfifo(gate)

    def wait(_x):
        with Path(gate).open() as pipe:  # nobody ever opens its other end
            return pipe.read()

    def fail(event):
        if isinstance(event, NodeFinished):
            raise KeyboardInterrupt

    nodes = [node(len, "x", "y", name="first"), node(wait, "y", "z", name="never")]
    with ParallelRunner(max_workers=1, start_method="loky") as runner:
        with pytest.raises(KeyboardInterrupt):
            runner.run(Pipeline(nodes), Catalog({"x": "a"}), observers=[fail])
        assert runner.run(Pipeline(nodes[:1]), Catalog({"x": "abc"}))["y"] == 3


@pytest.mark.parametrize("make", [SequentialRunner, ThreadRunner])
def test_a_failed_run_keeps_no_object_of_its_node(make):
    """The runner stays open, and drops the exception, whose traceback refers to the node's local variables."""
    kept = []

    def fail():
        frame = Catalog()
        kept.append(weakref.ref(frame))
        raise ValueError

    with make() as runner:
        with pytest.raises(NodeError):
            runner.run(Pipeline([node(fail, None, "a")]), Catalog())
        gc.collect()
        assert kept[0]() is None


@pytest.mark.parametrize("make", [SequentialRunner, lambda: ThreadRunner(2), lambda: ParallelRunner(2)])
def test_an_interrupt_before_the_run_begins_is_raised(monkeypatch, make):
    """Ctrl-C before the executor has begun the run ends it like any later one, and the runner still works."""

    def interrupted(*_arguments):
        raise KeyboardInterrupt

    pipeline, catalog = Pipeline([node(len, "x", "y")]), Catalog({"x": "a"})
    with make() as runner:
        with monkeypatch.context() as patches:
            patches.setattr(Executor, "begin", interrupted)
            with pytest.raises(KeyboardInterrupt):
                runner.run(pipeline, catalog)
        assert runner.run(pipeline, catalog)["y"] == 1


@pytest.mark.parametrize("returned", ["text", ["a list"]])
def test_inputs_are_freed_before_the_output_is_saved(returned):
    """Memory use peaks while outputs are saved, also if the function got its inputs by name and returns a long text."""
    kept = []

    def make():
        made = Catalog()
        kept.append(weakref.ref(made))
        return made

    class Saved(Dataset):
        def load(self):
            return returned

        def save(self, data):
            assert data == returned
            gc.collect()
            freed.append(kept[0]() is None)

    def use(*, frame):
        assert kept[0]() is frame
        return returned

    freed = []
    SequentialRunner().run(
        Pipeline([node(make, None, "frame"), node(use, {"frame": "frame"}, "saved")]), Catalog({"saved": Saved()})
    )
    assert freed == [True]


def test_pipelines_of_several_modules_keep_the_workers():
    """Alternating pipelines, one of them empty, run on the same workers once each has run."""
    one = Pipeline([node(os.getpid, None, "pid"), node(statistics.mean, "x", "mean")])
    two = Pipeline([node(os.getpid, None, "pid"), node(fnmatch.translate, "y", "regex")])
    catalog = Catalog({"x": [1, 2], "y": "*"})
    with ParallelRunner(max_workers=1, start_method="fork") as runner:
        runner.run(one, catalog)
        pids = {runner.run(pipeline, catalog).get("pid") for pipeline in (two, one, Pipeline([]), two)}
    assert len(pids - {None}) == 1


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_workers_are_kept_after_a_preparation_that_failed(method):
    """What was started early for it is stopped; the runner still keeps the workers of later runs."""
    pipeline = Pipeline([node(os.getpid, None, "pid")])
    with ParallelRunner(max_workers=1, start_method=method) as runner:
        with pytest.raises(KeyError), runner.start_early([]):
            raise KeyError("wrong")
        assert len({runner.run(pipeline, Catalog())["pid"] for _ in range(2)}) == 1


@pytest.mark.parametrize("make", [SequentialRunner, lambda: ThreadRunner(2)], ids=["sequential", "thread"])
def test_a_nested_run_on_the_same_runner_is_an_error(make):
    """A node in this process that starts another run on its own runner fails with the reason; the runner still works."""
    runner = make()
    inner = Pipeline([node(len, "x", "y")])
    outer = Pipeline([node(lambda x: dict(runner.run(inner, Catalog({"x": x}))), "x", "z", name="outer")])
    with pytest.raises(NodeError, match="would wait for itself") as caught:
        runner.run(outer, Catalog({"x": "abc"}))
    assert isinstance(caught.value.__cause__, RunnerError)
    assert runner.run(inner, Catalog({"x": "abc"}))["y"] == 3


def test_a_nested_run_in_an_observer_is_an_error(tmp_path, caplog):
    """Observers that another thread calls are part of the run too: a nested run fails with the reason."""
    for name in ("begun", "gate"):
        os.mkfifo(tmp_path / name)
    inner, seen = Pipeline([node(len, "x", "y")]), []

    def ask(event):
        if isinstance(event, NodeFinished) and event.node == "elsewhere":
            with (tmp_path / "gate").open("w"):
                seen.append(threading.current_thread() is threading.main_thread())
                runner.run(inner, Catalog({"x": "abc"}))

    def here(_x):
        (tmp_path / "begun").write_text("")
        return (tmp_path / "gate").read_text()

    def elsewhere(_x):  # ends when the node here has begun: before that, this thread would call the observer
        return (tmp_path / "begun").read_text()

    nodes = [
        node(here, "x", "z", name="here", policy=NodePolicy(run_in="main")),
        node(elsewhere, "x", "y", name="elsewhere"),
    ]
    with ParallelRunner(max_workers=1, start_method="fork") as runner:
        runner.run(Pipeline(nodes), Catalog({"x": "abc"}), observers=[ask])
        assert "would wait for itself" in caplog.text
        assert seen == [False]
        assert runner.run(inner, Catalog({"x": "abc"}))["y"] == 3


@pytest.mark.parametrize(
    ("make", "policy"),
    [(SequentialRunner, None), (partial(ParallelRunner, 1, "fork"), NodePolicy(run_in="main"))],
    ids=["sequential", "main"],
)
def test_a_signal_handler_that_exits_during_a_node_interrupts_the_run(make, policy):
    """It is not the failure of the node, after which other nodes would go on: the program ends, as under other runners."""
    nodes = [
        node(partial(signal.raise_signal, signal.SIGTERM), None, "a", name="a", policy=policy),
        node(int, "a", "b", name="b"),
    ]
    seen = []
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))
    try:
        with make() as runner, pytest.raises(SystemExit):
            runner.run(Pipeline(nodes), Catalog(), observers=[seen.append], on_failure="continue")
    finally:
        signal.signal(signal.SIGTERM, before)
    assert seen[-1].outcome is Outcome.INTERRUPTED
    assert not any(isinstance(event, NodeFailed) for event in seen)
