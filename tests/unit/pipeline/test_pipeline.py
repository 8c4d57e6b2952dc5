"""Pipelines: order, errors, algebra and texts."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest

from treadle.errors import CircularDependencyError, PipelineError, UnknownNameError
from treadle.pipeline import Node, Pipeline, node, pipeline


def same(*values: Any) -> Any:
    return values


def step(inputs: Any, outputs: Any, name: str | None = None, **more: Any) -> Node:
    return node(same, inputs, outputs, name=name, **more)


def names(pipe: Pipeline) -> list[str]:
    return [each.name for each in pipe]


@pytest.fixture
def diamond() -> Pipeline:
    return Pipeline(
        [step(["l", "r"], "end", "join"), step("top", "l", "left"), step("top", "r", "right"), step("raw", "top", "start")]
    )


class TestOrder:
    def test_makers_come_before_takers(self, diamond: Pipeline) -> None:
        """Nodes come after those they wait for; of those that could come next, the one given first."""
        assert names(diamond) == ["start", "left", "right", "join"]

    def test_a_valid_order_is_kept(self) -> None:
        """Nodes that were given in a valid order stay as they are."""
        given = [step("a", "b", "1"), step("x", "y", "2"), step("b", "c", "3"), step("y", "z", "4")]
        assert list(Pipeline(given)) == given

    def test_who_waits_for_whom(self, diamond: Pipeline) -> None:
        """Dependencies are told by node, by place and in layers."""
        by_name = {made.name: {before.name for before in befores} for made, befores in diamond.node_dependencies.items()}
        assert by_name == {"start": set(), "left": {"start"}, "right": {"start"}, "join": {"left", "right"}}
        assert diamond.graph.parents == ((), (0,), (0,), (1, 2))
        assert diamond.graph.children == ((1, 2), (3,), (3,), ())
        assert [[made.name for made in layer] for layer in diamond.grouped_nodes] == [["start"], ["left", "right"], ["join"]]

    def test_several_datasets_between_two_nodes_are_one_edge(self) -> None:
        """A node that takes two outputs of another waits for it once."""
        assert Pipeline([step(["a", "b", "a"], "c"), step(None, ["a", "b"])]).graph.parents == ((), (0,))

    def test_formats_connect_by_base_name(self) -> None:
        """A dataset written in one format feeds those that read it in another."""
        pipe = Pipeline([step("t@spark", "end", "read"), step("raw", "t@pandas", "write")])
        assert names(pipe) == ["write", "read"]
        assert pipe.inputs() == {"raw"}
        assert pipe.outputs() == {"end"}
        assert pipe.datasets() == {"raw", "t@pandas", "t@spark", "end"}

    def test_datasets(self, diamond: Pipeline) -> None:
        """Free and all inputs and outputs are told, as sets the caller may change."""
        assert diamond.inputs() == {"raw"}
        assert diamond.outputs() == {"end"}
        assert diamond.all_inputs() == {"raw", "top", "l", "r"}
        assert diamond.all_outputs() == {"top", "l", "r", "end"}
        assert diamond.datasets() == diamond.all_inputs() | diamond.all_outputs()
        diamond.all_inputs().clear()
        assert diamond.all_inputs() == {"raw", "top", "l", "r"}

    def test_the_empty_pipeline(self) -> None:
        """A pipeline may be empty; then it is false."""
        empty = Pipeline([])
        assert not empty
        assert (len(empty), empty.nodes, empty.inputs(), empty.grouped_nodes) == (0, (), set(), ())
        assert "Nodes, in order (0):\n  none" in empty.describe()


class TestErrors:
    def test_a_cycle_names_its_nodes(self) -> None:
        """A cycle is an error that tells its nodes and datasets, and not the nodes that hang on it."""
        with pytest.raises(CircularDependencyError, match="'one' produces 'b' for 'two', which produces 'a' for 'one'") as caught:
            Pipeline([step("x", "y", "before"), step(["a", "y"], "b", "one"), step("b", "a", "two"), step("a", "c", "after")])
        assert caught.value.nodes == ("one", "two")

    def test_a_long_cycle_is_shortened_in_the_message_only(self) -> None:
        """A cycle of many nodes is told in part, and carried whole as a field."""
        with pytest.raises(CircularDependencyError, match=r"30 nodes .* \(20 more\)") as caught:
            Pipeline([step(f"d{n}", f"d{(n + 1) % 30}", f"n{n}") for n in range(30)])
        assert caught.value.nodes == tuple(f"n{n}" for n in range(30))

    def test_a_cycle_through_formats(self) -> None:
        """Formats do not hide a cycle."""
        with pytest.raises(CircularDependencyError):
            Pipeline([step("a@x", "b@x", "one"), step("b@y", "a@y", "two")])

    def test_two_nodes_of_one_name(self) -> None:
        """Two nodes of one name are an error that says how to tell them apart."""
        with pytest.raises(PipelineError, match="More than one node is called 'n'") as caught:
            Pipeline([step("a", "b", "n"), step("a", "c", "n"), step("a", "d", "m")])
        assert caught.value.nodes == ("n",)

    def test_a_node_given_twice(self) -> None:
        """A node that is listed twice is an error."""
        once = step("a", "b", "n")
        with pytest.raises(PipelineError, match="More than one node is called 'n'"):
            Pipeline([once, once])

    def test_unnamed_nodes_that_cannot_be_told_apart(self) -> None:
        """Two unnamed nodes without outputs that do the same are an error that asks for names."""
        with pytest.raises(PipelineError, match=r"called 'same__a'.*Give each node a unique name"):
            Pipeline([step("a", None), step("a", None)])
        assert len(Pipeline([step("a", None), step("b", None), step("a", None, "again")])) == 3

    @pytest.mark.parametrize(("one", "other"), [("b", "b"), ("b@x", "b@y")])
    def test_a_dataset_with_two_makers(self, one: str, other: str) -> None:
        """A dataset that two nodes make, in any format, is an error that names both."""
        with pytest.raises(PipelineError, match="'b' is an output of 2 nodes: 'one', 'two'") as caught:
            Pipeline([step("a", one, "one"), step("a", other, "two")])
        assert caught.value.nodes == ("one", "two")

    def test_a_dataset_with_and_without_format(self) -> None:
        """A dataset that is used both with a format and without is an error that names the nodes."""
        with pytest.raises(PipelineError, match=r"'b' is used both with a format.*'one', 'two'"):
            Pipeline([step("a", "b", "one"), step("b@x", "c", "two")])
        with pytest.raises(PipelineError, match="both with a format"):
            Pipeline([step("a", "b", "one")]) + Pipeline([step("b@x", "c", "two")])

    @pytest.mark.parametrize("wrong", [3, "nodes", step("a", "b"), [same], [[step("a", "b")]], [None]])
    def test_other_things_than_nodes(self, wrong: Any) -> None:
        """A pipeline is made of nodes and pipelines only."""
        with pytest.raises(PipelineError, match="nodes"):
            Pipeline(wrong)

    def test_pipelines_are_frozen(self, diamond: Pipeline) -> None:
        """A pipeline's attributes cannot be set."""
        with pytest.raises(AttributeError, match="frozen"):
            diamond.nodes = ()  # type: ignore[misc]  # that is the test


