"""The record of a session while it runs: rows from the first node on, lost sessions, and stores that fail during a run."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing

import pytest

from treadle.cli import follow
from treadle.cli.main import main
from treadle.errors import StoreError
from treadle.events import Outcome
from treadle.observe.store import SessionState, SQLStore, live, live_writer
from treadle.session import Session

WAYS = ("sequential", "thread", "fork", "spawn")
NOTED = "2026-01-01T00.00.00.000Z"
"""The version of a dataset that the run loads."""
DEADLINE = 100
"""Seconds after which a process counts as hanging."""

NODES = """
import json, os, sqlite3
from contextlib import closing
from treadle.observe.store import SQLStore

def look(raw):
    # Reads, in the process of the node, what the store has of this session.
    with closing(SQLStore(project_path=os.environ["PROJECT"])) as store:
        summary = store.list()[0]
        run = store.load(summary.session_id).runs[0]
    return json.dumps({"state": summary.state.value, "outcome": run.outcome, "nodes": run.node_count})

def wait(looked):
    with open("gate"):  # until the test opens it for writing
        return looked

def last(waited, noted):
    return waited
"""
REGISTRY = """
from treadle.pipeline import Pipeline, node
from {package}.nodes import last, look, wait

def register_pipelines():
    return {{"__default__": Pipeline([
        node(look, "raw", "looked", name="look"),
        node(wait, "looked", "waited", name="wait"),
        node(last, ["waited", "noted"], "scaled", name="last"),
    ])}}
"""
RUN = """
import sys
from treadle import ParallelRunner, Session, ThreadRunner
from treadle.project import bootstrap_project

if __name__ == "__main__":
    bootstrap_project(".")
    way = sys.argv[1]
    runner = {"sequential": "sequential", "thread": "thread"}.get(way) or ParallelRunner(2, start_method=way)
    with Session.create() as session:
        session.run(runner=runner)
