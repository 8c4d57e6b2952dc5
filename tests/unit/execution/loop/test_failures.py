"""What a run raises: the first failure with the others, whatever their number, and errors that survive pickling with them."""

from __future__ import annotations

import pickle

import pytest

from treadle import Catalog, NodeError, NodeTimeoutError, Pipeline, node
from treadle.events import Failure
from treadle.execution.executors.events import WorkerDown
from treadle.execution.loop.failures import Failures
from treadle.execution.loop.losses import Losses
from treadle.execution.packing.bundle import RunBundle
from treadle.planning import compile_plan


class Pool:
    """An executor as far as lost workers go."""

    def __init__(self):
        self.killed = []

    def kill(self, worker):
        self.killed.append(worker)

    @staticmethod
    def label(worker):
        return f"worker-{worker}"

    @staticmethod
    def size(_dataset):
        return 1000


@pytest.fixture
def material():
    """A run of twenty nodes that need nothing of each other."""
    nodes = [node(len, "x", f"d{number}", name=f"n{number}") for number in range(20)]
    return RunBundle("run", compile_plan(Pipeline(nodes), Catalog({"x": "abc"})), Catalog(), None)


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (1, None),
        (2, "Another node failed too: 'n1'."),
        (3, "2 other nodes failed too: 'n1', 'n2'."),
        (15, "14 other nodes failed too: 'n1', 'n2', 'n3', 'n4', 'n5', 'n6', 'n7', 'n8', 'n9', 'n10' and 4 more."),
    ],
)
def test_the_first_failure_names_the_others(material, count, said):
    """The error is the first node's, says how many others failed and which, and has them all; so does its pickle."""
    failures = Failures(material)
    assert failures.final(()) is None
    for number in range(count):
        failure = Failure("ValueError", f"no {number}", f"Traceback of {number}")
        failures.note(failures.error_of(number, failure, ValueError(number), worker="worker-1", attempt=1))
    error = failures.final(range(count, 20))
    assert failures.names == tuple(f"n{number}" for number in range(count))
    assert [each.node for each in error.failures] == list(failures.names)
    assert error.resume_from == failures.names
    assert (said is None and "\n" not in error.args[0]) or said in error.args[0]
    again = pickle.loads(pickle.dumps(error))
    assert [each.node for each in again.failures] == list(failures.names)
    assert all(f"Traceback of {number}" in str(again) for number in range(count))


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (Failure("ValueError", "bad", ""), "Node 'n0' failed on worker-1: ValueError: bad"),
        (Failure("KeyError", "", ""), "Node 'n0' failed on worker-1: KeyError"),
        (Failure("OSError", "full", "", phase="save", dataset="d0"), "Node 'n0' could not save 'd0' on worker-1: OSError: full"),
        (Failure("treadle.errors.DatasetError", "Node 'n0' returned None.", "", phase="save"), "Node 'n0' returned None."),
    ],
)
def test_what_a_failed_node_is_told_with(material, failure, said):
    """What happened is said once: no colon before nothing, and no node twice."""
    assert str(Failures(material).error_of(0, failure, ValueError(), worker="worker-1", attempt=1)) == said


def test_a_node_that_was_too_slow_in_its_own_process(material):
    """A timeout that an attempt reported is a NodeTimeoutError, with its numbers and without a traceback."""
    told = NodeTimeoutError("too slow", node="n0", timeout=1.0, elapsed=2.5)
    failure = Failure("treadle.errors.NodeTimeoutError", "too slow", "Traceback", pickle.dumps(told), phase="timeout")
    error = Failures(material).error_of(0, failure, None, worker="thread-1", attempt=2)
    assert isinstance(error, NodeTimeoutError)
    assert (error.node, error.timeout, error.elapsed, error.attempt, error.__cause__) == ("n0", 1.0, 2.5, 2, None)
    assert str(error) == "too slow"


def down(node_, worker=1):
    return WorkerDown(worker, 4711, -9, node_, 100.0 if node_ is not None else None, 0)


def test_who_is_at_fault_when_a_worker_is_gone(material):
    """The node on the board is; else nobody, but for a node on the way to which workers die again and again."""
    losses = Losses(material, Pool(), {})
    assert losses.judge(down(3), (3, 4)) == (3, False)
    assert losses.judge(down(3), (5,)) == (None, False)  # what the board says is done
    assert losses.judge(down(None), ()) == (None, False)
    assert losses.judge(down(None), (5, 6)) == (5, False)
    error, failure = losses.error(5, 1, down(None), too_slow=False)
    assert type(error).__name__ == failure.type_name == "WorkerLostError"
    assert "was killed by SIGKILL" in str(error)


def test_a_worker_that_was_ended(material):
    """Its node took too long, where it still had it; one that was through at the last moment is at no fault."""
    pool = Pool()
    losses = Losses(material, pool, {3: 5.0})
    losses.end(1, 3)
    assert pool.killed == [1]
    assert losses.judge(down(3), (3,)) == (3, True)
    assert losses.judge(down(3), (3,)) == (3, False)  # the next one is a worker of its own
    error, failure = losses.error(3, 2, down(3)._replace(seconds=7.0), too_slow=True)
    assert isinstance(error, NodeTimeoutError)
    assert isinstance(error, NodeError)
    assert (error.timeout, error.elapsed, error.attempt, failure.phase) == (5.0, 7.0, 2, "timeout")
    losses.end(1, 3)
    assert losses.judge(down(None), (8,)) == (None, True)
    assert losses.error(3, 1, down(None), too_slow=True)[0].elapsed == 5.0
