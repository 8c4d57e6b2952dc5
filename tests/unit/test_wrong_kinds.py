"""Arguments of the wrong kind, for everything that people call: one of Treadle's errors that shows what was given."""

from __future__ import annotations

import pytest

from treadle import Catalog, NodePolicy, ParallelRunner, Pipeline, SequentialRunner, ThreadRunner, node, pipeline
from treadle.errors import TreadleError

PIPE = Pipeline([node(len, "a", "b", name="n")])
CATALOG = Catalog({"a": [1]})
ENTRY = {"a": {"type": "MemoryDataset"}}
FILTERS = ("tags", "node_names", "from_nodes", "to_nodes", "from_inputs", "to_outputs", "namespaces")
CHOICES = (
    "only_nodes", "only_nodes_with_tags", "only_nodes_with_namespaces", "only_nodes_with_inputs", "only_nodes_with_outputs",
    "from_nodes", "to_nodes", "from_inputs", "to_outputs", "node",
)  # fmt: skip
CALLS = {
    **{f"node({name})": lambda wrong, name=name: node(len, "a", "b", **{name: wrong}) for name in ("tags", "confirms", "name")},
    **{f"node({name}) too": lambda wrong, name=name: node(len, "a", "b", **{name: wrong}) for name in ("namespace", "policy")},
    "node(func)": lambda wrong: node(wrong, "a", "b"),
    "node(inputs)": lambda wrong: node(len, wrong, "b"),
    "node(outputs)": lambda wrong: node(len, "a", wrong),
    "Node.tag": PIPE.nodes[0].tag,
    "Pipeline": Pipeline,
    "Pipeline(tags)": lambda wrong: Pipeline([], tags=wrong),
    "Pipeline.tag": PIPE.tag,
    **{f"pipeline({name})": lambda wrong, name=name: pipeline(PIPE, **{name: wrong}) for name in ("inputs", "outputs", "tags")},
    **{f"pipeline({name})": lambda wrong, name=name: pipeline(PIPE, **{name: wrong}) for name in ("parameters", "namespace")},
    **{f"filter({name})": lambda wrong, name=name: PIPE.filter(**{name: wrong}) for name in FILTERS},
    **{f"Pipeline.{name}": lambda wrong, name=name: getattr(PIPE, name)(wrong) for name in CHOICES},
    "Catalog": Catalog,
    "Catalog of a name": lambda wrong: Catalog({1.5 if isinstance(wrong, list) else wrong: 1}),
    "from_config": Catalog.from_config,
    "from_config(credentials)": lambda wrong: Catalog.from_config(ENTRY, credentials=wrong),
    "from_config(load_versions)": lambda wrong: Catalog.from_config(ENTRY, load_versions=wrong),
    "catalog.load": lambda wrong: CATALOG.load(str if isinstance(wrong, list) else wrong),
    "catalog.list": CATALOG.list,
    "add_parameters": lambda wrong: Catalog().add_parameters(wrong),
    "run(pipeline)": lambda wrong: SequentialRunner().run(wrong, CATALOG),
    "run(catalog)": lambda wrong: SequentialRunner().run(PIPE, wrong),
    "run(inputs)": lambda wrong: SequentialRunner().run(PIPE, CATALOG, inputs=wrong),
    "ParallelRunner": lambda wrong: ParallelRunner([] if wrong == 5 else wrong),
    "ParallelRunner(start_method)": lambda wrong: ParallelRunner(start_method=wrong),
    "ParallelRunner(resources)": lambda wrong: ParallelRunner(resources=wrong),
    "ThreadRunner": lambda wrong: ThreadRunner([] if wrong == 5 else wrong),
    "NodePolicy(timeout)": lambda wrong: NodePolicy(timeout=[] if wrong == 5 else wrong),
    "NodePolicy(resources)": lambda wrong: NodePolicy(resources=wrong),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("wrong", [5, [5]], ids=str)
def test_an_argument_of_the_wrong_kind_is_our_error(call, wrong):
    """What is called names the value and its kind; no TypeError or AttributeError of the code inside comes out."""
    with pytest.raises((TreadleError, ValueError), match=r"5|\[\]|class 'str'|of type (int|list)"):
        call(wrong)


@pytest.mark.parametrize("name", FILTERS)
def test_zero_is_no_empty_filter(name):
    """A filter of 0 is no name; an empty one lets every node pass."""
    with pytest.raises(TreadleError, match=rf"{name}= of filter\(\) contains 0, of type int"):
        PIPE.filter(**{name: 0})
    assert PIPE.filter(**{name: []}) is PIPE


def test_zero_is_no_tag():
    """Nor is 0 an empty collection of tags."""
    with pytest.raises(TreadleError, match=r"tags= of a node of the function 'len' contains 0, of type int"):
        node(len, "a", "b", tags=0)
    assert node(len, "a", "b", tags=()).tags == frozenset()
