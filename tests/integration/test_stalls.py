"""A run in which nothing happens for a while says which nodes are running, where, and what they wait for."""

from __future__ import annotations

import logging
import os
import re
import signal
from pathlib import Path

import pytest

from treadle import Catalog, NodePolicy, ParallelRunner, Pipeline, ThreadRunner, node
from treadle.execution.loop import stalls


def stop_here():
    """Stop this process as SIGSTOP from outside does, until it is continued."""
    os.kill(os.getpid(), signal.SIGSTOP)
    return os.getpid()


def wait_at(pipe):
    """Block until the other end of a named pipe is opened."""
    return Path(pipe).read_text()


class Answer(logging.Handler):
    """Call a function with the first report that matches a pattern, and keep that one."""

    def __init__(self, pattern, answer):
        super().__init__()
        self.record = self.match = None
        self._pattern = pattern
        self._answer = answer

    def emit(self, record):
        # Earlier ones are about a worker that is still unpickling its node, where the machine is slow.
        if self.record is None and (match := re.fullmatch(self._pattern, record.getMessage())):
            self.record, self.match = record, match
            self._answer(match)


@pytest.fixture
def answer_with(monkeypatch):
    """Make the runs of a test impatient; `answer_with(pattern, function)` reacts to a report, and returns the handler."""
    monkeypatch.setattr(stalls, "PATIENCE_SECONDS", 0.2)
    logger = logging.getLogger(stalls.__name__)
    monkeypatch.setattr(logger, "level", logging.INFO)
    added = []

    def add(pattern, answer):
        handler = Answer(pattern, answer)
        logger.addHandler(handler)
        added.append(handler)
        return handler

    yield add
    for handler in added:
        logger.removeHandler(handler)


RUNNING = r"Node '{}' has been running for \d+ s in {} "


def test_a_stopped_worker(start_method, answer_with):
    """A warning names the node, the worker and its process, and how the process is continued."""
    pattern = RUNNING.format("halt", "worker-1") + r"\(pid (\d+), stopped\)\. `kill -CONT (\d+)` continues the process\."
    handler = answer_with(pattern, lambda match: os.kill(int(match[1]), signal.SIGCONT))
    pid = ParallelRunner(1, start_method).run(Pipeline([node(stop_here, None, "pid", name="halt")]), Catalog())["pid"]
    assert handler.match.groups() == (str(pid), str(pid))
    assert handler.record.levelno == logging.WARNING


def test_a_node_that_waits(start_method, answer_with, tmp_path):
    """A line says in which state the process is, and how its stacks are printed."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    pattern = (
        RUNNING.format("wait", "worker-1")
        + r"\(pid (\d+), sleeping( in \w+)?\)\. `kill -USR1 (\d+)` prints the stacks of its threads\."
    )
    handler = answer_with(pattern, lambda _match: pipe.write_text("opened"))
    pipeline = Pipeline([node(wait_at, "pipe", "text", name="wait")])
    assert ParallelRunner(1, start_method).run(pipeline, Catalog({"pipe": str(pipe)}))["text"] == "opened"
    assert handler.match[1] == handler.match[3]
    assert handler.record.levelno == logging.INFO


@pytest.mark.parametrize(
    ("make", "policy", "worker"),
    [
        pytest.param(lambda: ThreadRunner(2), NodePolicy(), "thread-[12]", id="thread"),
        pytest.param(lambda: ParallelRunner(1, "fork"), NodePolicy(run_in="main"), "main", id="main process"),
    ],
)
def test_a_node_in_this_process(make, policy, worker, answer_with, tmp_path):
    """Where the node runs in a thread of this process, the line says where its code is, also beside a runner that is idle."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    pattern = RUNNING.format("wait", worker) + r"\(now in \w+, .+\.py:\d+\)\."
    handler = answer_with(pattern, lambda _match: pipe.write_text("opened"))
    pipeline = Pipeline([node(wait_at, "pipe", "text", name="wait", policy=policy)])
    with ThreadRunner(2) as idle, make() as runner:
        idle.run(Pipeline([node(int, None, "zero")]), Catalog())
        assert runner.run(pipeline, Catalog({"pipe": str(pipe)}))["text"] == "opened"
    assert handler.record.levelno == logging.INFO


def test_the_next_report_takes_twice_as_long(monkeypatch):
    """Reports become rarer while the silence lasts; an event sets the patience back."""

    class Nothing:
        def running(self):
            return {}

    clock = iter([110.0, 120.0, 139.0, 140.0])
    monkeypatch.setattr(stalls.time, "monotonic", lambda: next(clock))
    made = stalls.Stalls(None, Nothing(), None, {})
    for expected in (20.0, 40.0, 40.0, 80.0):
        made.note_silence(100.0)
        assert made.patience == expected
    made.end()
    assert (made.since, made.patience) == (None, 20.0)
