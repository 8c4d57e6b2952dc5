"""The graph of a run as its record keeps it."""

from __future__ import annotations

import functools

import pytest

from treadle import Catalog, NodePolicy, Pipeline, node
from treadle.events import Outcome
from treadle.observe.store import RunRecorder, SessionRecord, SQLStore
from treadle.observe.store.run_graph import GraphDataset, RunGraph, Source, graph_of, source_of, used_parameters
from treadle.planning import compile_plan

SESSION = SessionRecord(
    session_id="s", project_path="p", package_name="p", env=None, conf_source="conf", extra_params={}, command=None, started=1.0,
    finished=3.0, outcome=None, user=None, host=None, pid=1, git_commit=None, git_dirty=None, environment={}, versions={},
)  # fmt: skip


def clean(table, limit):
    return table[:limit]


def wrapped(func):
    @functools.wraps(func)
    def inner(*args):
        return func(*args)

    return inner


class Model:
    def __call__(self, table):
        return table


def make_plan():
    nodes = [
        node(clean, ["table", "params:limit"], "cleaned", name="clean", namespace="prepare", tags=["b", "a"]),
        node(Model(), "cleaned", "model", name="train", policy=NodePolicy(resources={"gpu": 1})),
    ]
    pipeline = Pipeline(nodes)
    return compile_plan(pipeline, Catalog({"table": "abc", "params:limit": 2}))


def test_a_graph_describes_the_plan():
    """Names, datasets with their kinds, parents, namespaces, tags, resources and sources, as in the plan."""
    plan = make_plan()
    graph = graph_of(plan, {"gpu": 2})
    first, second = graph.nodes
    assert (first.namespace, first.tags, first.parents, first.resources) == ("prepare", ("a", "b"), (), ())
    assert (second.parents, second.resources, graph.limits) == ((0,), (("gpu", 1),), {"gpu": 2})
    assert [graph.datasets[index].name for index in second.inputs] == [plan.datasets[plan.nodes[1].inputs[0]].name]
    assert GraphDataset("params:limit", "parameters") in graph.datasets
    assert first.source.line == clean.__code__.co_firstlineno


def test_a_graph_is_the_same_after_it_was_stored():
    """Its text is read as an equal graph with the same digest."""
    graph = graph_of(make_plan(), {"gpu": 2})
    again = RunGraph.from_text(graph.text)
    assert again == graph
    assert again.digest == graph.digest


@pytest.mark.parametrize(
    ("func", "function", "line"),
    [
        (functools.partial(clean, limit=2), f"{__name__}.clean", clean.__code__.co_firstlineno),
        (wrapped(clean), f"{__name__}.clean", clean.__code__.co_firstlineno),
        (Model(), f"{__name__}.Model", Model.__call__.__code__.co_firstlineno),
        (len, "len", None),
    ],
    ids=["partial", "decorated", "object", "builtin"],
)
def test_the_source_is_where_the_users_code_is(func, function, line):
    """Wrappers are looked through; a builtin has no file."""
    assert source_of(func) == Source(function, __file__ if line else None, line)


def test_equal_graphs_are_stored_once(tmp_path):
    """Two sessions with the same graph share one row, and each has the graph when it is read."""
    store = SQLStore(project_path=tmp_path)
    for number in (1, 2):
        recorder = RunRecorder("id", number=1, pipelines=(), runner="sequential", params={}, started=1.0)
        recorder.plan_ready(make_plan(), {})
        run = recorder.record(Outcome.SUCCEEDED, finished=2.0)
        store.save(SESSION._replace(session_id=f"s{number}", runs=(run,)))
    assert store.load("s1").runs[0].graph == store.load("s2").runs[0].graph == graph_of(make_plan(), {})
    with store._connected("read") as connection:
        assert connection.select_value("SELECT COUNT(*) FROM treadle_graphs") == 1
    store.close()


def test_the_params_that_nodes_load_are_recorded():
    """Only those, by the name of their dataset; a very long one by its beginning."""
    graph = graph_of(make_plan(), {})
    assert used_parameters(graph, {"limit": 3, "prepare": {"limit": 5}, "other": 1}) == {"params:limit": 3}
    (text,) = used_parameters(graph, {"limit": list(range(5000))}).values()
    assert text.startswith("[0, 1, 2")
    assert len(text) < 5000
    assert used_parameters(graph, {}) == {}