"""


@pytest.fixture
def waiting_project(make_project, monkeypatch):
    """A project of three nodes, the second of which waits for its `gate`."""
    root = make_project()
    (package,) = (root / "src").iterdir()
    (package / "nodes.py").write_text(NODES)
    (package / "pipeline_registry.py").write_text(REGISTRY.format(package=package.name))
    with (root / "conf" / "base" / "catalog.yml").open("a") as catalog:
        catalog.write("noted:\n  type: text.TextDataset\n  filepath: data/noted.txt\n  versioned: true\n")
    (root / "data" / "noted.txt" / NOTED).mkdir(parents=True)
    (root / "data" / "noted.txt" / NOTED / "noted.txt").write_text("note")
    (root / "run.py").write_text(RUN)
    os.mkfifo(root / "gate")
    monkeypatch.setenv("PROJECT", str(root))
    return root


@pytest.fixture
def run_waiting(waiting_project, wait_until):
    """`run_waiting(way)`: start a run in another process, and return it once its second node is known to run."""
    started = []

    def start(way):
        process = subprocess.Popen([sys.executable, "run.py", way], cwd=waiting_project, stderr=subprocess.PIPE, text=True)
        started.append(process)
        seen = lambda: process.poll() is not None or _running(waiting_project) == {"wait"}
        wait_until(seen, "the second node is recorded", seconds=DEADLINE)
        assert process.poll() is None, process.communicate()[1]
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stderr.close()


def _newest(root):
    with closing(SQLStore(project_path=root)) as store:
        summaries = store.list(1)
        return store.load(summaries[0].session_id) if summaries else None


def _running(root):
    record = _newest(root)
    return {node.node for run in record.runs for node in run.nodes if node.outcome is None} if record is not None else None


def _outcomes(record):
    return [(node.node, node.outcome) for node in record.runs[0].nodes]


def _check_running(record, process):
    assert (record.state, record.finished, record.outcome, record.pid) == (SessionState.RUNNING, None, None, process.pid)
    (run,) = record.runs
    assert (run.finished, run.outcome, run.node_count, run.pipelines) == (None, None, 3, ("__default__",))
    assert run.workers
    assert run.params["load_versions"] == {"noted": NOTED}
    assert _outcomes(record) == [("look", Outcome.SUCCEEDED), ("wait", None)]


@pytest.mark.parametrize("way", ["sequential", "spawn"])
def test_a_reader_sees_the_run(waiting_project, run_waiting, way):
    """Session and run are recorded before the first node starts, nodes as they end; the same rows are completed at the end."""
    process = run_waiting(way)
    seen = _newest(waiting_project)
    _check_running(seen, process)

    (waiting_project / "gate").write_text("")
    assert (process.communicate(timeout=DEADLINE)[1], process.returncode) == ("", 0)
    record = _newest(waiting_project)
    assert (record.state, record.outcome, record.runs[0].outcome) == (SessionState.FINISHED, Outcome.SUCCEEDED, Outcome.SUCCEEDED)
    assert _outcomes(record) == [(name, Outcome.SUCCEEDED) for name in ("look", "wait", "last")]
    assert record.runs[0].nodes[0] == seen.runs[0].nodes[0]
    assert record.finished >= record.runs[0].finished >= record.runs[0].nodes[-1].finished
    looked = json.loads(json.loads((waiting_project / "data" / "scaled.json").read_text()))
    assert looked == {"state": "running", "outcome": None, "nodes": 3}


@pytest.mark.parametrize("way", WAYS)
def test_a_killed_session_is_lost(waiting_project, run_waiting, capsys, way):
    """After `kill -9` the session is lost, and the record has the nodes that had ended."""
    process = run_waiting(way)
    _check_running(_newest(waiting_project), process)
    process.kill()
    process.wait()
    with closing(SQLStore(project_path=waiting_project)) as store:
        (summary,) = store.list()
    assert (summary.state, summary.finished, summary.outcome, summary.succeeded) == (SessionState.LOST, None, None, 1)
    record = _newest(waiting_project)
    assert record.state is SessionState.LOST
    assert record.heartbeat >= record.started
    assert _outcomes(record) == [("look", Outcome.SUCCEEDED), ("wait", None)]

    assert main(["sessions", "list"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[1] == "lost"
    assert main(["sessions", "show", "20"]) == 0
    shown = capsys.readouterr().out
    for text in ("lost: its process is gone", "Run 1: not finished, 1 of 3 nodes have ended", "✘ lost"):
        assert text in shown
    assert main(["sessions", "show", "--follow", "20"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "The session is lost: its process is gone and did not complete its record."


def test_a_session_that_is_not_closed_is_lost(make_project):
    """A program that ends without closing its session leaves a complete run of a lost session."""
    root = make_project()
    script = (
        "from treadle import Session\nfrom treadle.project import bootstrap_project\nbootstrap_project('.')\n"
        "session = Session.create()\nsession.run(runner='sequential')\nsession.save()"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, timeout=DEADLINE, check=True)
    assert done.stderr == ""
    record = _newest(root)
    assert (record.state, record.outcome) == (SessionState.LOST, Outcome.SUCCEEDED)
    assert _outcomes(record) == [("count", Outcome.SUCCEEDED), ("scale", Outcome.SUCCEEDED)]


# --- stores that fail during the run --------------------------------------------------------------------------------------


@pytest.fixture
def hurried(monkeypatch):
    """Failed writes are tried again at once; one that takes long, because the disk is slow, does not count as failed."""
    for module, name in ((live, "START_SECONDS"), (live, "STOP_SECONDS"), (live_writer, "BUSY_TIMEOUT")):
        monkeypatch.setattr(module, name, DEADLINE)
    monkeypatch.setattr(live, "RETRY_SECONDS", 0.0)
    monkeypatch.setattr(live, "HEARTBEAT_SECONDS", 0.05)
    monkeypatch.setattr(live, "INTERVAL_SECONDS", 0.02)


def _warnings(caplog):
    return [record.getMessage() for record in caplog.records if record.levelname in ("WARNING", "ERROR")]


def _run_with(actions, runner):
    """Run the project's two nodes; after the first and the second node ended, call one of the actions."""
    left = iter(actions)

    def act(event):
        if type(event).__name__ == "NodeFinished":
            next(left)()

    with Session.create() as session:
        session.run(runner=runner, observers=[act])
    return session.session_id


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("way", ["sequential", "thread"])
def test_a_store_that_is_locked_during_the_run(make_project, caplog, wait_until, way, monkeypatch):
    """The run goes on with one warning; when the lock is gone, everything is recorded, while the run still goes on."""
    monkeypatch.setattr(live_writer, "BUSY_TIMEOUT", 0.05)
    root = make_project()
    file = root / ".treadle" / "sessions.db"
    seen = []

    def lock():
        connection = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
        connection.execute("BEGIN EXCLUSIVE")
        wait_until(lambda: _warnings(caplog), "the warning")
        connection.close()

    def look():
        wait_until(lambda: seen.append(_newest(root)) or len(seen[-1].runs[0].nodes) == 2, "both nodes are recorded")

    session_id = _run_with([lock, look], way)
    (warning,) = _warnings(caplog)
    assert f"The record of session {session_id} is not up to date in its store" in warning
    assert "database is locked" in warning
    assert seen[-1].state is SessionState.RUNNING
    assert _outcomes(_newest(root)) == [("count", Outcome.SUCCEEDED), ("scale", Outcome.SUCCEEDED)]


