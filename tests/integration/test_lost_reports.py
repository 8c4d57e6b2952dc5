"""Ctrl-C between the arrival of reports and their handling: every node that has finished is reported as finished."""

from __future__ import annotations

import dis
import os
import signal
import sys
import threading
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import treadle.execution
from treadle import Catalog, ParallelRunner, Pipeline, SequentialRunner, ThreadRunner, node
from treadle.events import NodeFinished, NodeStarted, Outcome, RunFinished, RunStarted
from treadle.execution.executors import executor, threads
from treadle.execution.executors.events import Report, separate
from treadle.execution.executors.executor import Executor
from treadle.execution.executors.loky.pool import LokyPool
from treadle.execution.executors.loky.store import SegmentStore
from treadle.execution.executors.threads import ThreadPool
from treadle.execution.loop.loop import RunLoop
from treadle.execution.loop.node_reports import NodeReports
from treadle.execution.loop.observers import Observers
from treadle.execution.processes import safe_points
from treadle.execution.processes.channel import Channel
from treadle.execution.protocol.messages import Finished
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


@pytest.mark.parametrize(
    "make_runner", [partial(ParallelRunner, 2, start_method="fork"), partial(ThreadRunner, 2)], ids=["fork", "thread"]
)
def test_a_signal_handler_that_exits_loses_no_report(monkeypatch, make_runner):
    """As those of many applications do for SIGTERM: the events tell the same as after Ctrl-C."""
    nodes = [node(partial(int, "1"), None, f"d{index}", name=f"n{index}") for index in range(COUNT)]
    seen, received = [], []
    wait = Executor.wait

    def exit_once(executor, timeout=None):
        events = wait(executor, timeout)
        received.extend(each.fact for each in separate(events) if isinstance(each, Report) and isinstance(each.fact, Finished))
        if len(received) >= 2 * COUNT // 3 and seen[-1] != "exiting":
            seen.append("exiting")
            sys.exit(3)
        return events

    monkeypatch.setattr(Executor, "wait", exit_once)
    with make_runner() as runner, pytest.raises(SystemExit):
        runner.run(Pipeline(nodes), Catalog(), observers=[seen.append])
    finished = [event.node for event in seen if isinstance(event, NodeFinished)]
    assert {f"n{fact.node}" for fact in received} <= set(finished)
    assert len(finished) == len(set(finished))
    assert seen[-1].outcome is Outcome.INTERRUPTED


class InterruptAtLine:
    """Send SIGINT to the main thread before it executes one of the lines of the loop and the executors: a trace function.

    A line that does nothing, such as that of `try`, is not counted: Python handles signals at calls and jumps, and an exception
    that a trace function raises at such a line is not seen by the `with` around it (the table of exception handlers omits it).
    """

    folders = tuple(str(Path(treadle.execution.__file__).with_name(name)) for name in ("loop", "executors"))
    nothing = dis.opmap["NOP"]

    def __init__(self, at=0):
        self.at = at
        self.count = 0

    def __call__(self, frame, event, _argument):
        if not frame.f_code.co_filename.startswith(self.folders):
            return None
        if event == "line" and frame.f_code.co_code[frame.f_lasti] != self.nothing:
            self.count += 1
            if self.count == self.at:
                signal.raise_signal(signal.SIGINT)
        return self


def run_traced(runner, pipeline, trace):
    """Run a pipeline with a trace function; return the events."""
    seen, before = [], sys.gettrace()
    sys.settrace(trace)
    try:
        with suppress(KeyboardInterrupt):
            # The result is removed after the trace function: Python would ignore the interrupt of a finalizer.
            _result = runner.run(pipeline, Catalog(), observers=[seen.append])
    finally:
        sys.settrace(before)
    return seen


