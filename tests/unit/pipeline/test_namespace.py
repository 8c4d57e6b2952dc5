"""Modular pipelines: what is renamed, what is kept, and which mappings are refused."""

from __future__ import annotations

from typing import Any

import pytest

from treadle.errors import PipelineError, UnknownNameError
from treadle.pipeline import Node, Pipeline, node, pipeline


def train(table: Any, rate: Any, everything: Any) -> Any:
    return table


def score(model: Any) -> Any:
    return model


@pytest.fixture
def base() -> Pipeline:
    return Pipeline(
        [
            node(train, ["table", "params:rate", "parameters"], "model", name="train", tags="a", confirms="table"),
            node(score, "model", "metrics"),
        ]
    )


def test_without_anything_it_is_the_pipeline(base: Pipeline) -> None:
    """A list of nodes becomes a pipeline; a pipeline stays itself."""
    assert pipeline(base.nodes) == base
    assert pipeline([base]) == base
    assert pipeline(base) is base


def test_a_namespace_prefixes_all_but_whole_parameters(base: Pipeline) -> None:
    """Nodes, datasets, confirms and params: entries get the namespace; `parameters` is the same everywhere."""
    first, second = pipeline(base, namespace="north")
    assert first == node(
        train,
        ["north.table", "params:north.rate", "parameters"],
        "north.model",
        name="train",
        tags="a",
        confirms="north.table",
        namespace="north",
    )
    assert (first.name, second.name) == ("north.train", "north.score__metrics")
    assert second.inputs == ("north.model",)


@pytest.mark.parametrize("inputs", ["table", ["table"], {"table"}, {"table": "table"}])
def test_named_datasets_keep_their_names(base: Pipeline, inputs: Any) -> None:
    """Datasets and parameters named as a string, a collection or a dict are shared with the world outside."""
    copy = pipeline(base, namespace="north", inputs=inputs, outputs="metrics", parameters="rate")
    assert copy.inputs() == {"table", "params:rate", "parameters"}
    assert copy.outputs() == {"metrics"}
    assert "north.model" in copy.datasets()


def test_mapped_datasets_get_their_new_names(base: Pipeline) -> None:
    """Datasets and parameters are mapped, with or without a namespace, confirms too."""
    mapping: dict[str, Any] = {
        "inputs": {"table": "table2"},
        "outputs": {"model": "model2", "metrics": "metrics2"},
        "parameters": {"params:rate": "quick"},
    }
    for namespace in (None, "north"):
        copy = pipeline(base, namespace=namespace, **mapping)
        assert copy.inputs() == {"table2", "params:quick", "parameters"}
        assert copy.all_outputs() == {"model2", "metrics2"}
        assert copy.nodes[0].confirms == ("table2",)
    assert copy.nodes[1].name == "north.score__metrics2"


def test_copies_stand_beside_each_other(base: Pipeline) -> None:
    """Copies under namespaces make one pipeline and share what they keep."""
    both = pipeline([pipeline(base, namespace=name, inputs="table") for name in ("north", "south")], tags="x")
    assert len(both) == 4
    assert both.inputs() == {"table", "params:north.rate", "params:south.rate", "parameters"}
    assert both.node("north.train").tags == {"a", "x"}
    with pytest.raises(PipelineError, match="called 'train'"):
        base + pipeline(base, outputs={"model": "model2", "metrics": "metrics2"})


def test_namespaces_nest(base: Pipeline) -> None:
    """A namespace goes before the ones that are there."""
    outer = pipeline(pipeline(base, namespace="inner", inputs="table"), namespace="outer")
    assert [made.name for made in outer] == ["outer.inner.train", "outer.inner.score__metrics"]
    assert outer.nodes[0].namespace == "outer.inner"
    assert outer.nodes[0].short_name == "train"
    assert "outer.table" in outer.inputs()
    assert "params:outer.inner.rate" in outer.inputs()
    assert len(outer.only_nodes_with_namespaces("outer")) == 2


