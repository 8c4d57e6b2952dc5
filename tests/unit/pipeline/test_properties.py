"""Random pipelines: what holds for every one of them, and that large ones stay linear."""

from __future__ import annotations

import random
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.errors import CircularDependencyError, PipelineError
from treadle.pipeline import Node, Pipeline, node, pipeline
from treadle.pipeline.graph import Graph


def same(*values: Any) -> Any:
    return values


@st.composite
def dags(draw: st.DrawFn) -> list[Node]:
    """Nodes n0, n1, … where each takes outputs of earlier ones, in a random order; some tagged, some in formats."""
    made = []
    for number in range(draw(st.integers(1, 12))):
        before = draw(st.sets(st.integers(0, number - 1), max_size=3)) if number else set()
        kind = draw(st.sampled_from(["", "@x", "@y"])) if before else ""
        inputs = [f"d{each}{'@in' if each % 3 == 0 else ''}" for each in sorted(before)]
        outputs = f"d{number}{'@out' if number % 3 == 0 else ''}"
        inputs += [f"raw{kind}"] if kind else []
        made.append(node(same, inputs, outputs, name=f"n{number}", tags=draw(st.sampled_from([None, "even", "odd"]))))
    return draw(st.permutations(made))


@given(dags())
def test_parents_come_first(nodes: list[Node]) -> None:
    """Each node stands once, after all it waits for, and layers agree."""
    pipe = Pipeline(nodes)
    assert sorted(made.name for made in pipe) == sorted(made.name for made in nodes)
    place = {made: index for index, made in enumerate(pipe)}
    layer = {made: depth for depth, level in enumerate(pipe.grouped_nodes) for made in level}
    for made, befores in pipe.node_dependencies.items():
        assert all(place[before] < place[made] for before in befores)
        assert layer[made] == max((layer[before] + 1 for before in befores), default=0)


@given(dags())
def test_order_is_stable(nodes: list[Node]) -> None:
    """The same nodes in the same order give the same pipeline, and ordering again changes nothing."""
    pipe = Pipeline(nodes)
    assert Pipeline(nodes).nodes == pipe.nodes
    assert Pipeline(pipe.nodes).nodes == pipe.nodes
    given_at = {made: index for index, made in enumerate(nodes)}
    done: set[Node] = set()
    for made in pipe:  # of all that could come next, the one given first comes
        ready = [each for each, befores in pipe.node_dependencies.items() if each not in done and befores <= done]
        assert made == min(ready, key=given_at.__getitem__)
        done.add(made)


@given(dags(), st.data())
def test_filters_relate(nodes: list[Node], data: st.DataObject) -> None:
    """From and to are each other's mirror, selections keep the order, and filters narrow by intersection."""
    pipe = Pipeline(nodes)
    one, other = (data.draw(st.sampled_from(pipe.nodes)).name for _ in range(2))
    later, earlier = pipe.from_nodes(one), pipe.to_nodes(other)
    assert (pipe.node(other) in later) == (pipe.node(one) in earlier)
    assert list(later) == [made for made in pipe if made in later]
    (output,) = pipe.node(other).outputs
    assert pipe.to_outputs(output) == earlier
    if pipe.node(other) in later:
        assert pipe.filter(from_nodes=one, to_nodes=other) == later & earlier
    else:
        with pytest.raises(PipelineError):
            pipe.filter(from_nodes=one, to_nodes=other)
    children = pipe.only_nodes_with_inputs(output) if output in pipe.all_inputs() else Pipeline([])
    assert children.nodes == tuple(made for made in pipe if output in made.inputs)
    assert later - (later & earlier) == later - earlier


@given(dags(), st.integers(0, 12))
def test_parts_add_up(nodes: list[Node], cut: int) -> None:
    """However a pipeline is cut in two, the parts add up to it."""
    whole = Pipeline(nodes)
    one, other = Pipeline(nodes[:cut]), Pipeline(nodes[cut:])
    assert one + other == whole == other | one
    assert (one + other).graph == Pipeline([*one, *other]).graph
    assert (one + other).inputs() == whole.inputs()
    assert (one + other).outputs() == whole.outputs()
    assert whole - one == other
    assert whole & one == one


