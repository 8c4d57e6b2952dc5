"""Fifty processes that save into one new store at the same moment lose nothing."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from treadle.observe.store import SQLStore

PROCESSES = 50
SAVER = """
import sys
from treadle.events import Outcome
from treadle.observe.store import NodeRecord, RunRecord, SessionRecord, SQLStore
import treadle.observe.store.migrations
number = int(sys.argv[2])
nodes = tuple(NodeRecord(f"node {i}", 1, Outcome.SUCCEEDED, "main", 1.0, 2.0, sizes=(("d", i),)) for i in range(20))
run = RunRecord(1, "run", ("__default__",), "sequential", None, 1, 1.0, 2.0, Outcome.SUCCEEDED, nodes=nodes)
record = SessionRecord(
    session_id=f"2026-01-01T00.00.00.000Z-{number:08d}", project_path="p", package_name="p", env=None, conf_source="conf",
    extra_params={"number": number}, command=None, started=1.0, finished=2.0, outcome=Outcome.SUCCEEDED, user=None,
    host=None, pid=1, git_commit=None, git_dirty=None, environment={}, versions={}, runs=(run,),
)
store = SQLStore(project_path=sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
store.save(record)
store.close()
"""


def test_fifty_processes_save_at_once(tmp_path: Path) -> None:
    """All start, wait, and are released together onto a store that does not exist yet; every record is there, whole."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", SAVER, str(tmp_path), str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(PROCESSES)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    errors = [process.communicate(timeout=120)[1] for process in processes]
    assert [error for error in errors if error] == []
    assert [process.returncode for process in processes] == [0] * PROCESSES

    store = SQLStore(project_path=tmp_path)
    lines = store.list(limit=PROCESSES + 10)
    assert len(lines) == PROCESSES
    loaded = [store.load(line.session_id) for line in lines]
    assert sorted(record.extra_params["number"] for record in loaded) == list(range(PROCESSES))
    first = asdict(loaded[0].runs[0])
    assert len(first["nodes"]) == 20
    assert all(asdict(record.runs[0]) == first for record in loaded)