class TestAlgebra:
    def test_union(self, diamond: Pipeline) -> None:
        """+ and | give all nodes, common ones once; sum adds up pipelines."""
        more = Pipeline([step("end", "report", "tell")])
        assert names(diamond + more) == ["start", "left", "right", "join", "tell"]
        assert diamond | more == diamond + more == sum([diamond, more, diamond])
        assert diamond + diamond == diamond
        assert (diamond + more).inputs() == {"raw"}
        assert (diamond + more).outputs() == {"report"}

    def test_union_puts_makers_first(self, diamond: Pipeline) -> None:
        """What the second pipeline makes for the first comes before it."""
        first = Pipeline([step("source", "raw", "fetch")])
        assert names(diamond + first) == ["fetch", "start", "left", "right", "join"]

    def test_union_of_many_is_the_pipeline_of_all(self) -> None:
        """Adding pipelines one by one gives what making one of all their nodes gives."""
        parts = [Pipeline([step(f"d{n}@x", f"d{n + 1}@y", f"n{n}"), step("raw", f"e{n}", f"m{n}")]) for n in range(5)]
        whole = sum(parts[1:], parts[0])
        again = Pipeline(parts)
        assert whole.nodes == again.nodes
        assert whole.graph == again.graph
        assert (whole.inputs(), whole.outputs()) == (again.inputs(), again.outputs())
        assert whole.only_nodes("m3").nodes == parts[3].only_nodes("m3").nodes

    def test_union_finds_errors(self) -> None:
        """Adding finds cycles, names and outputs that clash."""
        with pytest.raises(CircularDependencyError):
            Pipeline([step("a", "b", "1")]) + Pipeline([step("b", "a", "2")])
        with pytest.raises(PipelineError, match="called '1'"):
            Pipeline([step("a", "b", "1")]) + Pipeline([step("a", "c", "1")])
        with pytest.raises(PipelineError, match="'b' is an output of"):
            Pipeline([step("a", "b", "1")]) + Pipeline([step("a", "b", "2")])

    def test_nested_pipelines_share_nodes(self, diamond: Pipeline) -> None:
        """Pipelines among the nodes give theirs, and one that several hold counts once."""
        more = step("end", "report", "tell")
        assert Pipeline([diamond.to_nodes("left"), diamond, more]) == diamond + Pipeline([more])
        assert Pipeline(diamond) == diamond

    def test_difference_and_intersection(self, diamond: Pipeline) -> None:
        """- and & compare nodes as wholes."""
        left = diamond.only_nodes("left", "start")
        assert names(diamond - left) == ["right", "join"]
        assert names(diamond & left) == ["start", "left"]
        assert diamond & diamond.tag("x") == Pipeline([])

    @pytest.mark.parametrize("sign", ["__add__", "__or__", "__sub__", "__and__", "__radd__"])
    def test_only_pipelines_add_up(self, diamond: Pipeline, sign: str) -> None:
        """Other things than pipelines are no operands."""
        assert getattr(diamond, sign)([]) is NotImplemented

    def test_as_a_collection(self, diamond: Pipeline) -> None:
        """A pipeline is an iterable of its nodes, and equal whatever order the nodes were given in."""
        assert list(diamond) == list(diamond.nodes)
        assert step("top", "l", "left") in diamond
        assert step("top", "l", "other") not in diamond
        assert "left" not in diamond
        again = Pipeline(reversed(diamond.nodes))
        assert again == diamond
        assert hash(again) == hash(diamond)
        assert diamond != 3
        assert diamond

    def test_tags(self, diamond: Pipeline) -> None:
        """Tags of the pipeline are added to those of its nodes."""
        pipe = Pipeline([step("a", "b", "n", tags="x"), diamond], tags=["y"]).tag("z")
        assert pipe.node("n").tags == {"x", "y", "z"}
        assert pipe.node("left").tags == {"y", "z"}
        assert diamond.node("left").tags == frozenset()

    def test_pickle(self, diamond: Pipeline) -> None:
        """A pipeline pickles, with or without what it has found out."""
        assert diamond.graph
        again = pickle.loads(pickle.dumps(diamond.only_nodes("left", "start")))
        assert names(again) == ["start", "left"]


