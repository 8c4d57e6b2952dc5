"""LogObserver: a run in plain lines."""

from __future__ import annotations

import logging

import pytest

from treadle.events import (
    DatasetReleased,
    Failure,
    NodeFailed,
    NodeFinished,
    NodeReused,
    NodeSkipped,
    NodeStarted,
    Outcome,
    RunFinished,
    RunStarted,
    WorkerLost,
    WorkerStarted,
)
from treadle.observe.log import LogObserver

STARTED = RunStarted("id", 100.0, "parallel", "spawn", 2, tuple(f"node_{number}" for number in range(12)))


def finished(node, started, at, worker="worker-1"):
    return NodeFinished(node, worker, 1, started, at, 0.0, at - started, 0.0)


@pytest.fixture
def observe(caplog):
    caplog.set_level(logging.DEBUG, logger="treadle.run")
    return LogObserver()


def test_a_line_a_finished_node(observe, caplog):
    """Each node that finishes is one INFO line: how many are through, its name, its seconds, its worker."""
    observe(STARTED)
    observe(WorkerStarted("worker-1", 11, 100.1))
    observe(NodeStarted("node_0", "worker-1", 1, 101.0))
    observe(finished("node_0", 101.0, 103.25))
    observe(DatasetReleased("table", 103.3))
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("INFO", "Running 12 nodes: parallel runner, 2 workers (spawn)."),
        ("INFO", "[ 1/12] node_0: 2.25 s on worker-1"),
    ]
    assert (caplog.records[1].node, caplog.records[1].worker) == ("node_0", "worker-1")


def test_a_node_that_runs_again_is_counted_once(observe, caplog):
    """A node whose value was lost with a worker finishes twice, and until then is not finished."""
    observe(RunStarted("id", 100.0, "parallel", "spawn", 2, ("a", "b", "c")))
    failure = Failure("ValueError", "no", "", None)
    for event in (
        finished("a", 100.0, 101.0),
        NodeStarted("a", "worker-2", 2, 102.0),
        NodeFailed("b", "worker-1", 1, 101.0, 103.0, failure, final=False),
        finished("a", 102.0, 104.0),
        NodeFailed("b", "worker-1", 2, 104.0, 105.0, failure),
        RunFinished("id", 106.0, Outcome.FAILED, ("b",)),
    ):
        observe(event)
    assert [line.partition(" on ")[0] for line in caplog.messages[1:]] == [
        "[1/3] a: 1.00 s",
        "[0/3] b failed after 2.00 s",
        "[1/3] a: 2.00 s",
        "[1/3] b failed after 1.00 s",
        "Failed after 6.00 s: 1 of 3 nodes finished, 1 failed, 1 not run.",
    ]


def test_one_worker_and_one_node_are_said_plainly(observe, caplog):
    """A sequential run of one node speaks of no workers and no start method."""
    observe(RunStarted("id", 100.0, "sequential", None, 1, ("only",)))
    assert caplog.messages == ["Running 1 node: sequential runner."]


def test_the_reason_for_an_inferred_start_method(observe, caplog):
    """The first line says why workers are, or are not, forked."""
    observe(RunStarted("id", 100.0, "parallel", "forkserver", 2, ("a", "b"), None, "the safe default, because … is open"))
    assert caplog.messages == ["Running 2 nodes: parallel runner, 2 workers (forkserver: the safe default, because … is open)."]


def test_the_reason_for_a_chosen_runner(observe, caplog):
    """Under `runner="auto"`, the first line says why this runner was chosen."""
    observe(RunStarted("id", 100.0, "sequential", None, 1, ("a", "b"), "0.1 s expected, 0.5 s in 2 processes"))
    assert caplog.messages == ["Running 2 nodes: sequential runner (0.1 s expected, 0.5 s in 2 processes)."]


