"""The record of a session with everything that an export has to deal with."""

from __future__ import annotations

import pytest

from treadle.events import ContentRecord, Dispatch, Outcome
from treadle.observe.store import ErrorRecord, NodeRecord, RunRecord, SessionRecord, WorkerRecord
from treadle.observe.store.log_lines import LogBatch, LogLine
from treadle.observe.store.memory_samples import MemoryRecord
from treadle.observe.store.run_graph import MEMORY, PARAMETERS, PERSISTENT, GraphDataset, GraphNode, RunGraph, Source

HOSTILE = "fit</script>\n\"'; DROP TABLE\t🙂 ü"
ERROR = ErrorRecord("ValueError", "bad \x1b[31m", "Traceback\nbad", HOSTILE)
CONTENT = ContentRecord("table", "/data/täble 1.csv", None, 77, 1, "xxh3:ab", 1)
SOURCE = Source("shop.nodes.fit", "nodes.py", 3)
GRAPH = RunGraph(
    (
        GraphNode("split", (0,), (1,), (), None, (), SOURCE, False, ()),
        GraphNode(HOSTILE, (1, 2), (3,), (0,), None, (), SOURCE, False, ()),
        GraphNode("plot", (3,), (), (1,), None, (), SOURCE, False, ()),
    ),
    (
        GraphDataset("raw", PERSISTENT),
        GraphDataset("table", PERSISTENT),
        GraphDataset("params:depth", PARAMETERS),
        GraphDataset("model", MEMORY),
    ),
)
NODES = (
    NodeRecord("split", 1, Outcome.SUCCEEDED, "worker-1", 10.5, 12.0, 0.25, 1.0, 0.25, (("table", 5),), (CONTENT,)),
    # The first attempt ends, as the parent measured it, after the second has begun on the same worker.
    NodeRecord(HOSTILE, 1, Outcome.FAILED, "worker-1", 12.0, 13.01, error=ERROR, dispatch=Dispatch(12.0)),
    NodeRecord(HOSTILE, 2, Outcome.FAILED, "worker-1", 13.0, 14.0, error=ERROR),
    NodeRecord("plot", 0, Outcome.SKIPPED),
)
WORKERS = (
    WorkerRecord("main", 1, 10.0),
    WorkerRecord("worker-1", 2, 10.4, lost=14.0, exitcode=-9, launched=10.1),
    WorkerRecord("worker-10", 4, 10.4, launched=10.1),
    WorkerRecord("worker-2", 3, 10.4, launched=10.1),
)
MEMORY_RECORD = MemoryRecord(None, (10.0, 11.0), (("main", (5, 6)), ("worker-1", (None, 7))))


@pytest.fixture(scope="session")
def make_session():
    """Make a session of one run, with changes to either."""

    def make(run=None, **changes):
        facts = {
            "number": 1,
            "run_id": "id",
            "pipelines": ("train",),
            "runner": "parallel",
            "start_method": "spawn",
            "worker_count": 2,
            "started": 10.0,
            "finished": 15.0,
            "outcome": Outcome.FAILED,
            "nodes": NODES,
            "log": (LogBatch.of([LogLine(10.6, "INFO", "shop", HOSTILE, "split", 1, "worker-1")]),),
            "workers": WORKERS,
            "error": ERROR,
            "node_count": 3,
            "graph": GRAPH,
            "memory": MEMORY_RECORD,
        }
        about = {
            "session_id": "2026-01-31T12.00.00.000Z-abcdefgh",
            "project_path": "/somewhere/shop",
            "package_name": "shop",
            "env": None,
            "conf_source": "/somewhere/shop/conf",
            "extra_params": {"depth": 5},
            "command": "treadle run",
            "started": 9.0,
            "finished": 16.0,
            "outcome": Outcome.FAILED,
            "user": "ada",
            "host": "loom",
            "pid": 1,
            "git_commit": None,
            "git_dirty": None,
            "environment": {},
            "versions": {"treadle": "0.1.0"},
            "runs": (RunRecord(**{**facts, **(run or {})}),),
        }
        return SessionRecord(**{**about, **changes})

    return make


@pytest.fixture
def running(make_session):
    """Return a session that is running, as is its second node."""
    nodes = (NODES[0], NodeRecord(HOSTILE, 1, None, "worker-1", 12.0))
    return make_session({"finished": None, "outcome": None, "nodes": nodes, "error": None}, finished=None, heartbeat=14.5)