def test_formats_follow_their_dataset() -> None:
    """A mapping without a format holds for all formats; one with a format for that one."""
    pipe = Pipeline([node(score, "t@x", "m", name="1"), node(score, "t@y", "n", name="2")])
    assert pipeline(pipe, inputs={"t": "u"}).inputs() == {"u@x", "u@y"}
    assert pipeline(pipe, namespace="s", inputs="t").inputs() == {"t@x", "t@y"}
    assert pipeline(pipe, namespace="s", inputs={"t@x": "u@z"}).inputs() == {"u@z", "s.t@y"}
    assert pipeline(pipe, outputs={"m": "m@x"}).outputs() == {"m@x", "n"}
    with pytest.raises(PipelineError, match="Map it to 'u'"):
        pipeline(pipe, inputs={"t": "u@x"})


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"inputs": "tabel"}, "no free input of that name. Did you mean 'table'"),
        ({"outputs": {"modle": "x"}}, "no output of that name. Did you mean 'model'"),
        ({"parameters": "rat"}, "no parameter of that name. Did you mean 'params:rate'"),
    ],
)
def test_unknown_names_suggest_close_ones(base: Pipeline, mapping: Any, message: str) -> None:
    """A mapped name that the pipeline does not have is an error with close matches."""
    with pytest.raises(UnknownNameError, match=message):
        pipeline(base, **mapping)


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"inputs": "params:rate"}, "List parameters in parameters="),
        ({"inputs": "model"}, "output of node 'train'. List it in outputs="),
        ({"outputs": "table"}, "input of 'train' that no node produces. List it in inputs="),
        ({"outputs": "params:rate"}, "List it in parameters="),
        ({"outputs": {"model": "params:x"}}, "parameters are read only"),
        ({"outputs": {"model": "metrics"}}, "both as input and as output"),
        ({"outputs": {"metrics": "table"}}, "depend on each other"),
        ({"inputs": {"table": 3}}, "has 3 of type int as the name of a dataset"),
        ({"namespace": "a b,c"}, "namespace"),
        ({"namespace": "a..b"}, "namespace"),
        ({"tags": "a,b"}, "tag"),
    ],
)
def test_mappings_that_cannot_be(base: Pipeline, mapping: Any, message: str) -> None:
    """A mapping on the wrong side, or one that ruins the pipeline, is an error that says what to do."""
    with pytest.raises(PipelineError, match=message):
        pipeline(base, **mapping)


def test_unknown_parameters_where_there_are_none() -> None:
    """A pipeline without parameters says so."""
    with pytest.raises(UnknownNameError, match="It has none"):
        pipeline([node(score, "a", "b")], parameters="x")


def test_the_copy_runs(base: Pipeline) -> None:
    """Renamed nodes call the same functions with the renamed datasets."""
    made: Node = pipeline(base, namespace="n").nodes[0]
    assert made.run({"n.table": 1, "params:n.rate": 2, "parameters": {}}) == {"n.model": 1}


def test_a_namespace_of_the_nodes_alone(base: Pipeline) -> None:
    """`prefix_datasets_with_namespace=False` leaves the datasets and parameters, but for those that are mapped."""
    made = pipeline(base, namespace="north", outputs={"metrics": "scores"}, prefix_datasets_with_namespace=False)
    assert [each.namespace for each in made] == ["north", "north"]
    assert made.inputs() == base.inputs()
    assert made.all_outputs() == {"model", "scores"}


def test_the_constructor_renames_as_well(base: Pipeline) -> None:
    """`Pipeline(…)` takes what `pipeline(…)` takes, for code that was written for Kedro 1.x."""
    options: dict[str, Any] = {"namespace": "north", "inputs": "table", "outputs": {"metrics": "scores"}, "tags": "b"}
    assert Pipeline(base, **options) == pipeline(base, **options)
    assert Pipeline(base.nodes, namespace="north", prefix_datasets_with_namespace=False) == pipeline(
        base, namespace="north", prefix_datasets_with_namespace=False
    )
    assert Pipeline(base) == base
    with pytest.raises(UnknownNameError, match="no free input of that name"):
        Pipeline(base, inputs="tabel")