@pytest.mark.usefixtures("hurried")
def test_a_store_that_is_deleted_during_the_run(make_project, caplog):
    """A new store is made, which has the whole record."""
    root = make_project()

    def delete():
        for path in (root / ".treadle").glob("sessions.db*"):
            path.unlink()

    _run_with([delete, lambda: None], "sequential")
    record = _newest(root)
    assert record.outcome is Outcome.SUCCEEDED
    assert _outcomes(record) == [("count", Outcome.SUCCEEDED), ("scale", Outcome.SUCCEEDED)]
    assert _warnings(caplog) == []


def test_no_thread_can_be_started(make_project, caplog, monkeypatch):
    """The run goes on with one warning that says what to do, without a traceback; the record is written when it has ended."""
    root = make_project()

    def refuse(_thread):
        raise RuntimeError("can't start new thread")

    with Session.create() as current, monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        current.run()
    (warning,) = [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]
    assert "may start no more threads (can't start new thread): raise the limit (`ulimit -u`" in warning.getMessage()
    assert warning.exc_info is None
    assert _newest(root).outcome is Outcome.SUCCEEDED


@pytest.mark.usefixtures("hurried")
def test_rows_that_are_deleted_during_the_run(make_project, caplog, wait_until):
    """Rows that somebody deletes are written again."""
    root = make_project()

    def delete():
        with closing(sqlite3.connect(root / ".treadle" / "sessions.db", timeout=20)) as connection, connection:
            for table in ("workers", "nodes", "runs", "sessions"):
                connection.execute(f"DELETE FROM treadle_{table}")
        wait_until(lambda: _newest(root), "the session is recorded again")

    _run_with([delete, lambda: None], "sequential")
    assert _outcomes(_newest(root)) == [("count", Outcome.SUCCEEDED), ("scale", Outcome.SUCCEEDED)]
    assert _warnings(caplog) == []


FULL = """
import logging, resource, sys
from treadle import Session
from treadle.events import NodeFinished
from treadle.observe.store import live
from treadle.project import bootstrap_project

live.RETRY_SECONDS = live.INTERVAL_SECONDS = 0.02
live.HEARTBEAT_SECONDS = 0.1
live.START_SECONDS = live.STOP_SECONDS = 60.0  # a slow disk is not a full one
logging.basicConfig(format="%(levelname)s %(message)s", level=logging.WARNING)
warned = __import__("threading").Event()
logging.getLogger(live.__name__).addFilter(lambda record: warned.set() or True)
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

def act(event):
    if isinstance(event, NodeFinished) and event.node == "count":
        resource.setrlimit(resource.RLIMIT_FSIZE, (512, hard))
        assert warned.wait(30)
    elif isinstance(event, NodeFinished) and sys.argv[1] == "freed":
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

bootstrap_project(".")
with Session.create() as session:
    session.run(runner="sequential", observers=[act], node_names=["count", "scale"])
print("succeeded")
"""