@given(dags())
def test_a_namespace_changes_names_only(nodes: list[Node]) -> None:
    """A copy under a namespace is wired as the original is."""
    pipe = Pipeline(nodes)
    copy = pipeline(pipe, namespace="s")
    assert copy.graph == pipe.graph
    assert [made.name for made in copy] == [f"s.{made.name}" for made in pipe]
    assert copy.inputs() == {f"s.{name}" for name in pipe.inputs()}


@given(dags(), st.data())
def test_a_backward_edge_is_a_cycle(nodes: list[Node], data: st.DataObject) -> None:
    """An edge from a node back to one it waits for is a cycle, and the error names nodes on the way only."""
    pipe = Pipeline(nodes)
    late = data.draw(st.sampled_from(pipe.nodes))
    early = data.draw(st.sampled_from(pipe.to_nodes(late.name).nodes))
    if early == late:
        return
    back = Node(same, [*early.inputs, "back"], list(early.outputs), name=early.name)
    late_too = Node(same, list(late.inputs), [*late.outputs, "back"], name=late.name)
    others = [made for made in nodes if made not in (early, late)]
    with pytest.raises(CircularDependencyError) as caught:
        Pipeline([*others, back, late_too])
    between = {made.name for made in pipe.filter(from_nodes=early.name, to_nodes=late.name)}
    assert {early.name, late.name} <= set(caught.value.nodes or ()) <= between


@given(st.lists(st.lists(st.integers(0, 9), max_size=4, unique=True), min_size=10, max_size=10))
def test_cycles_are_real(parents: list[list[int]]) -> None:
    """On any graph, either the order is whole or the cycle is one."""
    graph = Graph.from_parents(parents)
    order, cycle = graph.order(), graph.cycle()
    assert (len(order) == len(graph)) == (not cycle)
    assert len(set(cycle)) == len(cycle)
    for before, after in zip(cycle, [*cycle[1:], *cycle[:1]], strict=True):
        assert before in graph.parents[after]


def test_twenty_thousand_nodes_in_any_order() -> None:
    """A long chain given backwards and shuffled is put in order without recursion, and filtered."""
    count = 20_000
    chain = [node(same, f"d{number}", f"d{number + 1}", name=f"n{number}") for number in range(count)]
    expected = tuple(chain)
    assert Pipeline(reversed(chain)).nodes == expected
    random.Random(7).shuffle(chain)
    pipe = Pipeline(chain)
    assert pipe.nodes == expected
    assert len(pipe.grouped_nodes) == count
    assert len(pipe.filter(from_nodes=f"n{count // 2}", to_outputs=f"d{count - 1}")) == count // 2 - 1


def test_five_hundred_copies() -> None:
    """Many namespaced copies of a pipeline make one, listed or summed, in calls that grow with the nodes and no faster."""

    def calls_of(count: int) -> tuple[int, list[Pipeline], Pipeline]:
        calls = 0

        def watch(_frame: Any, event: str, _argument: Any) -> None:
            nonlocal calls
            calls += event == "call"

        earlier = sys.getprofile()
        sys.setprofile(watch)
        try:
            copies = [pipeline(base, namespace=f"s{number}", inputs="d0") for number in range(count)]
            whole = Pipeline(copies)
        finally:
            sys.setprofile(earlier)
        return calls, copies, whole

    base = Pipeline([node(same, f"d{number}", f"d{number + 1}", name=f"n{number}") for number in range(10)])
    few, _, _ = calls_of(50)
    calls, copies, whole = calls_of(500)
    assert calls < 10.5 * few
    assert calls < 60 * len(whole)  # Python makes some millions of calls a second: well under a second
    assert len(whole) == 5000
    assert whole.inputs() == {"d0"}
    assert sum(copies) == whole
