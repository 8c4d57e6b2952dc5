"""A session's rows: only what differs is written, and what is not known is written again."""

from __future__ import annotations

import logging
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from treadle.errors import StoreError
from treadle.events import Failure as Failed
from treadle.events import NodeFailed, NodeFinished, NodeStarted, Outcome, RunStarted, WorkerLost, WorkerStarted
from treadle.observe.store import RunRecorder, SessionRecord, SQLStore
from treadle.observe.store.log_lines import RunLog, log_lines
from treadle.observe.store.parts import RecordParts
from treadle.observe.store.sqlite import SqliteConnection

SESSION = SessionRecord(
    session_id="2026-01-01T00.00.00.000Z-a", project_path="p", package_name="p", env=None, conf_source="conf", extra_params={},
    command=None, started=1.0, finished=None, outcome=None, user=None, host=None, pid=1, git_commit=None, git_dirty=None,
    environment={}, versions={}, runs=(),
)  # fmt: skip
EVENTS = (
    RunStarted("run", 2.0, "parallel", "spawn", 2, ("a", "b", "c")),
    WorkerStarted("worker-1", 11, 2.0),
    NodeStarted("b", "worker-1", 1, 3.0),
    NodeFailed("b", "worker-1", 1, 3.0, 4.0, Failed("ValueError", "no", "Trace"), final=False),
    WorkerLost("worker-1", 11, 4.0, -9, "b"),
    NodeStarted("b", "worker-2", 2, 5.0),
    NodeStarted("a", "worker-3", 1, 5.0),
    NodeFinished("a", "worker-3", 1, 5.0, 6.0, 0.1, 0.8, 0.1, (("x", 10),)),
    NodeFinished("b", "worker-2", 2, 5.0, 7.0, 0.1, 1.8, 0.1),
)


def make_recorder():
    """Make the recorder of a run without events."""
    made = RunRecorder("run", number=1, pipelines=("__default__",), runner="parallel", params={"tags": ["x"]}, started=1.5)
    made.log = RunLog(str)
    return made


def write(writer, recorder, session=None):
    """Write what has changed."""
    parts = RecordParts()
    is_whole = writer.needs_whole
    parts.add_changes(recorder.changes(everything=is_whole))
    if session is not None:
        parts.add_session(session)
    writer.write(parts, is_whole=is_whole)


@pytest.fixture
def store(tmp_path):
    """A store in a new folder."""
    made = SQLStore(project_path=tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("step", [1, 2, 4, len(EVENTS)])
def test_a_record_written_in_parts_is_the_record(store, tmp_path: Path, step):
    """However many events are written at once, the result is what would be saved as a whole, with the attempts in plan order."""
    writer, recorder = store.live_writer(SESSION.session_id), make_recorder()
    for start in range(0, len(EVENTS), step):
        for each in EVENTS[start : start + step]:
            recorder.log.add(logging.makeLogRecord({"name": "p", "msg": type(each).__name__}), "b", "worker-1")
            recorder(each)
        write(writer, recorder, SESSION)
        (running,) = SQLStore(project_path=tmp_path).load(SESSION.session_id).runs
        assert (running.finished, running.outcome, running.node_count) == (None, None, 3)
    assert [(node.node, node.attempt) for node in running.nodes] == [("a", 1), ("b", 1), ("b", 2)]
    writer.close()
    whole = SESSION._replace(finished=9.0, outcome=Outcome.FAILED, runs=(recorder.record(Outcome.FAILED, finished=8.0),))
    store.save(whole)
    assert store.load(SESSION.session_id) == whole
    lines = log_lines(whole.runs[0].log)
    assert [line.text for line in lines] == [type(each).__name__ for each in EVENTS]
    assert [line.attempt for line in lines] == [1, 1, 1, 1, 2, 2, 2, 2, 2]
    assert [(node.node, node.attempt, node.outcome) for node in store.load(SESSION.session_id).runs[0].nodes] == [
        ("a", 1, Outcome.SUCCEEDED), ("b", 1, Outcome.FAILED), ("b", 2, Outcome.SUCCEEDED), ("c", 0, Outcome.SKIPPED),
    ]  # fmt: skip


def test_only_changes_are_written(store, monkeypatch):
    """Completing a record updates its session and run, and inserts the nodes that never started: no node is written twice."""
    writer, recorder = store.live_writer(SESSION.session_id), make_recorder()
    for each in EVENTS:
        recorder(each)
    write(writer, recorder, SESSION)
    statements = []
    execute, insert = SqliteConnection.execute, SqliteConnection.insert
    monkeypatch.setattr(
        SqliteConnection,
        "execute",
        lambda self, statement, *rows: statements.append(statement) or execute(self, statement, *rows),
    )
    monkeypatch.setattr(
        SqliteConnection,
        "insert",
        lambda self, table, rows: statements.append(f"INSERT INTO {table}") or insert(self, table, rows),
    )
    writer.close()
    store.save(SESSION._replace(finished=9.0, outcome=Outcome.FAILED, runs=(recorder.record(Outcome.FAILED, finished=8.0),)))
    written = [re.split(r" SET | \(", statement)[0] for statement in statements]
    assert written == ["UPDATE treadle_sessions", "UPDATE treadle_runs", "INSERT INTO treadle_nodes"]


def test_nothing_new_is_no_transaction(store, tmp_path):
    """A write without changes does not take the database's lock."""
    writer, recorder = store.live_writer(SESSION.session_id), make_recorder()
    recorder(EVENTS[0])
    write(writer, recorder, SESSION)
    with closing(sqlite3.connect(tmp_path / ".treadle" / "sessions.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        write(writer, recorder, SESSION)
        recorder(EVENTS[2])
        with pytest.raises(StoreError, match="database is locked"):
            write(writer, recorder)
    assert not writer.needs_whole  # it was rolled back
    writer.close()


def test_rows_that_are_gone(store, tmp_path):
    """Where rows have disappeared, the whole record has to be written; until then nothing is."""
    writer, recorder = store.live_writer(SESSION.session_id), make_recorder()
    for each in EVENTS[:3]:
        recorder(each)
    write(writer, recorder, SESSION)
    with closing(sqlite3.connect(tmp_path / ".treadle" / "sessions.db")) as other, other:
        other.execute("DELETE FROM treadle_nodes")
    recorder(EVENTS[3])
    with pytest.raises(StoreError, match="are no longer in the session store"):
        write(writer, recorder)
    assert writer.needs_whole
    with pytest.raises(StoreError, match="are no longer in the session store"):
        writer.write(RecordParts(), is_whole=False)
    write(writer, recorder, SESSION)
    assert [(node.attempt, node.outcome) for node in store.load(SESSION.session_id).runs[0].nodes] == [(1, Outcome.FAILED)]
    writer.close()


def test_a_store_in_memory_has_no_writer(tmp_path: Path):
    """No other process could read it."""
    assert SQLStore("sqlite://", project_path=tmp_path).live_writer("x") is None
