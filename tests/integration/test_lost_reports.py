"""Ctrl-C between the arrival of reports and their handling: every node that has finished is reported as finished."""

from __future__ import annotations

import os
import threading
from functools import partial

import pytest

from treadle import Catalog, ParallelRunner, Pipeline, ThreadRunner, node
from treadle.events import NodeFinished, NodeStarted
from treadle.execution.executors import executor, threads
from treadle.execution.executors.executor import Executor
from treadle.execution.executors.loky.pool import LokyPool
from treadle.execution.executors.threads import ThreadPool
from treadle.execution.loop.loop import RunLoop
from treadle.execution.loop.node_reports import NodeReports
from treadle.execution.processes.channel import Channel
from treadle.execution.scheduling.scheduler import Scheduler

COUNT = 3000


def run_once(folder, index):
    """Leave a mark, one for each time that the node runs."""
    marks = os.open(folder / "ran", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(marks, b"%d\n" % index)
    os.close(marks)
    return index


def interrupt_after(owner, name, call):
    """Return a patch of a method: its call with this number in this process is interrupted when it has done its work."""
    original, calls, process = getattr(owner, name), [], os.getpid()

    def interrupted(*arguments):
        returned = original(*arguments)
        calls.append(returned)
        if len(calls) == call and os.getpid() == process:  # forked workers inherit the patch
            raise KeyboardInterrupt
        return returned

    return interrupted


@pytest.mark.parametrize(
    ("make_runner", "owner", "name", "call"),
    [
        *(
            (partial(ParallelRunner, 2, start_method=method), owner, name, call)
            for method in ("fork", "forkserver")
            for owner, name, call in (
                (Executor, "_accept", 30),
                (Executor, "wait", 20),
                (LokyPool, "wait", 20),
                (Channel, "receive_ready", 20),
                (NodeReports, "add_finished", 20),
                (Scheduler, "finish_all", 20),
            )
        ),
        (partial(ThreadRunner, 2), ThreadPool, "_return_queued_jobs", 3),
        (partial(ThreadRunner, 2), Executor, "wait", 3),
    ],
)
def test_an_interrupt_loses_no_report(monkeypatch, tmp_path, make_runner, owner, name, call):
    """Whatever of the reports the parent holds at that moment, the events tell all nodes that finished, each once.

    A node that was running when the interrupt came, one for each worker at the most, is told as started.
    """
    nodes = [node(partial(run_once, tmp_path, index), None, f"d{index}", name=f"n{index}") for index in range(COUNT)]
    (tmp_path / "ran").touch()
    seen = []
    runner = make_runner()
    monkeypatch.setattr(executor, "LAST_EVENTS_SECONDS", 1.0)  # the machine may be busy
    with runner, monkeypatch.context() as patches:
        patches.setattr(owner, name, interrupt_after(owner, name, call))
        with pytest.raises(KeyboardInterrupt):
            runner.run(Pipeline(nodes), Catalog(), observers=[seen.append])
    ran = [f"n{index}" for index in (tmp_path / "ran").read_text().split()]
    assert len(ran) < COUNT, "the interrupt came too late"
    finished = [event.node for event in seen if isinstance(event, NodeFinished)]
    started = [event.node for event in seen if isinstance(event, NodeStarted)]
    assert len(started) == len(set(started))
    running = set(started).difference(finished)
    assert len(running) <= 2
    assert sorted(finished) == sorted(set(ran) - running)


def test_a_thread_begins_no_node_after_the_last_reports_of_an_interrupted_run(monkeypatch):
    """Not even its only one: no event would tell of it."""
    ran, interrupted, reported, ended = [], threading.Event(), threading.Event(), threading.Event()
    run_job, report, wait = threads._run_job, RunLoop.report_interrupted, ThreadPool.wait

    def run_late(*arguments):
        assert reported.wait(10)
        run_job(*arguments)
        ended.set()

    def report_and_let_it_run(loop):
        report(loop)
        reported.set()
        assert ended.wait(10)

    def interrupt_once(pool, timeout=None):
        if pool._run.submitted and not interrupted.is_set():
            interrupted.set()
            raise KeyboardInterrupt
        return wait(pool, timeout)

    monkeypatch.setattr(threads, "_run_job", run_late)
    monkeypatch.setattr(RunLoop, "report_interrupted", report_and_let_it_run)
    monkeypatch.setattr(ThreadPool, "wait", interrupt_once)
    with ThreadRunner(1) as runner, pytest.raises(KeyboardInterrupt):
        runner.run(Pipeline([node(lambda: ran.append("only"), None, None, name="only")]), Catalog())
    assert interrupted.is_set()
    assert ran == []
