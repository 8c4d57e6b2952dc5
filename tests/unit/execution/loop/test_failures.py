"""Failures: the run raises the first one with the others attached, however many, and the error survives pickling."""

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
from treadle.testing import scripted_executor


@pytest.fixture
def bundle():
    """A run of twenty independent nodes."""
    nodes = [node(len, "x", f"d{number}", name=f"n{number}") for number in range(20)]
    return RunBundle("run", compile_plan(Pipeline(nodes), Catalog({"x": "abc"})), Catalog(), None)


@pytest.mark.parametrize(
    ("count", "message"),
    [
        (1, None),
        (2, "Another node failed too: 'n1'."),
        (3, "2 other nodes failed too: 'n1', 'n2'."),
        (15, "14 other nodes failed too: 'n1', 'n2', 'n3', 'n4', 'n5', 'n6', 'n7', 'n8', 'n9', 'n10' and 4 more."),
    ],
)
def test_the_first_failure_names_the_others(bundle, count, message):
    """The error is the first node's; it counts and names the others and has their errors, also after pickling."""
    failures = Failures(bundle)
    assert failures.combine_errors(()) is None
    for number in range(count):
        failure = Failure("ValueError", f"no {number}", f"Traceback of {number}")
        failures.add(failures.make_error(number, failure, ValueError(number), worker="worker-1", attempt=1))
    error = failures.combine_errors(range(count, 20))
    assert failures.names == tuple(f"n{number}" for number in range(count))
    assert [each.node for each in error.failures] == list(failures.names)
    assert error.resume_from == failures.names
    assert (message is None and "\n" not in error.args[0]) or message in error.args[0]
    again = pickle.loads(pickle.dumps(error))
    assert [each.node for each in again.failures] == list(failures.names)
    assert all(f"Traceback of {number}" in str(again) for number in range(count))


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (Failure("ValueError", "bad", ""), "Node 'n0' failed on worker-1: ValueError: bad"),
        (Failure("KeyError", "", ""), "Node 'n0' failed on worker-1: KeyError"),
        (Failure("OSError", "full", "", phase="save", dataset="d0"), "Node 'n0' could not save 'd0' on worker-1: OSError: full"),
        (Failure("treadle.errors.DatasetError", "Node 'n0' returned None.", "", phase="save"), "Node 'n0' returned None."),
    ],
)
def test_the_message_of_a_failed_node(bundle, failure, message):
    """Each fact appears once: no dangling colon, and no node named twice."""
    assert str(Failures(bundle).make_error(0, failure, ValueError(), worker="worker-1", attempt=1)) == message


def test_a_timeout_that_an_attempt_reported(bundle):
    """It is a NodeTimeoutError, with its numbers and without a traceback."""
    reported = NodeTimeoutError("too slow", node="n0", timeout=1.0, elapsed=2.5)
    failure = Failure("treadle.errors.NodeTimeoutError", "too slow", "Traceback", pickle.dumps(reported), phase="timeout")
    error = Failures(bundle).make_error(0, failure, None, worker="thread-1", attempt=2)
    assert isinstance(error, NodeTimeoutError)
    assert (error.node, error.timeout, error.elapsed, error.attempt, error.__cause__) == ("n0", 1.0, 2.5, 2, None)
    assert str(error) == "too slow"


def down(node_, worker=1):
    return WorkerDown(worker, 4711, -9, node_, 100.0 if node_ is not None else None, 0)


def test_which_node_is_at_fault_for_a_lost_worker(bundle):
    """The node on the blackboard is; otherwise none, except a node before which workers die repeatedly."""
    losses = Losses(bundle, scripted_executor()[0], {})
    assert losses.attribute(down(3), (3, 4)) == (3, False)
    assert losses.attribute(down(3), (5,)) == (None, False)  # the node on the blackboard has already finished
    assert losses.attribute(down(None), ()) == (None, False)
    assert losses.attribute(down(None), (5, 6)) == (5, False)
    error, failure = losses.error(5, 1, down(None), timed_out=False)
    assert type(error).__name__ == failure.type_name == "WorkerLostError"
    assert "was killed by SIGKILL" in str(error)


def test_a_worker_that_was_killed_for_a_timeout(bundle):
    """Its node is at fault if the worker still held it; a node that finished at the last moment is not."""
    executor, pool = scripted_executor()
    losses = Losses(bundle, executor, {3: 5.0})
    losses.kill_worker(1, 3)
    assert pool.killed == [1]
    assert losses.attribute(down(3), (3,)) == (3, True)
    assert losses.attribute(down(3), (3,)) == (3, False)  # the next process with this number was not killed
    error, failure = losses.error(3, 2, down(3)._replace(seconds=7.0), timed_out=True)
    assert isinstance(error, NodeTimeoutError)
    assert isinstance(error, NodeError)
    assert (error.timeout, error.elapsed, error.attempt, failure.phase) == (5.0, 7.0, 2, "timeout")
    losses.kill_worker(1, 3)
    assert losses.attribute(down(None), (8,)) == (None, True)
    assert losses.error(3, 1, down(None), timed_out=True)[0].elapsed == 5.0
