"""What the record of a Kedro run has besides the times of its nodes, under each start method."""

from __future__ import annotations

from contextlib import closing

import pytest

from treadle.observe.store import SQLStore
from treadle.observe.store.log_lines import log_lines
from treadle.trace_ids import span_id, traceparent_of

pytest.importorskip("kedro", reason="the Kedro runner's tests need Kedro")

TRACE = "0af7651916cd43dd8448eb211c80319c"  # of the variable that run_pipelines.py sets


@pytest.fixture
def record(lane_runs):
    """The record of the one run that is recorded."""
    with closing(SQLStore(project_path=lane_runs["aloud"].root.parent.parent)) as store:
        (summary,) = store.list()
        return store.load(summary.session_id)


def test_params_logs_and_spans(record):
    """The params that nodes load, masked; what they log, with node, attempt and worker; each node runs in its own span."""
    (run,) = record.runs
    assert run.parameters == {"params:login": {"user": "ada", "api_key": "***"}}
    (line,) = [line for line in log_lines(run.log) if line.logger == "lane.nodes"]
    assert (line.node, line.attempt, line.level) == ("speak", 1, "WARNING")
    assert line.worker == run.nodes[0].worker
    assert line.text == f"the span is {traceparent_of(TRACE, span_id(record.session_id, 1, 'speak'))}"
    assert TRACE in record.environment["TRACEPARENT"]
    assert "b7ad6b7169203331" in record.environment["TRACEPARENT"]  # not the span of a node in this process
