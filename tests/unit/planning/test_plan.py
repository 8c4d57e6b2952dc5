"""compile_plan: a pipeline and its catalog as integers."""

from __future__ import annotations

import pickle
import weakref

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treadle import Catalog, Dataset, MemoryDataset, Pipeline, node
from treadle.errors import UnknownDatasetError
from treadle.pipeline.policy import FailurePolicy
from treadle.planning import compile_plan
from treadle.planning.policies import read_policies


class OnDisk(Dataset):
    """Stands for a dataset that persists; it must never be asked for its data here."""

    def load(self):
        raise AssertionError

    def save(self, data):
        raise AssertionError


class OnlyHere(OnDisk):
    main_process_only = True


def nothing(*_values):
    return 1


def plan_of(*wiring, **datasets):
    nodes = [node(nothing, list(inputs), list(outputs), name=f"n{index}") for index, (inputs, outputs) in enumerate(wiring)]
    return compile_plan(Pipeline(nodes), Catalog(datasets))


def by_name(plan):
    return {dataset.name: dataset for dataset in plan.datasets}


def test_nodes_know_their_parents_children_and_datasets():
    """Everything is an index, in the order of the pipeline."""
    plan = plan_of("ra", ("a", "b"), (("a", "b"), ("c",)), r=1)
    assert [node.name for node in plan.nodes] == ["n0", "n1", "n2"]
    assert [node.parents for node in plan.nodes] == [(), (0,), (0, 1)]
    assert [node.children for node in plan.nodes] == [(1, 2), (2,), ()]
    names = [dataset.name for dataset in plan.datasets]
    assert [[names[index] for index in node.inputs] for node in plan.nodes] == [["r"], ["a"], ["a", "b"]]
    assert [[names[index] for index in node.outputs] for node in plan.nodes] == [["a"], ["b"], ["c"]]


def test_plans_of_equal_pipelines_are_equal():
    """Both operators compare everything but the links, which follow from the nodes."""
    one, same, other = plan_of("ra", r=1), plan_of("ra", r=1), plan_of("rb", r=1)
    assert one.links is not same.links
    assert (one == same, one != same) == (True, False)
    assert (one == other, one != other) == (False, True)


def test_a_plan_serves_again_while_the_catalog_declares_the_same():
    """The plan of a pipeline follows each change of a catalog; its parts are made anew only if there is one."""
    pipeline = Pipeline([node(nothing, "r", "a", name="one"), node(nothing, "a", "b", name="two")])
    first = compile_plan(pipeline, Catalog({"r": 1}))
    again = compile_plan(pipeline, Catalog({"r": 2, "not used": 3}))
    assert again == first
    assert again.links is pipeline.links
    assert again.nodes is first.nodes
    on_disk, only_here = (compile_plan(pipeline, Catalog({"r": 1, "a": each()})) for each in (OnDisk, OnlyHere))
    assert [by_name(each)["a"].in_memory for each in (first, on_disk, only_here)] == [True, False, False]
    assert [[node.main_only for node in each.nodes] for each in (on_disk, only_here)] == [[False, False], [True, True]]
    assert compile_plan(pipeline, Catalog({"r": 1})) == first
    with pytest.raises(UnknownDatasetError):
        compile_plan(pipeline, Catalog())


def test_configured_policies_and_confirmed_datasets_are_read_for_each_plan():
    """A plan is not used again where it depends on more than the datasets of the pipeline."""
    pipeline = Pipeline([node(nothing, "r", "a", name="one")])
    assert compile_plan(pipeline, Catalog({"r": 1})).on_failure is None
    rules = read_policies({"defaults": {"on_failure": "continue"}})
    assert compile_plan(pipeline, Catalog({"r": 1}), rules).on_failure is FailurePolicy.CONTINUE
    assert compile_plan(pipeline, Catalog({"r": 1})).on_failure is None
    confirming = Pipeline([node(nothing, "r", "a", name="one", confirms="elsewhere")])
    plans = [compile_plan(confirming, Catalog({"r": 1, "elsewhere": each()})) for each in (OnDisk, OnlyHere)]
    assert [each.nodes[0].main_only for each in plans] == [False, True]


def test_a_compiled_pipeline_is_freed():
    """The plan that may serve again does not keep its pipeline alive."""
    pipeline = Pipeline([node(nothing, "r", "a")])
    links = weakref.ref(compile_plan(pipeline, Catalog({"r": 1})).links)
    assert links() is not None
    del pipeline
    assert links() is None


def test_datasets_know_who_makes_and_takes_them():
    """Producers, consumers, results and uses are counted once."""
    plan = plan_of("ra", "ab", "ac", r=1)
    datasets, uses = by_name(plan), dict(zip(plan.dataset_names, plan.uses, strict=True))
    assert (datasets["r"].producer, datasets["r"].consumers, datasets["r"].is_result) == (None, (0,), False)
    assert (datasets["a"].producer, datasets["a"].consumers, uses["a"]) == (0, (1, 2), 2)
    assert (datasets["b"].is_result, uses["b"]) == (True, 1)


