"""The session store on a real PostgreSQL server, whose URL `TREADLE_TEST_POSTGRES` names (`.ci/run` starts one)."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from treadle.errors import StoreError
from treadle.events import Outcome
from treadle.observe.store import NodeRecord, RunRecord, SessionRecord, SQLStore

SERVER = os.environ.get("TREADLE_TEST_POSTGRES", "")
pytestmark = pytest.mark.skipif(not SERVER, reason="TREADLE_TEST_POSTGRES names no server")

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
def url():
    """An empty database of its own."""
    name = f"treadle_{uuid.uuid4().hex[:12]}"
    engine = create_engine(SERVER, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield make_url(SERVER).set(database=name).render_as_string(hide_password=False)
    with engine.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    engine.dispose()


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
