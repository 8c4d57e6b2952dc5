"""What only one process may have open: how it is declared, and what follows for the plan."""

from __future__ import annotations

import pytest

from treadle import Catalog, Dataset, NodePolicy, Pipeline, node
from treadle.errors import ConfigError
from treadle.io.exclusive import shared_database
from treadle.planning import compile_plan
from treadle.planning.exclusive import Sharing, read_rule
from treadle.planning.policies import read_policies


class Shared(Dataset):
    exclusive = "press"

    def load(self):
        return 1

    def save(self, data):
        """Keep nothing."""


PIPELINE = Pipeline(
    [
        node(lambda: 1, None, "a", name="make a", policy=NodePolicy(retries=2, resources={"gpu": 1})),
        node(lambda: 1, None, "b", name="make b"),
        node(lambda a, b: a + b, ["a", "b"], "c", name="join"),
        node(lambda: 1, None, "d", name="other"),
    ]
)


def in_main(plan):
    return [each.name for each in plan.nodes if each.main_only]


def test_a_declared_attribute_keeps_nodes_in_the_main_process():
    """The nodes that use such a dataset, and no others."""
    plan = compile_plan(PIPELINE, Catalog({"a": Shared()}))
    assert in_main(plan) == ["make a", "join"]
    assert plan.resources == {}


def test_configuration_wins():
    """`free` leaves nodes where they are, and `one_at_a_time` makes the thing a resource of which there is one."""
    catalog = Catalog({"a": Shared(), "b": Shared()})
    free = compile_plan(PIPELINE, catalog, read_policies({"exclusive": {"x": {"datasets": ["a"], "run": "free"}}}))
    assert in_main(free) == ["make b", "join"]
    rules = read_policies({"exclusive": {"x": {"datasets": ["?"], "run": "one_at_a_time"}}, "resources": {"gpu": 2}})
    plan = compile_plan(PIPELINE, catalog, rules)
    assert in_main(plan) == []
    assert plan.resources == {"gpu": 2, "exclusive: x": 1}
    needs = {each.name: policy.resources for each, policy in zip(plan.nodes, plan.policies, strict=True)}
    assert needs["make a"] == (("exclusive: x", 1), ("gpu", 1))
    assert needs["join"] == (("exclusive: x", 1),)
    assert plan.policies[0].retries == 2


@pytest.mark.parametrize("value", ["a", {"dataset": ["a"]}, {"datasets": [1]}, {"datasets": ["a"], "run": "alone"}, None, 5])
def test_wrong_rules(value):
    """Each is an error that names its key and says what would be right."""
    with pytest.raises(ConfigError, match=r"exclusive\.x.*(datasets|run)"):
        read_policies({"exclusive": {"x": value}})


def test_a_rule_in_short_and_in_full():
    """A list of names, or a mapping."""
    assert read_rule("x", ["a"]) == read_rule("x", {"datasets": ["a"], "run": "main"})
    assert read_rule("x", {"datasets": ["a"], "run": "free"}).run is Sharing.FREE


@pytest.mark.parametrize(
    ("entry", "name"),
    [
        ({"type": "x.Y", "filepath": "data/a.duckdb"}, "duckdb /p/data/a.duckdb"),
        ({"type": "ibis.TableDataset", "table_name": "t"}, "duckdb :memory:"),
        ({"connection": {"backend": "duckdb", "database": "a.db"}}, "duckdb /p/a.db"),
        ({"connection": {"backend": "duckdb"}}, "duckdb :memory:"),
        ({"connection": {"backend": "duckdb", "database": "a.db", "read_only": True}}, None),
        ({"connection": {"backend": "bigquery", "project_id": "x"}}, None),
        ({"credentials": {"db": {"con": "duckdb:///a.db"}}}, "duckdb /p/a.db"),
        ({"credentials": {"db": {"con": "duckdb:////q/a.db?x=1"}}}, "duckdb /q/a.db"),
        ({"credentials": {"db": {"con": "postgresql://u@host/a.db"}}}, None),
        ({"type": "pickle.PickleDataset", "backend": "duckdb", "filepath": "a.pkl"}, None),
        ({"filepath": "s3://bucket/a.duckdb"}, "duckdb s3://bucket/a.duckdb"),
    ],
)
def test_databases_are_found(entry, name):
    """By what catalog entries say: two entries of one database give one name."""
    assert shared_database(entry, "/p") == name
