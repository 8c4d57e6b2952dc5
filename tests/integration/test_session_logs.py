"""The log lines of nodes are a part of the record, in each way to run: with their node, attempt and worker."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from treadle import Catalog, NodePolicy, Pipeline, SequentialRunner, node
from treadle.events import Outcome
from treadle.observe.store import RunRecorder
from treadle.observe.store.log_lines import FIRST_LINES, LAST_LINES, RunLog, log_lines
from treadle.project.log_capture import logs_captured

log = logging.getLogger("shop.nodes")


def greet(name):
    log.warning("hello %s", name)
    log.info("not enabled")


def stumble(folder):
    marker = Path(folder, "seen")
    log.warning("before" if not marker.exists() else "again")
    if not marker.exists():
        marker.touch()
        try:
            int("<first>")
        except ValueError:
            log.exception("stumbled")
            raise


def chatter(name):
    for number in range(2000):
        log.warning("%s %d", name, number)


def lend(name):
    with ThreadPoolExecutor(1) as pool:
        pool.submit(log.warning, "from a thread of %s", name).result()


def recorder_of(run_id):
    recorder = RunRecorder(run_id, number=1, pipelines=(), runner="", params={}, started=0.0)
    recorder.log = RunLog(str)
    return recorder


def run(runner, pipeline, data, recorder):
    with logs_captured(recorder.log):
        runner.run(pipeline, Catalog(data), observers=[recorder])
    return log_lines(recorder.record(Outcome.SUCCEEDED, finished=9.0).log)


def test_lines_have_their_node_attempt_and_worker(any_runner, way, tmp_path):
    """What a node logs in any process belongs to its attempt; of a long log the first and the last lines are there."""
    pipeline = Pipeline(
        [
            node(greet, "params:x", None, name="greet"),
            node(stumble, "params:folder", None, name="stumble", policy=NodePolicy(retries=1)),
            node(chatter, "params:x", None, name="chatter"),
            node(lend, "params:x", None, name="lend"),
        ]
    )
    recorder = recorder_of("id")
    lines = run(any_runner, pipeline, {"params:x": "you", "params:folder": str(tmp_path)}, recorder)

    def of(name):
        return [(line.level, line.attempt, line.text.partition("\n")[0]) for line in lines if line.node == name]

    assert of("greet") == [("WARNING", 1, "hello you")]
    assert of("stumble") == [("WARNING", 1, "before"), ("ERROR", 1, "stumbled"), ("WARNING", 2, "again")]
    (trace,) = [line.text for line in lines if line.level == "ERROR"]
    assert trace.endswith("invalid literal for int() with base 10: '<first>'")
    theirs = [line for line in lines if line.node == "chatter"]
    numbers = [int(line.text.split()[1]) for line in theirs if not line.left_out]
    assert numbers == [*range(FIRST_LINES), *range(2000 - LAST_LINES, 2000)]
    assert [line.left_out for line in theirs if line.left_out] == [2000 - FIRST_LINES - LAST_LINES]
    own = {"sequential": {"main"}, "thread": {"thread-1", "thread-2"}}.get(way, {"worker-1", "worker-2"})
    assert {line.worker for line in lines if line.node} <= own
    # A failed attempt has its phases too, which are its whole time.
    failed = next(node for node in recorder.record(Outcome.SUCCEEDED, finished=9.0).nodes if node.outcome is Outcome.FAILED)
    assert (failed.node, failed.attempt, failed.retried, failed.save_seconds) == ("stumble", 1, True, 0.0)
    assert 0 < failed.load_seconds + failed.run_seconds <= failed.finished - failed.started
    # A thread that a node starts is known to be the node's only where the process runs one node at a time.
    (lent,) = [line for line in lines if line.text == "from a thread of you"]
    assert lent.node == (None if way in ("sequential", "thread") else "lend")


def test_runs_at_the_same_time_have_their_own_logs():
    """Nodes of two runs in one process, at the same time, log to the log of their own run."""
    recorders = [recorder_of(name) for name in ("one", "two")]
    pipeline = Pipeline([node(chatter, "params:x", None, name="chatter")])

    def start(recorder):
        return run(SequentialRunner(), pipeline, {"params:x": recorder.record(Outcome.FAILED, finished=0.0).run_id}, recorder)

    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(start, recorders))
    for recorder, lines in zip(recorders, both, strict=True):
        run_id = recorder.record(Outcome.FAILED, finished=0.0).run_id
        assert {line.text.split()[0] for line in lines if line.text} == {run_id}


@pytest.mark.parametrize("wraps", [True, False])
def test_a_program_may_set_a_record_factory(wraps):
    """In the next run each record is captured once, whether the program's factory calls the one before it or not."""
    pipeline = Pipeline([node(greet, "params:x", None, name="greet")])
    for name in ("one", "two"):
        assert [line.text for line in run(SequentialRunner(), pipeline, {"params:x": "you"}, recorder_of(name))] == ["hello you"]
        factory = logging.getLogRecordFactory()
        logging.setLogRecordFactory(partial(factory) if wraps else logging.LogRecord)