def test_columns_are_those_of_the_nodes_and_datasets():
    """Whether the plan has the links of its pipeline, or was made without."""
    plan = plan_of("ra", "ab", "ac", r=1)
    alone = plan._replace(links=None)
    assert plan.inputs == alone.inputs == tuple(each.inputs for each in plan.nodes)
    assert plan.outputs == alone.outputs == tuple(each.outputs for each in plan.nodes)
    assert plan.parents == alone.parents == tuple(each.parents for each in plan.nodes)
    assert plan.children == alone.children == tuple(each.children for each in plan.nodes)
    assert plan.dataset_names == alone.dataset_names == tuple(each.name for each in plan.datasets)
    assert plan.is_result == alone.is_result == tuple(each.is_result for each in plan.datasets)
    assert plan.uses == alone.uses == [len(each.consumers) + each.is_result for each in plan.datasets]


def test_results_are_the_free_outputs():
    """What one makes and nobody takes is a result; what is only read is none."""
    plan = plan_of("ra", ("a", "bc"), r=1)
    assert {plan.datasets[index].name for index in plan.results} == {"b", "c"}


def test_capabilities_are_asked_once_and_kept():
    """Undeclared and memory datasets live in memory, others do not; main-only ones mark their nodes."""
    plan = plan_of("ab", "bc", "cd", a=OnlyHere(), b=OnDisk(), c=MemoryDataset())
    datasets = by_name(plan)
    assert [datasets[name].in_memory for name in "abcd"] == [False, False, True, True]
    assert [datasets[name].declared for name in "abcd"] == [True, True, True, False]
    assert [node.main_only for node in plan.nodes] == [True, False, False]


def test_recipes_are_not_built():
    """Compiling asks a recipe for its capabilities and builds nothing."""
    catalog = Catalog.from_config({"a": {"type": "text.TextDataset", "filepath": "/nowhere/a.txt"}})
    plan = compile_plan(Pipeline([node(nothing, "a", "b")]), catalog)
    assert not by_name(plan)["a"].in_memory
    assert catalog.is_recipe("a")


def test_transcoded_names_are_one_dataset_to_the_graph():
    """A node that takes `t@read` waits for the one that makes `t@write`, and `t@write` is no free output."""
    plan = plan_of((("r",), ("t@write",)), (("t@read",), ("b",)), **{"r": 1, "t@write": OnDisk(), "t@read": OnDisk()})
    assert plan.nodes[1].parents == (0,)
    assert {plan.datasets[index].name for index in plan.results} == {"b"}


def test_missing_data_is_named_with_its_node_and_a_guess():
    """Data that nobody has is an error that names it, the node and what it may have been meant to be."""
    with pytest.raises(UnknownDatasetError, match=r"'tabel' \(needed by node 'n0'\).*Did you mean 'table'") as caught:
        plan_of((("tabel",), ("a",)), ((), ("table",)))
    assert (caught.value.dataset, caught.value.node, caught.value.close) == ("tabel", "n0", ("table",))


def test_every_missing_dataset_is_listed():
    """All that is missing is told at once."""
    with pytest.raises(UnknownDatasetError, match=r"'p' \(needed by node 'n0'\), 'q' \(needed by node 'n1'\)"):
        plan_of("pa", "qb")


def test_parameters_are_data_that_the_catalog_has():
    """`params:` names and `parameters` come from the catalog, in memory."""
    catalog = Catalog()
    catalog.add_parameters({"model": {"a": 1}})
    plan = compile_plan(Pipeline([node(nothing, ["params:model.a", "parameters"], "b")]), catalog)
    assert all(dataset.in_memory for dataset in plan.datasets)


def test_a_plan_without_nodes_is_empty():
    """An empty pipeline compiles."""
    plan = compile_plan(Pipeline([]), Catalog())
    assert (plan.nodes, plan.datasets, plan.results) == ((), (), ())


def test_a_plan_pickles():
    """A plan is plain data."""
    plan = compile_plan(Pipeline([node(len, "r", "a")]), Catalog({"r": "x"}))
    assert pickle.loads(pickle.dumps(plan)) == plan


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_plans_are_consistent(data):
    """On any pipeline: parents come first, children mirror parents, consumers mirror inputs, uses add up."""
    made = ["r"]
    wiring = []
    for number in range(data.draw(st.integers(1, 15))):
        inputs = data.draw(st.lists(st.sampled_from(made), max_size=3, unique=True))
        wiring.append((tuple(inputs), (f"d{number}",)))
        made.append(f"d{number}")
    plan = plan_of(*wiring, r=1)
    for index, planned in enumerate(plan.nodes):
        assert all(parent < index for parent in planned.parents)
        assert all(index in plan.nodes[parent].children for parent in planned.parents)
        assert all(index in plan.nodes[child].parents for child in planned.children)
        assert all(index in plan.datasets[dataset].consumers for dataset in planned.inputs)
        assert all(plan.datasets[dataset].producer == index for dataset in planned.outputs)
    assert sum(plan.uses) == sum(len(node.inputs) for node in plan.nodes) + len(plan.results)
