"""Events folded into the record of a run."""

from __future__ import annotations

import pytest

from treadle.errors import NodeError, WorkerSetupError
from treadle.events import (
    DatasetReleased,
    Event,
    Failure,
    NodeFailed,
    NodeFinished,
    NodeSkipped,
    NodeStarted,
    Outcome,
    RunFinished,
    RunStarted,
    WorkerLost,
    WorkerStarted,
)
from treadle.observe.store import ErrorRecord, NodeRecord, RunRecord, RunRecorder, WorkerRecord

FAILURE = Failure("ValueError", "no", "Traceback …", pickled=b"x")


def recorded(*events: Event, outcome: Outcome = Outcome.FAILED) -> RunRecord:
    """Record these events."""
    recorder = RunRecorder("id", number=1, pipelines=("__default__",), runner="asked", params={"tags": ["a"]}, started=1.0)
    for event in events:
        recorder(event)
    return recorder.record(outcome, finished=9.0)


def test_a_run_that_never_started_is_recorded_as_it_was_asked_for() -> None:
    """Without events, the record holds what the session knew."""
    record = recorded()
    assert record == RunRecord(1, "id", ("__default__",), "asked", None, None, 1.0, 9.0, Outcome.FAILED, {"tags": ["a"]})


def test_a_whole_run() -> None:
    """Nodes come in plan order with times, sizes, workers; the run knows its runner and start method."""
    record = recorded(
        RunStarted("id", 2.0, "parallel", "spawn", 2, ("a", "b")),
        WorkerStarted("worker-1", 11, 2.1),
        NodeStarted("b", "worker-1", 1, 3.0),
        NodeStarted("a", "worker-1", 1, 3.5),
        NodeFinished("b", "worker-1", 1, 3.0, 4.0, 0.1, 0.8, 0.1, (("x", 10),)),
        NodeFinished("a", "worker-1", 1, 3.5, 4.5, 0.0, 1.0, 0.0),
        DatasetReleased("x", 5.0),
        RunFinished("id", 6.0, Outcome.SUCCEEDED),
        outcome=Outcome.SUCCEEDED,
    )
    assert (record.runner, record.start_method, record.worker_count, record.started) == ("parallel", "spawn", 2, 2.0)
    assert [node.node for node in record.nodes] == ["a", "b"]
    assert record.nodes[1] == NodeRecord("b", 1, Outcome.SUCCEEDED, "worker-1", 3.0, 4.0, 0.1, 0.8, 0.1, (("x", 10),))
    assert record.workers == (WorkerRecord("worker-1", 11, 2.1),)


def test_every_attempt_is_kept() -> None:
    """An attempt that failed stays beside the one that succeeded."""
    record = recorded(
        RunStarted("id", 2.0, "parallel", "fork", 1, ("a",)),
        NodeStarted("a", "worker-1", 1, 3.0),
        NodeFailed("a", "worker-1", 1, 3.0, 4.0, FAILURE, final=False),
        NodeStarted("a", "worker-2", 2, 4.0),
        NodeFinished("a", "worker-2", 2, 4.0, 5.0, 0.0, 1.0, 0.0),
    )
    assert [(node.attempt, node.outcome) for node in record.nodes] == [(1, Outcome.FAILED), (2, Outcome.SUCCEEDED)]
    assert record.nodes[0].error == ErrorRecord("ValueError", "no", "Traceback …", "a")
    assert [node.retried for node in record.nodes] == [True, False]


def test_what_did_not_end_is_told_apart() -> None:
    """A node that was begun is interrupted, one that was not is skipped, whether or not the runner said so."""
    record = recorded(
        RunStarted("id", 2.0, "thread", None, 1, ("a", "b", "c")),
        NodeStarted("a", "thread-1", 1, 3.0),
        NodeSkipped("c", 4.0),
        outcome=Outcome.INTERRUPTED,
    )
    assert record.nodes == (
        NodeRecord("a", 1, Outcome.INTERRUPTED, "thread-1", 3.0, 9.0),
        NodeRecord("b", 0, Outcome.SKIPPED),
        NodeRecord("c", 0, Outcome.SKIPPED),
    )


def test_a_lost_worker_keeps_its_exit_code() -> None:
    """A worker that died is recorded with when and how, also where its start was not seen."""
    record = recorded(
        WorkerStarted("worker-1", 11, 2.0), WorkerLost("worker-1", 11, 3.0, -9, "a"), WorkerLost("worker-2", 12, 3.0, None, None)
    )
    assert record.workers == (WorkerRecord("worker-1", 11, 2.0, 3.0, -9), WorkerRecord("worker-2", 12, None, 3.0))


def test_an_error_of_a_worker_keeps_the_workers_traceback() -> None:
    """What the worker told is worth more than where the parent noticed, and the resume command stays out."""
    error = NodeError("node 'a' failed", node="a", failure=FAILURE)
    error.resume = "treadle run --params=password=x"
    assert ErrorRecord.from_exception(error) == ErrorRecord("treadle.errors.NodeError", "node 'a' failed", "Traceback …", "a")
    setup = ErrorRecord.from_exception(WorkerSetupError("no workers", failure=FAILURE))
    assert (setup.traceback, setup.node) == ("Traceback …", None)


def test_an_exception_keeps_its_traceback() -> None:
    """Any other exception is formatted with its causes, even if its message cannot be created."""

    class Mute(Exception):  # noqa: N818 - its name is of no interest
        def __str__(self) -> str:
            raise RuntimeError

    def fail() -> None:
        try:
            {}[Mute()]
        except KeyError as exc:
            raise LookupError("key") from exc

    with pytest.raises(LookupError, match="key") as caught:
        fail()
    record = ErrorRecord.from_exception(caught.value)
    assert (record.type_name, record.message) == ("LookupError", "key")
    assert "direct cause" in record.traceback
    assert "has no message" in ErrorRecord.from_exception(Mute()).message