@pytest.mark.parametrize("freed", [True, False], ids=["freed", "full to the end"])
def test_a_disk_that_is_full_during_the_run(make_project, freed):
    """The run succeeds with one warning. The record is complete if there is room again at the end; otherwise an error says so."""
    root = make_project()
    words = [sys.executable, "-c", FULL, "freed" if freed else "full"]
    done = subprocess.run(words, cwd=root, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert (done.stdout, done.returncode) == ("succeeded\n", 0), done.stderr
    said = [line for line in done.stderr.splitlines() if line.startswith(("WARNING", "ERROR"))]
    assert said[0].startswith("WARNING The record of session")
    assert len(said) == (1 if freed else 2)
    record = _newest(root)
    if freed:
        assert (record.state, record.outcome) == (SessionState.FINISHED, Outcome.SUCCEEDED)
        assert _outcomes(record) == [("count", Outcome.SUCCEEDED), ("scale", Outcome.SUCCEEDED)]
    else:
        assert said[1].startswith("ERROR The record of session")
        assert "The run itself succeeded" in said[1]
        assert record.state is SessionState.LOST


@pytest.fixture
def slow_disk(monkeypatch):
    """An event: until it is set, the thread that writes the record while the run goes on waits for the store's file."""
    monkeypatch.setattr(live, "START_SECONDS", 0.01)
    monkeypatch.setattr(live, "STOP_SECONDS", 0.01)
    answers, connect = threading.Event(), SQLStore._connect

    def connect_late(store):
        if threading.current_thread().name == "treadle-record":
            assert answers.wait(60)
        return connect(store)

    monkeypatch.setattr(SQLStore, "_connect", connect_late)
    yield answers
    answers.set()


def _recording_threads():
    return [thread for thread in threading.enumerate() if thread.name == "treadle-record"]


def test_a_late_write_does_not_replace_the_final_record(make_project, slow_disk, caplog):
    """What was to be written while the run went on, and had to wait for the disk until the session has closed, is not written."""
    root = make_project()
    _run_with([lambda: None, lambda: None], "sequential")
    (late,) = _recording_threads()
    slow_disk.set()
    late.join(60)
    assert not late.is_alive()
    record = _newest(root)
    assert (record.state, record.outcome) == (SessionState.FINISHED, Outcome.SUCCEEDED)
    assert _outcomes(record) == [("count", Outcome.SUCCEEDED), ("scale", Outcome.SUCCEEDED)]
    (warning,) = _warnings(caplog)
    assert "The session store has not answered" in warning


def test_the_record_is_written_again_after_a_save_that_gave_up(make_project, slow_disk, wait_until):
    """A save that fails because the disk is slow does not end the record of the run that goes on."""
    root = make_project()
    nodes = iter(["count", "scale"])

    def act(event):
        if type(event).__name__ == "NodeFinished" and next(nodes) == "count":
            with pytest.raises(StoreError, match="has not answered"):
                session.save()
            slow_disk.set()
            wait_until(lambda: _newest(root) and _newest(root).runs[0].nodes, "the first node is recorded")

    with Session.create() as session:
        session.run(runner="sequential", observers=[act])
    assert _newest(root).state is SessionState.FINISHED


def test_a_store_with_its_own_save_gets_whole_records(make_project, caplog):
    """A subclass of the store that overrides `save` sees everything that is stored: nothing is written before."""
    make_project(settings=f"from {__name__} import Counting as SESSION_STORE_CLASS\n")
    Counting.saved.clear()

    def look():
        assert Counting.saved == []

    session_id = _run_with([look, look], "sequential")
    assert [(record.session_id, record.outcome) for record in Counting.saved] == [(session_id, Outcome.SUCCEEDED)]
    assert _warnings(caplog) == []


class Counting(SQLStore):
    """A store that keeps what it is given."""

    saved: list = []  # noqa: RUF012 - of the class: the session makes its own instance

    def save(self, record):
        """Keep the record."""
        self.saved.append(record)


# --- forks and many processes ---------------------------------------------------------------------------------------------

FORKING = """
import os, sqlite3, threading

def count(raw):
    child = os.fork()
    if child == 0:
        # A lock of the database that another thread held at the fork would make this hang.
        names = [thread.name for thread in threading.enumerate()]
        with sqlite3.connect(".treadle/sessions.db") as connection:
            found = connection.execute("SELECT count(*) FROM treadle_sessions").fetchone()
        os._exit(0 if found == (1,) and "treadle-record" not in names else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert "treadle-record" in [thread.name for thread in threading.enumerate()]
    return len(raw)

def scale(n, factor):
    return n * factor

broken = count
"""


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")  # of pytest's watchdog thread, since Python 3.15
def test_a_node_that_forks_while_the_record_is_written(make_project, caplog):
    """The thread that writes the record does not exist in the child, and continues in the parent."""
    root = make_project()
    (package,) = (root / "src").iterdir()
    (package / "nodes.py").write_text(FORKING)
    with Session.create() as session:
        session.run(runner="sequential")
    assert _outcomes(_newest(root)) == [("count", Outcome.SUCCEEDED), ("scale", Outcome.SUCCEEDED)]
    assert _warnings(caplog) == []


PROCESSES = 8
AT_ONCE = """
import os, sys, traceback
from treadle import Session
from treadle.observe.store import live, live_writer, migrations  # once, for all children
from treadle.project import bootstrap_project

live_writer.BUSY_TIMEOUT = live.START_SECONDS = live.STOP_SECONDS = 60.0  # so many writers may wait for a slow disk
bootstrap_project(".")
released, release = os.pipe()
children = []
for number in range(int(sys.argv[1])):
    children.append(os.fork())
    if not children[-1]:
        try:
            os.close(release)
            os.read(released, 1)  # ends when no process holds the other end any more
            with Session.create() as session:
                session.run(runner="sequential")
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
os.close(release)
print([os.waitpid(child, 0)[1] for child in children])
"""


def test_eight_processes_run_at_once(make_project):
    """Eight sessions of one project on a store that does not exist yet: no error, no warning, each record complete."""
    root = make_project()
    words = [sys.executable, "-W", "error", "-c", AT_ONCE, str(PROCESSES)]
    done = subprocess.run(words, cwd=root, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert (done.stderr, json.loads(done.stdout)) == ("", [0] * PROCESSES)
    with closing(SQLStore(project_path=root)) as store:
        records = [store.load(each.session_id) for each in store.list()]
    assert len({record.pid for record in records}) == PROCESSES
    for record in records:
        assert (record.state, record.outcome) == (SessionState.FINISHED, Outcome.SUCCEEDED)
        assert _outcomes(record) == [("count", Outcome.SUCCEEDED), ("scale", Outcome.SUCCEEDED)]


# --- sessions show --follow -----------------------------------------------------------------------------------------------


def test_following_a_session(waiting_project, run_waiting, monkeypatch):
    """What has happened is told first, what happens then as it happens; it ends with the session."""
    monkeypatch.setattr(follow, "POLL_SECONDS", 0.05)
    run_waiting("sequential")
    with closing(SQLStore(project_path=waiting_project)) as store:
        lines = follow.follow_session(store, "20")
        first = [next(lines)[10:].partition(",")[0] for _ in range(4)]
        assert first[0].startswith("session 20")
        assert first[1:] == ["run 1 of 3 nodes", "✔ look succeeded", "… wait started on main"]
        (waiting_project / "gate").write_text("")
        rest = list(lines)
    assert [line[10:].partition(",")[0] for line in rest[:2]] == ["✔ wait succeeded", "✔ last succeeded"]
    assert "run 1 succeeded after" in rest[2]
    assert rest[3:] == ["The session has ended: succeeded."]


def test_ctrl_c_ends_following(waiting_project, run_waiting):
    """Ctrl-C ends the command with its usual exit code; the session continues."""
    process = run_waiting("sequential")
    words = [sys.executable, "-m", "treadle", "sessions", "show", "--follow", "20"]
    with subprocess.Popen(words, cwd=waiting_project, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as follower:
        assert "session 20" in follower.stdout.readline()
        follower.send_signal(signal.SIGINT)
        _, errors = follower.communicate(timeout=DEADLINE)
    assert (follower.returncode, errors.strip()) == (130, "Interrupted.")
    assert process.poll() is None
