"""The span of a node is the current one while it runs: in TRACEPARENT, and in OpenTelemetry's context."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from opentelemetry import trace

from treadle import Catalog, NodeError, Pipeline, SequentialRunner, node
from treadle.cli.scaffold import create_project
from treadle.hooks import create_hook_manager
from treadle.session.tracing import traced_nodes
from treadle.trace_ids import span_id, trace_of, traceparent_of

SESSION = "2026-01-31T12.00.00.000Z-abcdefgh"
GIVEN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
NODES = """
import json, os
from opentelemetry.sdk.trace import TracerProvider

def look():
    with TracerProvider().get_tracer("mine").start_as_current_span("mine") as span:
        seen = [os.environ["TRACEPARENT"], f"{span.context.trace_id:032x}", f"{span.parent.span_id:016x}"]
    with open("seen.json", "w") as file:
        json.dump(seen, file)
    return seen
"""
PIPELINE = """
from treadle import Pipeline, node
from shop.pipelines.looking.nodes import look
def create_pipeline():
    return Pipeline([node(look, None, "seen", name="look")])
"""


def look(_):
    """Return the variable, and the current span."""
    context = trace.get_current_span().get_span_context()
    return os.environ.get("TRACEPARENT"), f"{context.trace_id:032x}", f"{context.span_id:016x}"


def fail():
    raise ValueError(look(None))


def test_the_span_of_a_node_is_current(any_runner, way):
    """Each node sees its own span; with several threads, only in OpenTelemetry's context. Afterwards all is as before."""
    names = [f"look_{number}" for number in range(4)]
    pipeline = Pipeline([node(look, "params:x", f"out_{name}", name=name) for name in names])
    hooks, own = create_hook_manager(), trace_of(SESSION, None)
    trace_id = own.trace_id
    with traced_nodes(hooks, any_runner, own, SESSION, 1):
        result = any_runner.run(pipeline, Catalog({"params:x": 1}), hooks=hooks)
    for name in names:
        span = span_id(SESSION, 1, name)
        variable = None if way == "thread" else traceparent_of(trace_id, span)
        assert tuple(result[f"out_{name}"]) == (variable, trace_id, span)
    after = any_runner.run(Pipeline([node(look, "params:x", "out", name="after")]), Catalog({"params:x": 1}), hooks=hooks)
    assert tuple(after["out"]) == (None, "0" * 32, "0" * 16)
    assert not hooks.get_plugins()
    assert look(None) == (None, "0" * 32, "0" * 16)


def test_a_failed_node_leaves_nothing(monkeypatch):
    """After a node that raised, the variable has the value that it had before."""
    monkeypatch.setenv("TRACEPARENT", GIVEN)
    hooks = create_hook_manager()
    with traced_nodes(hooks, SequentialRunner(), trace_of(SESSION, GIVEN), SESSION, 2), pytest.raises(NodeError) as caught:
        SequentialRunner().run(Pipeline([node(fail, None, "never", name="fail")]), Catalog({}), hooks=hooks)
    assert traceparent_of(GIVEN.split("-")[1], span_id(SESSION, 2, "fail")) in str(caught.value.__cause__)
    assert look(None) == (GIVEN, "0" * 32, "0" * 16)


def test_spans_of_a_node_join_those_of_the_export(tmp_path):
    """A span of the user's code in a worker has the exported span of its node as its parent, in the caller's trace.

    Tracing changes no data, so a node is up to date with and without it.
    """
    root = create_project("starter", tmp_path / "shop", project_name="Shop", package_name="shop")
    folder = root / "src" / "shop" / "pipelines" / "looking"
    folder.mkdir()
    for name, text in {
        "__init__": "from shop.pipelines.looking.pipeline import create_pipeline",
        "nodes": NODES,
        "pipeline": PIPELINE,
    }.items():
        (folder / f"{name}.py").write_text(text)
    (root / "conf" / "base" / "catalog_looking.yml").write_text(
        "seen:\n  type: json.JSONDataset\n  filepath: data/08_reporting/seen.json\n"
    )

    def treadle(*words, **environment):
        own = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
        command = [sys.executable, "-m", "treadle", *words]
        done = subprocess.run(
            command, cwd=root, env={**own, **environment}, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr
        return done

    treadle("run", "--pipelines", "looking", "--workers", "2", TRACEPARENT=GIVEN)
    variable, trace_id, parent = json.loads((root / "seen.json").read_text())
    assert variable == traceparent_of(trace_id, parent)
    assert trace_id == GIVEN.split("-")[1]
    lines = treadle("sessions", "export", "2", "--format", "otlp", "-o", "-").stdout.splitlines()
    spans = [span for line in lines for span in json.loads(line)["resourceSpans"][0]["scopeSpans"][0]["spans"]]
    assert {span["traceId"] for span in spans} == {trace_id}
    assert spans[0]["parentSpanId"] == GIVEN.split("-")[2]
    assert [span["name"] for span in spans if span["spanId"] == parent] == ["look"]
    assert "1 up to date" in treadle("run", "--pipelines", "looking", "--skip-unchanged").stderr
