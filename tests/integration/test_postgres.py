"""The session store on a real PostgreSQL server, whose URL `TREADLE_TEST_POSTGRES` names (`.ci/run` starts one)."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from sqlalchemy import make_url

from treadle import Session
from treadle.errors import StoreError
from treadle.events import ContentRecord, NodeFinished, Outcome
from treadle.observe.store import NodeRecord, RunRecord, SessionRecord, SessionState, SQLStore, live
from treadle.observe.store.engine import EngineDatabase
from treadle.observe.store.memory_samples import MemoryRecord
from treadle.observe.store.migrations import ALL_MIGRATIONS, migrate
from treadle.planning.reuse.facts import LastSuccess

PROCESSES = 8
SAVER = """
import dataclasses, os, sys
from treadle.observe.store import SQLStore
sys.path.insert(0, sys.argv[2])
from test_postgres import record
store = SQLStore(os.environ["STORE"])
print("ready", flush=True)
sys.stdin.readline()
store.save(record(int(sys.argv[1])))
store.close()
"""


def record(number):
    """Make a session of one run of three nodes."""
    sizes = (("d", 5_000_000_000),)
    nodes = tuple(NodeRecord(f"node {i}", 1, Outcome.SUCCEEDED, "worker-1", 1.0, 2.5, sizes=sizes) for i in range(3))
    run = RunRecord(1, "run", ("__default__",), "parallel", "spawn", 2, 1.0, 2.0, Outcome.SUCCEEDED, nodes=nodes)
    return SessionRecord(
        session_id=f"2026-01-01T00.00.00.000Z-{number:08d}",
        project_path="p",
        package_name="p",
        env=None,
        conf_source="conf",
        extra_params={"number": number, "nested": {"a": [1, None, "ü"]}},
        command=None,
        started=1.0,
        finished=2.0,
        outcome=Outcome.SUCCEEDED,
        user=None,
        host=None,
        pid=1,
        git_commit=None,
        git_dirty=True,
        environment={},
        versions={},
        runs=(run,),
    )


@pytest.fixture
def url(postgres_url):
    """An empty database of its own."""
    return postgres_url


def test_processes_that_save_at_once_lose_nothing(url):
    """All are released together onto a database without tables; each record is there, whole, and says how long nodes take."""
    command = [sys.executable, "-c", SAVER]
    here = str(Path(__file__).parent)
    processes = [
        subprocess.Popen(
            [*command, str(number), here],
            env={**os.environ, "STORE": url},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(PROCESSES)
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    assert [process.communicate(timeout=120)[1] for process in processes] == [""] * PROCESSES
    assert [process.returncode for process in processes] == [0] * PROCESSES

    store = SQLStore(url)
    lines = store.list(limit=PROCESSES + 5)
    assert [line.session_id for line in lines] == [record(number).session_id for number in reversed(range(PROCESSES))]
    assert [store.load(line.session_id) for line in reversed(lines)] == [record(number) for number in range(PROCESSES)]
    assert store.durations() == {"node 0": 1.5, "node 1": 1.5, "node 2": 1.5}
    store.save(record(3))  # again: it replaces
    assert len(store.list(limit=PROCESSES + 5)) == PROCESSES
    store.close()


def test_a_server_that_refuses_is_a_clear_error(url):
    """A wrong password is told in one paragraph that shows no password at all."""
    secret = "open-sesame"
    store = SQLStore(make_url(url).set(password=secret).render_as_string(hide_password=False))
    with pytest.raises(StoreError) as caught:
        store.list()
    told = str(caught.value)
    assert "postgresql" in told
    assert "SESSION_STORE_ARGS" in told
    assert secret not in told
    assert make_url(url).password not in told


def test_a_database_of_an_earlier_version(url, tmp_path):
    """Its records stay, and sessions that have not finished are added."""
    with EngineDatabase(url, tmp_path).connect(60) as connection:
        assert migrate(connection, ALL_MIGRATIONS[:2]) == 2
        with connection.transaction(writes=True):
            connection.execute(
                "INSERT INTO treadle_sessions (session_id, project_path, package_name, conf_source, extra_params, started, "
                "finished, pid, environment, versions) VALUES ('2025', 'p', 'p', 'c', '{}', 1.0, 2.0, 1, '{}', '{}')"
            )
    with contextlib.closing(SQLStore(url)) as store:
        assert store.load("2025").state is SessionState.FINISHED
        store.save(record(1))
        assert store.load("2026") == record(1)


def test_old_sessions_are_removed(url):
    """As in a file: the newest stay, and the last successes of nodes."""
    with contextlib.closing(SQLStore(url)) as store:
        for number in range(3):
            store.save(record(number))
        success = LastSuccess(record(0).session_id, 1.0, {"part": "x"}, (), ())
        store.save_successes("p", None, {"node 0": success})
        assert store.prune(keep=1) == (record(1).session_id, record(0).session_id)
        assert [each.session_id for each in store.list()] == [record(2).session_id]
        assert store.last_successes("p", None)["node 0"] == success


class Proxy:
    """Passes connections on to a server; without it, the server cannot be reached at this address."""

    def __init__(self, host, port):
        self._server = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._sockets = []
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _accept(self, listener):
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                server = socket.create_connection(self._server)
                self._sockets += [client, server]
                for source, target in ((client, server), (server, client)):
                    threading.Thread(target=self._pass_on, args=(source, target), daemon=True).start()

    @staticmethod
    def _pass_on(source, target):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_RDWR)

    def disappear(self):
        """Refuse new connections, and break those that are open."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self._sockets.clear()

    def come_back(self):
        """Pass connections on again, at the same port."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()


@pytest.mark.parametrize("comes_back", [True, False])
def test_a_server_that_disappears_during_the_run(url, make_loom, in_project, monkeypatch, caplog, wait_until, comes_back):
    """The run succeeds with one warning; if the server comes back, everything is recorded."""
    for name in ("INTERVAL_SECONDS", "RETRY_SECONDS"):
        monkeypatch.setattr(live, name, 0.02)
    monkeypatch.setattr(live, "HEARTBEAT_SECONDS", 0.1)
    monkeypatch.setattr(live, "START_SECONDS", 60.0)  # a server that is slow has not disappeared
    server = make_url(url)
    proxy = Proxy(server.host, server.port)
    root = make_loom()
    through = server.set(host="127.0.0.1", port=proxy.port).render_as_string(hide_password=False)
    settings = root / "src" / "loom" / "settings.py"
    settings.write_text(f"{settings.read_text()}\nSESSION_STORE_ARGS = {{'url': {through!r}}}\n")
    finished = []

    def act(event):
        if isinstance(event, NodeFinished):
            finished.append(event.node)
            if len(finished) == 2:
                proxy.disappear()
                wait_until(lambda: _warnings(caplog), "the warning")
            elif len(finished) == 4 and comes_back:
                proxy.come_back()

    with in_project(root), caplog.at_level(logging.WARNING), Session.create() as session:
        session.run(runner="sequential", observers=[act])
    said = _warnings(caplog)
    assert "is not up to date in its store: The session store at postgresql" in said[0]
    with contextlib.closing(SQLStore(url)) as store:
        kept = store.load(session.session_id)
    if comes_back:
        assert len(said) == 1
        assert (kept.state, kept.outcome) == (SessionState.FINISHED, Outcome.SUCCEEDED)
        assert {node.node for node in kept.runs[0].nodes} == set(finished)
        proxy.disappear()
    else:
        assert len(said) == 2
        assert "The run itself succeeded" in said[1]
        assert kept.finished is None
        assert {node.node for node in kept.runs[0].nodes if node.outcome is not None} <= set(finished[:2])


def _warnings(caplog):
    return [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING and "session" in each.getMessage()]


def test_last_successes_of_processes_that_run_the_same_project(url):
    """Eight writers replace the successes of the same nodes at once: none fails, and each node has one of them, whole."""
    start = threading.Barrier(PROCESSES)
    failures = []

    def write(number):
        store = SQLStore(url)
        content = ContentRecord("table", f"/data/{number}", None, number, 1, f"xxh3:{number}", 2)
        parts = {"param number": str(number), "shared": "1"}
        successes = {f"node {i}": LastSuccess(f"session {number}", float(number), parts, (content,)) for i in range(50)}
        start.wait()
        try:
            store.save_successes("p", None, successes)
        except StoreError as exc:
            failures.append(exc)
        finally:
            store.close()

    threads = [threading.Thread(target=write, args=(number,)) for number in range(PROCESSES)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    store = SQLStore(url)
    found = store.last_successes("p", None)
    store.close()
    assert len(found) == 50
    for success in found.values():
        number = success.session_id.removeprefix("session ")
        assert success.parts == {"param number": number, "shared": "1"}
        assert success.outputs[0].digest == f"xxh3:{number}"


def test_what_a_report_needs_is_stored(url, records):
    """The graph, the params and the memory of a run, when its nodes were sent, and the history of its project."""
    node = records.attempt("a", "worker-1", 1.0, 2.0, sent=0.5, assigned=0.4, until=0.2)
    graph = records.graph({"a": ()}, resources={"a": (("gpu", 1),)}, limits={"gpu": 1})
    session = records.session(graph, [node], wall=3.0, session_id="s2")
    memory = MemoryRecord(10, (1001.0,), (("main", (5,)), ("worker-1", (None,))))
    whole = session._replace(runs=(session.runs[0]._replace(memory=memory, parameters={"params:x": {"y": 1}}),))
    with contextlib.closing(SQLStore(url)) as store:
        store.save(whole._replace(session_id="s1"))
        store.save(whole)
        assert store.load("s2") == whole
        assert [(run.session_id, run.nodes) for run in store.history("s2")] == [("s1", {"a": 1.0})]
