"""The filters: which nodes each lets pass, and what it says to names nobody has."""

from __future__ import annotations

from typing import Any

import pytest

from treadle.errors import PipelineError, UnknownNameError
from treadle.pipeline import Node, Pipeline, node


def step(inputs: Any, outputs: Any, name: str, **more: Any) -> Node:
    return node(lambda *values: values, inputs, outputs, name=name, **more)


def names(pipe: Pipeline) -> list[str]:
    return [each.name for each in pipe]


@pytest.fixture
def flow() -> Pipeline:
    """Wire raw -> load -> (north.fit, south.deep.fit) -> compare, and a lone node beside them."""
    return Pipeline(
        [
            step("raw", "table@pandas", "load", tags=["io", "early"]),
            step(["table@pandas", "params:rate"], "north.model", "fit", tags="model", namespace="north"),
            step("table@spark", "south.model", "fit", tags=["model", "slow"], namespace="south.deep"),
            step(["north.model", "south.model"], "report", "compare"),
            step("other", "aside", "lone", tags="io"),
        ]
    )


NORTH, SOUTH = "north.fit", "south.deep.fit"


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"node_names": ["compare", "load"]}, ["load", "compare"]),
        ({"tags": "io"}, ["load", "lone"]),
        ({"tags": ["slow", "early"]}, ["load", SOUTH]),
        ({"from_nodes": [NORTH]}, [NORTH, "compare"]),
        ({"to_nodes": [NORTH]}, ["load", NORTH]),
        ({"from_nodes": ["load"], "to_nodes": [SOUTH]}, ["load", SOUTH]),
        ({"from_inputs": ["params:rate"]}, [NORTH, "compare"]),
        ({"from_inputs": ["table"]}, [NORTH, SOUTH, "compare"]),
        ({"from_inputs": ["table@spark"]}, [SOUTH, "compare"]),
        ({"to_outputs": ["table"]}, ["load"]),
        ({"to_outputs": ["report"]}, ["load", NORTH, SOUTH, "compare"]),
        ({"to_outputs": ["aside", "north.model"]}, ["load", NORTH, "lone"]),
        ({"namespaces": ["south"]}, [SOUTH]),
        ({"namespaces": ["north", "south.deep"]}, [NORTH, SOUTH]),
        ({"tags": ["model"], "from_inputs": ["params:rate"], "to_outputs": ["report"]}, [NORTH]),
        ({}, ["load", NORTH, SOUTH, "compare", "lone"]),
        ({"tags": [], "node_names": ()}, ["load", NORTH, SOUTH, "compare", "lone"]),
    ],
)
def test_filters(flow: Pipeline, filters: Any, expected: list[str]) -> None:
    """Each filter lets its nodes pass, several narrow one another, empty ones do nothing, and order stays."""
    assert names(flow.filter(**filters)) == expected


def test_single_selections(flow: Pipeline) -> None:
    """The methods choose as the filters of the same name do."""
    assert flow.only_nodes(NORTH) == flow.filter(node_names=NORTH)
    assert flow.only_nodes_with_tags("io", "slow") == flow.filter(tags=["io", "slow"])
    assert flow.only_nodes_with_namespaces("south") == flow.filter(namespaces="south")
    assert flow.from_nodes(SOUTH) == flow.filter(from_nodes=SOUTH)
    assert flow.to_nodes(SOUTH) == flow.filter(to_nodes=SOUTH)
    assert flow.from_inputs("raw") == flow.filter(from_inputs="raw")
    assert flow.to_outputs("aside") == flow.filter(to_outputs="aside")


def test_direct_neighbours(flow: Pipeline) -> None:
    """Nodes that take or make a dataset themselves are chosen without those further on."""
    assert names(flow.only_nodes_with_inputs("table")) == [NORTH, SOUTH]
    assert names(flow.only_nodes_with_inputs("table@pandas", "other")) == [NORTH, "lone"]
    assert names(flow.only_nodes_with_outputs("table", "report")) == ["load", "compare"]
    assert names(flow.only_nodes_with_outputs("raw")) == []


@pytest.mark.parametrize(
    ("filters", "unknown", "close"),
    [
        ({"node_names": ["laod"]}, "laod", "load"),
        ({"from_nodes": ["fit"]}, "fit", NORTH),
        ({"to_nodes": ["COMPARE"]}, "COMPARE", "compare"),
        ({"tags": ["io", "modle"]}, "modle", "model"),
        ({"from_inputs": ["tabel"]}, "tabel", "table"),
        ({"to_outputs": ["model"]}, "model", "north.model"),
        ({"namespaces": ["sout"]}, "sout", "south"),
    ],
)
def test_unknown_names_suggest_close_ones(flow: Pipeline, filters: Any, unknown: str, close: str) -> None:
    """A name nobody has is an error with close matches; a name without its namespace finds the whole one."""
    with pytest.raises(UnknownNameError, match=f"'{unknown}'.*Did you mean.*'{close}'") as caught:
        flow.filter(**filters)
    assert caught.value.name == unknown
    assert close in (caught.value.close or ())


def test_unknown_names_without_close_ones(flow: Pipeline) -> None:
    """Where nothing is close, the error lists what there is, or that there is nothing."""
    with pytest.raises(UnknownNameError, match=r"no tag 'zzz'. It has 'early', 'io', 'model', 'slow'"):
        flow.filter(tags=["zzz"])
    with pytest.raises(UnknownNameError, match="It has no namespaces"):
        Pipeline([step("a", "b", "n")]).filter(namespaces="x")
    with pytest.raises(UnknownNameError, match="none of the nodes 'q1', 'q2'"):
        flow.filter(node_names=["q1", "q2"])


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ({"tags": "io", "node_names": "compare"}, "no node matches tags and node_names at the same time"),
        ({"to_outputs": "raw"}, "no node matches to_outputs"),
        ({"from_inputs": "report"}, "no node matches from_inputs"),
    ],
)
def test_an_empty_selection_is_an_error(flow: Pipeline, filters: Any, message: str) -> None:
    """Filters that nothing passes are an error that says which."""
    with pytest.raises(PipelineError, match=message):
        flow.filter(**filters)


def test_an_empty_pipeline_has_nothing_to_select() -> None:
    """Selecting from a pipeline without nodes is an error."""
    with pytest.raises(PipelineError, match="has no nodes"):
        Pipeline([]).filter()
