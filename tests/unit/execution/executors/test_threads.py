"""The thread pool: what a run leaves behind when it ends early."""

from __future__ import annotations

import threading

import pytest

from treadle import Catalog, Pipeline, ThreadRunner, node
from treadle.execution.executors import threads
from treadle.execution.executors.threads import thread_executor
from treadle.execution.packing.bundle import RunBundle
from treadle.execution.scheduling.instructions import RunJob
from treadle.planning import compile_plan


def test_nodes_that_are_queued_when_a_run_ends_do_not_run():
    """An interrupted run leaves its running node; those behind it do not start, and the next run is not delayed by them."""
    gate, started, ran = threading.Event(), threading.Event(), []

    def wait():
        started.set()
        gate.wait()

    plan = compile_plan(
        Pipeline([node(wait, None, None, name="waits"), node(lambda: ran.append(1), None, None, name="next")]), Catalog()
    )
    executor = thread_executor(1)
    executor.begin(RunBundle("run", plan, Catalog(), None))
    executor.wait()
    executor.submit(RunJob(1, (0,), (), (), ()), RunJob(1, (1,), (), (), ()))
    started.wait()
    executor.end()
    gate.set()
    executor.close()  # waits for the thread
    assert ran == []


def test_an_interrupt_while_the_executor_is_made_leaves_no_thread(monkeypatch):
    """Threads start when the runner has the executor, and can stop them."""

    def interrupt(*_arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(threads, "Executor", interrupt)
    before = threading.enumerate()
    with ThreadRunner(2) as runner, pytest.raises(KeyboardInterrupt):
        runner.run(Pipeline([node(lambda: None, None, None, name="only")]), Catalog())
    assert set(threading.enumerate()) <= set(before)
