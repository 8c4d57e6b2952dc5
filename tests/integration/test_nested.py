"""Runners inside of nodes, and in processes that an application forks while a runner of its own is at work."""

from __future__ import annotations

import multiprocessing
import os
import threading
import warnings

from treadle import Catalog, MemoryDataset, ParallelRunner, Pipeline, node
from treadle.errors import RunnerError
from treadle.execution.processes.start_method import choose_start_method

TWO = Pipeline([node(lambda x: x + 1, "x", "y", name="one"), node(lambda x: x + 2, "x", "z", name="two")])


def _run_inside(method):
    return ParallelRunner(1, method).run(TWO, Catalog({"x": 1}))["y"]


def test_a_parallel_runner_inside_a_node(any_runner):
    """Under every runner."""
    assert any_runner.run(Pipeline([node(lambda: _run_inside(None), None, "y")]), Catalog())["y"] == 2


def test_inside_a_forked_worker():
    """With every start method but fork; a forkserver that the parent has started is no hindrance."""
    with ParallelRunner(1, "forkserver") as outer:
        outer.run(TWO, Catalog({"x": 1}))
        pipeline = Pipeline([node(_run_inside, "method", "y")])
        for method in ("spawn", "forkserver", "loky"):
            assert ParallelRunner(1, "fork").run(pipeline, Catalog({"method": MemoryDataset(method)}))["y"] == 2


def test_fork_inside_a_worker(parallel_runner):
    """The argument is refused in clear words; where the environment asks for fork, another method is taken."""

    def ask_for_fork():
        try:
            ParallelRunner(1, "fork")
        except RunnerError as exc:
            refused = str(exc)
        os.environ["TREADLE_START_METHOD"] = "fork"
        try:
            return refused, choose_start_method(None).method.value
        finally:
            del os.environ["TREADLE_START_METHOD"]

    refused, chosen = parallel_runner.run(Pipeline([node(ask_for_fork, None, "both")]), Catalog())["both"]
    assert "cannot fork from a worker. Leave start_method out" in refused
    assert chosen == "forkserver"


def test_a_child_that_the_application_forks_during_a_run(any_runner, tmp_path):
    """It may use the very runner that is at work in the parent: with workers of its own."""
    reached, go_on = tmp_path / "reached", tmp_path / "go_on"
    os.mkfifo(reached)
    os.mkfifo(go_on)

    def wait():
        with reached.open("w"):
            pass
        with go_on.open() as pipe:
            return pipe.read() or "went on"

    results = []
    busy = Pipeline([node(wait, None, "waited")])
    run = threading.Thread(target=lambda: results.append(any_runner.run(busy, Catalog())["waited"]))
    run.start()
    with reached.open() as pipe:
        pipe.read()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about forks beside threads
        child = multiprocessing.get_context("fork").Process(target=_run_and_exit, args=(any_runner,))
        child.start()
    child.join(60)
    code = child.exitcode
    if code is None:
        child.kill()
        child.join()
    with go_on.open("w"):
        pass
    run.join()
    assert (code, results) == (0, ["went on"])


def _run_and_exit(runner):
    with runner:
        result = runner.run(TWO, Catalog({"x": 1}))
        code = 0 if (result["y"], result["z"]) == (2, 3) else 1
    os._exit(code)