@pytest.mark.parametrize(
    ("event", "level", "line"),
    [
        (
            NodeFailed("fit", "worker-2", 1, 101.0, 102.5, Failure("ValueError", "bad value\nat length", "…")),
            "ERROR",
            "[ 0/12] fit failed after 1.50 s on worker-2: ValueError",
        ),
        (
            NodeFailed("fit", "worker-2", 1, None, 102.5, Failure("KeyError", "", "…"), final=False),
            "WARNING",
            "[ 0/12] fit failed on worker-2 (attempt 1, will be retried): KeyError",
        ),
        (
            NodeFailed("fit", "worker-2", 1, None, 102.5, Failure("KeyError", "'a'\nat", "…"), final=False),
            "WARNING",
            "[ 0/12] fit failed on worker-2 (attempt 1, will be retried): KeyError: 'a'",
        ),
        (
            NodeFailed("fit", "worker-2", 1, 101.0, 102.5, Failure("SystemExit", "0", "…")),
            "INFO",
            "[ 0/12] fit ended the run with sys.exit(0) after 1.50 s on worker-2",
        ),
        (WorkerLost("worker-2", 77, 102.5, -9, "fit"), "WARNING", "worker-2 (pid 77) was killed by SIGKILL while running fit"),
        (WorkerLost("worker-2", 77, 102.5, 3, None), "WARNING", "worker-2 (pid 77) exited with code 3"),
        (WorkerLost("worker-2", 77, 102.5, None, None), "WARNING", "worker-2 (pid 77) died (its exit code is unknown)"),
        (WorkerLost("worker-2", 77, 102.5, -99, None), "WARNING", "worker-2 (pid 77) was killed by signal 99"),
    ],
)
def test_what_goes_wrong_is_a_warning_or_an_error(observe, caplog, event, level, line):
    """A failed node and a lost worker are said in one line, as loud as they are final."""
    observe(STARTED)
    observe(event)
    assert (caplog.records[-1].levelname, caplog.messages[-1]) == (level, line)


@pytest.mark.parametrize(
    ("event", "level", "line"),
    [
        (RunFinished("id", 104.0, Outcome.SUCCEEDED), "INFO", "Finished 1 of 12 nodes in 4.00 s."),
        (
            RunFinished("id", 104.0, Outcome.FAILED, ("node_1",)),
            "ERROR",
            "Failed after 4.00 s: 1 of 12 nodes finished, 1 failed, 10 not run.",
        ),
        (RunFinished("id", 104.0, Outcome.INTERRUPTED), "WARNING", "Interrupted after 4.00 s, with 1 of 12 nodes finished."),
    ],
)
def test_the_last_line_says_how_the_run_ended(observe, caplog, event, level, line):
    """The end of a run is one line with its outcome, its time and its counts."""
    observe(STARTED)
    observe(finished("node_0", 100.0, 101.0))
    observe(NodeSkipped("node_2", 103.0))
    observe(event)
    assert (caplog.records[-1].levelname, caplog.messages[-1]) == (level, line)


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (
            RunFinished("id", 104.0, Outcome.FAILED, ("node_1",)),
            "Failed after 4.00 s: 1 of 12 nodes finished, 2 up to date, 1 failed, 8 not run.",
        ),
        (
            RunFinished("id", 104.0, Outcome.INTERRUPTED),
            "Interrupted after 4.00 s, with 1 of 12 nodes finished, 2 up to date.",
        ),
    ],
)
def test_nodes_that_are_up_to_date_are_not_missing_at_the_end(observe, caplog, event, line):
    """However a run ends, its last line counts them by themselves, and not among those that did not run."""
    observe(STARTED)
    observe(NodeReused("node_2", 100.0))
    observe(NodeReused("node_3", 100.0))
    observe(finished("node_0", 100.0, 101.0))
    observe(event)
    assert caplog.messages[-1] == line


def test_the_end_by_sys_exit_counts_nodes_that_are_up_to_date(observe, caplog):
    """They are not among those that did not run."""
    observe(STARTED)
    observe(NodeReused("node_2", 100.0))
    observe(NodeFailed("fit", "main", 1, 101.0, 102.5, Failure("SystemExit", "0", "…")))
    observe(RunFinished("id", 104.0, Outcome.FAILED, ("fit",)))
    assert caplog.messages[-1] == "Ended after 4.00 s: 0 of 12 nodes finished, 1 up to date, 10 not run."


def test_an_observer_serves_many_runs(observe, caplog):
    """Counts begin anew with each run."""
    for _ in range(2):
        observe(STARTED)
        observe(finished("node_0", 100.0, 101.0))
    assert caplog.messages[1] == caplog.messages[3] == "[ 1/12] node_0: 1.00 s on worker-1"


def test_another_logger():
    """The lines go to the logger that was given."""
    logger = logging.getLogger("tests.mine")
    logger.setLevel(logging.INFO)
    lines = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    logger.addHandler(handler)
    try:
        LogObserver(logger)(STARTED)
    finally:
        logger.removeHandler(handler)
    assert lines == ["Running 12 nodes: parallel runner, 2 workers (spawn)."]


def test_a_run_of_nothing_says_nothing(observe, caplog):
    """Where there is no node to run, whoever found that out has said so."""
    observe(RunStarted("id", 100.0, "parallel", "spawn", 2, ()))
    observe(RunFinished("id", 100.0, Outcome.SUCCEEDED))
    assert caplog.messages == []
