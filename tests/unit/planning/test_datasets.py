"""What is known of a pipeline's datasets before a run."""

from __future__ import annotations

from treadle import Catalog, Pipeline, node
from treadle.planning.datasets import DatasetFacts, Origin, declared_datasets, describe_datasets, resolved_entries

PIPELINE = Pipeline([node(len, "a", "b", name="first"), node(max, ["b", "params:x", "gone", "put"], "c_txt", name="second")])


def make_catalog():
    catalog = Catalog.from_config(
        {"a": {"type": "text.TextDataset", "filepath": "a.txt"}, "{x}_txt": {"type": "text.TextDataset", "filepath": "{x}"}}
    )
    catalog.add_parameters({"x": 1})
    catalog["put"] = 5
    return catalog


def test_each_origin():
    """A dataset comes from a catalog file, a pattern, parameters, code, memory, or is missing; nothing is built for it."""
    facts = {each.name: each for each in describe_datasets(PIPELINE, make_catalog())}
    assert {name: each.origin for name, each in facts.items()} == {
        "a": Origin.CATALOG,
        "b": Origin.MEMORY,
        "params:x": Origin.PARAMETERS,
        "gone": Origin.MISSING,
        "put": Origin.CODE,
        "c_txt": Origin.PATTERN,
    }
    assert facts["b"].made_by == ("first",)
    assert facts["b"].taken_by == ("second",)
    assert facts["c_txt"] == DatasetFacts(
        "c_txt", Origin.PATTERN, "text.TextDataset", "c", "{x}_txt", versioned=False, made_by=("second",)
    )


def test_declared_datasets_leave_patterns_and_parameters_out():
    """What a catalog declares by name does not grow by what a pipeline asked for."""
    catalog = make_catalog()
    describe_datasets(PIPELINE, catalog)
    assert [each.name for each in declared_datasets(catalog)] == ["a", "put"]


def test_resolved_entries():
    """Placeholders are filled in; what no entry fits is left out."""
    assert resolved_entries(["q_txt", "nothing"], make_catalog()) == {"q_txt": {"type": "text.TextDataset", "filepath": "q"}}
