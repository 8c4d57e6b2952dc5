"""Old sessions are removed from the store, with everything that only they refer to."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing

import pytest

from treadle.observe.store import SessionState, SQLStore
from treadle.observe.store.liveness import this_process
from treadle.observe.store.log_lines import LogBatch
from treadle.observe.store.pruning import _TABLES
from treadle.planning.reuse.facts import LastSuccess


@pytest.fixture
def store(tmp_path, records):
    """A store of four sessions: two finished ones with graphs of their own, a newer one, and one of this process that runs."""
    with closing(SQLStore(project_path=tmp_path)) as opened:
        for number in range(1, 4):
            graph = records.graph({f"node {number}": (), "shared": ()})
            success = LastSuccess(f"s{number}", 1.0, {"part": str(number)}, (), ())
            node = records.attempt("shared", "w", 0, 1)._replace(success=success)
            session = records.session(graph, [node], wall=1, session_id=f"s{number}")
            opened.save(session._replace(runs=(session.runs[0]._replace(log=(LogBatch("[]"),)),)))
        here = this_process()
        running = records.session(records.graph({"a": ()}), [], wall=None, session_id="s0", state=SessionState.RUNNING)
        opened.save(
            running._replace(finished=None, outcome=None, host=here.host, pid=os.getpid(), process_started=here.started,
                boot_id=here.boot_id, heartbeat=time.time(),
            )
        )  # fmt: skip
        opened.save_successes("p", None, {"shared": LastSuccess("s1", 1.0, {"part": "1"}, (), ())})
        yield opened


def rows(tmp_path, table):
    with closing(sqlite3.connect(tmp_path / ".treadle/sessions.db")) as connection:
        return connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0]


def test_only_the_newest_and_the_running_sessions_stay(tmp_path, store):
    """Their nodes, workers, log lines, graphs and fingerprints go with them; the last success of a node stays."""
    assert store.prune(keep=1, dry_run=True) == ("s2", "s1")
    assert rows(tmp_path, "treadle_sessions") == 4
    assert store.prune(keep=1) == ("s2", "s1")
    assert [each.session_id for each in store.list()] == ["s3", "s0"]
    assert store.load("s3").runs[0].graph is not None
    assert {table: rows(tmp_path, f"treadle_{table}") for table in ("runs", "nodes", "workers", "logs", "graphs")} == {
        "runs": 2,
        "nodes": 1,
        "workers": 1,
        "logs": 1,
        "graphs": 2,
    }
    assert store.last_successes("p", None)["shared"].parts == {"part": "1"}
    assert store.prune(keep=1) == ()


def test_no_table_is_forgotten(tmp_path, store):
    """Every table with the id of a session is pruned, except the last successes of nodes."""
    with closing(sqlite3.connect(tmp_path / ".treadle/sessions.db")) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        of_sessions = [
            name for name in names if "session_id" in {row[1] for row in connection.execute(f"PRAGMA table_info({name})")}
        ]
    assert sorted(of_sessions) == sorted((*_TABLES, "treadle_successes"))


def test_old_sessions(store, records):
    """Sessions that began before a time, but not the newest if some are to be kept too."""
    assert store.prune(started_before=records.START) == ()
    assert store.prune(keep=2, started_before=records.START + 1) == ("s1",)
    assert store.prune(started_before=records.START + 1) == ("s3", "s2")


def test_nothing_to_remove(tmp_path):
    """A project without a record gets none by pruning; a condition is needed."""
    with closing(SQLStore(project_path=tmp_path)) as store:
        assert store.prune(keep=0) == ()
        with pytest.raises(ValueError, match="keep, started_before or both"):
            store.prune()
    assert not (tmp_path / ".treadle").exists()