class TestTexts:
    def test_describe(self, diamond: Pipeline) -> None:
        """The description lists free inputs, nodes in order and free outputs."""
        assert diamond.describe().splitlines() == [
            "Inputs:",
            "  raw",
            "Nodes, in order (4):",
            "  start",
            "  left",
            "  right",
            "  join",
            "Outputs:",
            "  end",
        ]
        full = Pipeline([step("a", "b"), step("b", "c", "n")]).describe(names_only=False)
        assert "  same__b: same([a]) -> [b]\n  n: same([b]) -> [c]" in full

    def test_to_json(self) -> None:
        """The JSON tells each node's wiring and which nodes it waits for."""
        told = json.loads(Pipeline([step("b", "c", "two", tags=["y", "x"]), step("a", "b", "one", namespace="s")]).to_json())
        assert told["inputs"] == ["a"]
        assert told["outputs"] == ["c"]
        assert [(each["name"], each["depends_on"]) for each in told["nodes"]] == [("s.one", []), ("two", ["s.one"])]
        two = {"function": "same", "inputs": ["b"], "outputs": ["c"], "tags": ["x", "y"], "namespace": None, "confirms": []}
        assert two.items() <= told["nodes"][1].items()

    def test_repr(self, diamond: Pipeline) -> None:
        """The short form counts."""
        assert repr(diamond) == "<Pipeline of 4 nodes, 1 inputs, 1 outputs>"

    def test_node_by_name(self, diamond: Pipeline) -> None:
        """A node is found by its name; an unknown one suggests close names."""
        assert diamond.node("left").outputs == ("l",)
        with pytest.raises(UnknownNameError, match="Did you mean 'left'"):
            diamond.node("lefd")


class TestGroups:
    def test_groups_by_namespace(self) -> None:
        """The nodes of a top-level namespace are one group, any other node is one; groups come after those they depend on."""
        part = Pipeline([step("x", "y", "one"), step("y", "z", "two")])
        deep = pipeline(pipeline(part, namespace="b"), namespace="a", inputs={"b.x": "start"})
        other = pipeline(part, namespace="c", inputs={"x": "a.b.z"}, outputs={"z": "end"})
        flow = Pipeline([step("end", "sent", "send"), other, deep, step("raw", "start", "begin")])
        assert [(group.name, group.namespace, group.nodes, group.depends_on) for group in flow.group_by_namespace()] == [
            ("begin", None, ("begin",), ()),
            ("a", "a", ("a.b.one", "a.b.two"), ("begin",)),
            ("c", "c", ("c.one", "c.two"), ("a",)),
            ("send", None, ("send",), ("c",)),
        ]
        assert Pipeline([]).group_by_namespace() == ()

    def test_groups_that_wait_for_one_another(self) -> None:
        """A node between two of one namespace makes a circle of groups: an error that names the nodes."""
        part = Pipeline([step("x", "y", "one"), step("w", "z", "two")])
        flow = Pipeline([pipeline(part, namespace="s", inputs="x"), step("s.y", "s.w", "between")])
        with pytest.raises(CircularDependencyError, match=r"'between' depends on 's\.one'") as caught:
            flow.group_by_namespace()
        assert set(caught.value.nodes or ()) == {"s.one", "between", "s.two"}

    def test_a_node_with_the_name_of_a_namespace(self) -> None:
        """Two groups of one name could not be told apart: an error."""
        flow = Pipeline([step("x", "y", "s"), pipeline(Pipeline([step("y", "z", "one")]), namespace="s")])
        with pytest.raises(PipelineError, match="both called 's'"):
            flow.group_by_namespace()
