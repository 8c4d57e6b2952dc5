"""Worker processes that are replaced after so many nodes, or with so much memory; what they made is not lost."""

from __future__ import annotations

import os
import threading

import numpy as np
import psutil
import pytest

from treadle import Catalog, ParallelRunner, Pipeline, node
from treadle.errors import RunnerError
from treadle.events import NodeFinished, WorkerLost, WorkerStarted


def _pid(_number):
    return os.getpid()


def test_after_so_many_nodes(start_method):
    """No process runs more; each ends in peace, and none is left."""
    names = [f"n{number}" for number in range(3)]
    pipeline = Pipeline([node(_pid, "number", name, name=name) for name in names])
    events = []
    with ParallelRunner(1, start_method, max_nodes_per_worker=2) as runner:
        result = runner.run(pipeline, Catalog({"number": 1}), observers=(events.append,))
        pids = [result[name] for name in names]
    assert [pids.count(each) for each in dict.fromkeys(pids)] == [2, 1]
    assert not any(isinstance(event, WorkerLost) for event in events)
    assert len([event for event in events if isinstance(event, NodeFinished)]) == 3
    assert not any(psutil.pid_exists(each) for each in pids)


def test_chains_and_large_values(start_method):
    """A process a node, though a chain would be one job, and large values stay where they are made otherwise."""
    nodes = [
        node(lambda: np.ones(300_000), None, "a", name="a"),
        node(lambda a: a + 1, "a", "b", name="b"),
        node(lambda a, b: float((a + b).sum()), ["a", "b"], "total", name="c"),
    ]
    events = []
    with ParallelRunner(2, start_method, max_nodes_per_worker=1) as runner:
        result = runner.run(Pipeline(nodes), Catalog(), observers=(events.append,))
        assert result["total"] == 900_000.0
    finished = [event.node for event in events if isinstance(event, NodeFinished)]
    assert finished == ["a", "b", "c"]  # none of them twice
    assert len({event.pid for event in events if isinstance(event, WorkerStarted)}) >= 4  # this process among them


def test_with_so_much_memory(start_method):
    """A process that has grown past the limit is replaced; the others stay."""

    def grow(_number):
        threading.kept = np.ones(limit // 8)  # as much as the limit, however large the process of the tests is
        return os.getpid()

    limit = psutil.Process().memory_info().rss + (150 << 20)
    number = Catalog({"number": 1})
    with ParallelRunner(1, start_method, max_worker_memory=limit) as runner:
        before = runner.run(Pipeline([node(_pid, "number", name, name=name) for name in ("a", "b")]), number)
        assert before["a"] == before["b"]
        grown = runner.run(Pipeline([node(grow, "number", "grown", name="grow")]), number)["grown"]
        nodes = [
            node(_pid, "number", "first", name="first"),
            node(lambda first: (first, os.getpid()), "first", "both", name="next"),
        ]
        first, second = runner.run(Pipeline(nodes), number)["both"]
    assert grown == before["a"]
    assert first == second != grown


def test_a_value_that_cannot_leave_keeps_its_process(start_method):
    """It is replaced once the value is not needed any more."""
    nodes = [
        node(threading.Lock, None, "lock", name="make"),
        node(lambda _lock: os.getpid(), "lock", "first", name="first"),
        node(lambda _lock, first: (first, os.getpid()), ["lock", "first"], "both", name="second"),
    ]
    with ParallelRunner(1, start_method, max_nodes_per_worker=1) as runner:
        first, second = runner.run(Pipeline(nodes), Catalog())["both"]
    assert first == second


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"max_nodes_per_worker": 0}, "max_nodes_per_worker must be a whole number of at least 1, not 0"),
        ({"max_nodes_per_worker": True}, "max_nodes_per_worker must be"),
        ({"max_worker_memory": "much"}, "max_worker_memory is 'much'"),
    ],
)
def test_wrong_limits(options, words):
    """An error when the runner is made."""
    with pytest.raises(RunnerError, match=words):
        ParallelRunner(1, **options)