@pytest.mark.parametrize(
    ("make_runner", "places"),
    [(SequentialRunner, 400), (partial(ThreadRunner, 2), 100), (partial(ParallelRunner, 2, start_method="fork"), 30)],
)
def test_a_signal_at_any_line_loses_no_event(monkeypatch, tmp_path, make_runner, places):
    """Each node that finished is reported as started and finished, once, and the end of a run that began is reported."""
    monkeypatch.setattr(executor, "LAST_EVENTS_SECONDS", 0.3)  # the machine may be busy
    with make_runner() as runner:
        for place in range(-2, places):
            folder = tmp_path / str(place)  # a thread may still run a node of the run before
            folder.mkdir()
            (folder / "ran").touch()
            nodes = [node(partial(run_once, folder, index), None, f"d{index}", name=f"n{index}") for index in range(8)]
            last = node(lambda *numbers: sum(numbers), [f"d{index}" for index in range(8)], "total", name="n8")
            if place < 0:  # the second run counts the lines, as the first one starts the workers and imports modules
                counter = InterruptAtLine()
            trace = InterruptAtLine(counter.count * place // places + 1) if place >= 0 else counter
            seen = run_traced(runner, Pipeline([*nodes, last]), trace)
            kinds = [type(event) for event in seen]
            assert kinds.count(RunStarted) == kinds.count(RunFinished)
            assert not seen or kinds[-1] is RunFinished
            finished = [event.node for event in seen if isinstance(event, NodeFinished)]
            started = [event.node for event in seen if isinstance(event, NodeStarted)]
            assert len(started) == len(set(started))
            running = set(started).difference(finished)
            ran = {f"n{index}" for index in (folder / "ran").read_text().split()} - running
            assert sorted({*ran, "n8"} if "n8" in finished else ran) == sorted(finished)


def interrupt_before(owner, name, call):
    """Return a patch of a method: SIGINT arrives just before its call with this number."""
    original, calls = getattr(owner, name), []

    def interrupted(*arguments):
        calls.append(arguments)
        if len(calls) == call:
            signal.raise_signal(signal.SIGINT)
        return original(*arguments)

    return interrupted


@pytest.mark.parametrize("call", range(2, 8))
def test_a_signal_just_before_an_event_does_not_lose_it(monkeypatch, call):
    """The start and the end of each node are reported to all observers."""
    first, second, ran = [], [], []
    nodes = [node(partial(ran.append, index), None, None, name=f"n{index}") for index in range(4)]
    monkeypatch.setattr(Observers, "notify", interrupt_before(Observers, "notify", call))
    with pytest.raises(KeyboardInterrupt):
        SequentialRunner().run(Pipeline(nodes), Catalog(), observers=[first.append, second.append])
    assert first == second
    finished = [event.node for event in first if isinstance(event, NodeFinished)]
    assert finished == [f"n{index}" for index in ran]
    assert isinstance(first[-1], RunFinished)


def test_two_signals_in_quick_succession_do_not_lose_an_event(monkeypatch):
    """As `timeout` and wrappers send them: they are one interrupt, which does not come inside the observer."""
    monkeypatch.setattr(safe_points, "REPEAT_SECONDS", 3600.0)  # on a busy machine, too
    first, second = [], []

    def observe(event):
        if isinstance(event, NodeFinished) and event.node == "n1":
            for _ in range(2):
                signal.raise_signal(signal.SIGINT)
        first.append(event)

    nodes = [node(partial(int, "1"), None, None, name=f"n{index}") for index in range(4)]
    with pytest.raises(KeyboardInterrupt):
        SequentialRunner().run(Pipeline(nodes), Catalog(), observers=[observe, second.append])
    assert first == second
    assert isinstance(first[-1], RunFinished)


def memory_files():
    """Return the descriptors of this process that are memory files."""
    links = [link for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]  # without that of the listing itself
    return [link.name for link in links if str(link.readlink()).startswith("/memfd:")]


@pytest.mark.parametrize(
    ("owner", "name"),
    [(SegmentStore, "keep_transferred"), (SegmentStore, "keep"), (Executor, "_accept"), (LokyPool, "message_received")],
)
def test_a_signal_during_the_arrival_of_a_value_leaves_no_memory_file(monkeypatch, tmp_path, owner, name):
    """The store has each file that has arrived, and closes it."""
    os.mkfifo(tmp_path / "pipe")

    def meet(mode):
        (tmp_path / "pipe").open(mode).close()  # waits for the other worker: so each has a value, and one is sent
        return np.ones(1 << 20)

    before = memory_files()
    functions = [partial(meet, "w"), partial(meet, "r"), *[partial(np.ones, 1 << 20)] * 2]
    made = [node(function, None, f"made{index}", name=f"make{index}") for index, function in enumerate(functions)]
    used = node(lambda *arrays: sum(array[0] for array in arrays), [f"made{index}" for index in range(4)], "total", name="use")
    interrupted = []
    for call in range(1, 12):
        with monkeypatch.context() as patches, ParallelRunner(2, start_method="fork") as runner:
            patches.setattr(owner, name, interrupt_before(owner, name, call))
            try:
                runner.run(Pipeline([*made, used]), Catalog())
            except KeyboardInterrupt:
                interrupted.append(call)
        assert memory_files() == before
    assert interrupted


def test_a_thread_begins_no_node_after_the_last_reports_of_an_interrupted_run(monkeypatch):
    """Not even its only one: no event would tell of it."""
    ran, interrupted, reported, ended = [], threading.Event(), threading.Event(), threading.Event()
    run_job, report, wait = threads._run_job, RunLoop.report_interrupted, ThreadPool.wait

    def run_late(*arguments):
        assert reported.wait(60)
        run_job(*arguments)
        ended.set()

    def report_and_let_it_run(loop):
        report(loop)
        reported.set()
        assert ended.wait(60)

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
