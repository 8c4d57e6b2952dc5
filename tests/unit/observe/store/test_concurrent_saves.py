"""Fifty processes that save into one new store at the same moment lose nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from treadle.observe.store import SQLStore

PROCESSES = 50
SAVERS = """
import os, sys, traceback
from treadle.events import Outcome
from treadle.observe.store import NodeRecord, RunRecord, SessionRecord, SQLStore
import treadle.observe.store.migrations

def save(number):
    nodes = tuple(NodeRecord(f"node {i}", 1, Outcome.SUCCEEDED, "main", 1.0, 2.0, sizes=(("d", i),)) for i in range(20))
    run = RunRecord(1, "run", ("__default__",), "sequential", None, 1, 1.0, 2.0, Outcome.SUCCEEDED, nodes=nodes)
    record = SessionRecord(
        session_id=f"2026-01-01T00.00.00.000Z-{number:08d}", project_path="p", package_name="p", env=None, conf_source="conf",
        extra_params={"number": number}, command=None, started=1.0, finished=2.0, outcome=Outcome.SUCCEEDED, user=None,
        host=None, pid=1, git_commit=None, git_dirty=None, environment={}, versions={}, runs=(run,),
    )
    store = SQLStore(project_path=sys.argv[1])
    os.close(release)
    os.read(released, 1)  # ends when nobody holds the other end any more
    store.save(record)
    store.close()

released, release = os.pipe()
children = []
for number in range(int(sys.argv[2])):
    children.append(os.fork())
    if not children[-1]:
        try:
            save(number)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
os.close(release)
print([os.waitpid(child, 0)[1] for child in children])
"""


def test_fifty_processes_save_at_once(tmp_path: Path) -> None:
    """All start, wait, and are released together onto a store that does not exist yet; every record is there, whole."""
    words = [sys.executable, "-c", SAVERS, str(tmp_path), str(PROCESSES)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert done.stderr == ""
    assert json.loads(done.stdout) == [0] * PROCESSES

    store = SQLStore(project_path=tmp_path)
    lines = store.list(limit=PROCESSES + 10)
    assert len(lines) == PROCESSES
    loaded = [store.load(line.session_id) for line in lines]
    assert sorted(record.extra_params["number"] for record in loaded) == list(range(PROCESSES))
    first = loaded[0].runs[0]
    assert len(first.nodes) == 20
    assert all(record.runs[0] == first for record in loaded)
