"""What an `execution.yml` says: which layer wins, which names and keys are refused, and what becomes part of a plan."""

from __future__ import annotations

import math

import pytest

from treadle import Catalog, ConfigError, NodePolicy, Pipeline, RunnerError, node
from treadle.pipeline.policy import FailurePolicy
from treadle.planning import compile_plan
from treadle.planning.needs import check_needs
from treadle.planning.policies import NO_RULES, read_policies


def nodes():
    return [
        node(len, "x", "a", name="plain"),
        node(len, "x", "b", name="own", policy=NodePolicy(retries=1, timeout=10)),
        node(len, "x", "c", name="tagged", tags=["slow"], policy=NodePolicy(retries=1)),
    ]


def policies(config, *, of=None):
    plan = compile_plan(Pipeline(of or nodes()), Catalog({"x": "abc"}), read_policies(config))
    return {planned.name: policy for planned, policy in zip(plan.nodes, plan.policies, strict=True)} if plan.policies else {}


def test_without_policies_a_plan_has_none():
    """A plan whose nodes say nothing, of which nothing is said, carries nothing."""
    assert compile_plan(Pipeline([node(len, "x", "a")]), Catalog({"x": "abc"})).policies == ()
    assert read_policies(None) is read_policies({}) is NO_RULES


def test_layers():
    """`defaults` are under what the code says, tags over it, names over all; each by its own fields."""
    found = policies(
        {
            "defaults": {"retries": 5, "retry_delay": "1s"},
            "tags": {"slow": {"retries": 7, "timeout": "1m"}},
            "nodes": {"tagged": {"timeout": None}, "own": {"resources": {"gpu": 1}}},
        }
    )
    assert found["plain"] == NodePolicy(retries=5, retry_delay=1)
    assert found["own"] == NodePolicy(retries=1, retry_delay=1, timeout=10, resources={"gpu": 1})
    assert (found["tagged"].retries, found["tagged"].timeout) == (7, math.inf)


def test_a_limit_that_is_taken_away():
    """A timeout of null is none."""
    plan = compile_plan(Pipeline(nodes()), Catalog({"x": "abc"}), read_policies({"nodes": {"own": {"timeout": None}}}))
    assert plan.timeouts == {}


def test_what_a_plan_carries():
    """Limits of resources, the run's default, and who runs in the main process are part of the plan."""
    rules = read_policies(
        {"resources": {"gpu": 2}, "defaults": {"on_failure": "continue"}, "nodes": {"plain": {"run_in": "main"}}}
    )
    plan = compile_plan(Pipeline(nodes()), Catalog({"x": "abc"}), rules)
    assert (dict(plan.resources), plan.on_failure) == ({"gpu": 2}, FailurePolicy.CONTINUE)
    assert [planned.name for planned in plan.nodes if planned.main_only] == ["plain"]
    assert plan.timeouts == {1: 10.0}


@pytest.mark.parametrize(
    ("config", "key", "said"),
    [
        ({"node": {}}, "node", "Did you mean 'nodes'?"),
        ({"nodes": {"own": {"retrys": 1}}}, "nodes.own.retrys", "Did you mean 'retries'"),
        ({"nodes": {"own": {"retries": "two"}}}, "nodes.own.retries", "give a whole number, 0 or more"),
        ({"tags": {"slow": {"timeout": "soon"}}}, "tags.slow.timeout", "it is 'soon'; give seconds"),
        ({"defaults": {"resources": {"gpu": -1}}}, "defaults.resources", "gpu is -1"),
        ({"defaults": {"on_failure": "ignore"}}, "defaults.on_failure", "'stop' or 'continue'"),
        ({"defaults": {"run_in": "cloud"}}, "defaults.run_in", "'main' or 'worker'"),
        ({"resources": {"memory": "lots"}}, "resources", "memory is 'lots'"),
        ({"nodes": ["own"]}, "nodes", "give a mapping of names"),
        ({"nodes": {"own": 3}}, "nodes.own", "give a mapping of retries"),
        (["nodes"], None, "give a mapping of defaults, nodes, tags, resources"),
    ],
)
def test_wrong_content(config, key, said):
    """The error names the file, the key and the value, with a close match where there is one."""
    with pytest.raises(ConfigError) as caught:
        read_policies(config, file="conf/base/execution.yml")
    assert caught.value.key == key
    assert said in str(caught.value)
    assert str(caught.value).startswith("conf/base/execution.yml: ")


@pytest.mark.parametrize(
    ("config", "key", "said"),
    [
        ({"nodes": {"onw": {}}}, "nodes.onw", "the project has no node of this name. Did you mean 'own'?"),
        ({"tags": {"slwo": {}}}, "tags.slwo", "the project has no tag of this name. Did you mean 'slow'?"),
        ({"nodes": {"?": {}}}, "nodes.?", "The nodes are: own, plain, tagged."),
    ],
)
def test_unknown_names(config, key, said):
    """A policy for a node or tag that does not exist is refused, with a close match."""
    with pytest.raises(ConfigError) as caught:
        read_policies(config, locate=lambda path: ("execution.yml", len(path)), nodes=nodes())
    assert (caught.value.key, caught.value.file, caught.value.line) == (key, "execution.yml", 2)
    assert said in str(caught.value)


def test_all_problems_are_reported_together():
    """Keys, values, unknown names and conflicting tags are one error, with file, line and key of each."""
    config = {
        "default": {},
        "resources": {"gpu": "one"},
        "nodes": {"own": {"retries": "two", "timeuot": 3}, "onw": {"run_in": "cloud"}},
        "tags": {"slwo": {}, "slow": 3, "left": {"retries": 1}, "right": {"retries": 2}},
    }
    there = [*nodes(), node(len, "x", "d", name="both", tags=["left", "right"])]
    asked = []
    with pytest.raises(ConfigError) as caught:
        read_policies(
            config, locate=lambda path: (f"{path[0]}.yml", len(path)), nodes=there, other_nodes=lambda: asked.append(1) or there
        )
    first, *lines = str(caught.value).splitlines()
    assert first == "The execution configuration has 9 problems:"
    assert [line.partition("': ")[0] for line in lines] == [
        "  default.yml, line 1: the execution key 'default",
        "  resources.yml, line 1: the execution key 'resources",
        "  nodes.yml, line 3: the execution key 'nodes.own.timeuot",
        "  nodes.yml, line 3: the execution key 'nodes.own.retries",
        "  nodes.yml, line 3: the execution key 'nodes.onw.run_in",
        "  tags.yml, line 2: the execution key 'tags.slow",
        "  nodes.yml, line 2: the execution key 'nodes.onw",
        "  tags.yml, line 2: the execution key 'tags.slwo",
        "  tags.yml, line 3: the execution key 'tags.right.retries",
    ]
    assert caught.value.key == "default"
    assert asked == [1]


def test_other_nodes_are_asked_for_only_where_need_be():
    """A name of a node that runs needs no look at the others; where nobody can say, a strange name passes."""
    read_policies({"nodes": {"own": {"retries": 1}}}, nodes=nodes(), other_nodes=lambda: pytest.fail("was asked"))
    rules = read_policies({"nodes": {"elsewhere": {"retries": 1}}}, nodes=nodes(), other_nodes=lambda: None)
    assert rules.nodes["elsewhere"] == NodePolicy(retries=1)


def test_conflicting_tags():
    """Two tags that say different things of one node are an error that names all three; a name says what is meant."""
    both = [node(len, "x", "a", name="n", tags=["left", "right"])]
    config = {
        "tags": {"left": {"retries": 1, "resources": {"gpu": 1}}, "right": {"retries": 1, "resources": {"memory": 1}}},
    }
    assert policies(config, of=both)["n"] == NodePolicy(retries=1, resources={"gpu": 1, "memory": 1})
    config["tags"]["right"]["resources"] = {"gpu": 2}
    with pytest.raises(ConfigError, match=r"'n' has the tags 'left' and 'right', which set different values") as caught:
        policies(config, of=both)
    assert caught.value.key == "tags.right.resources.gpu"


def test_needs_and_limits():
    """A need within its limit passes; one above it, and one that nobody limits, are refused by node and name."""
    plan = compile_plan(Pipeline(nodes()), Catalog({"x": "abc"}), read_policies({"nodes": {"own": {"resources": {"gpus": 2}}}}))
    check_needs(plan, {"gpus": 2})
    with pytest.raises(RunnerError, match=r"'own' requests gpus: 2, but the limit is 1"):
        check_needs(plan, {"gpus": 1})
    with pytest.raises(RunnerError, match=r"'own' requests gpus: 2, but no limit of that resource is set. Did you mean 'gpu'"):
        check_needs(plan, {"gpu": 2})
    short = [node(len, "x", name, name=name, policy=NodePolicy(resources={"gpu": 1})) for name in ("first", "second")]
    with pytest.raises(RunnerError, match=r"(?s)'first' requests gpu.*\n.*'second' requests gpu"):
        check_needs(compile_plan(Pipeline(short), Catalog({"x": "abc"})), {})


def test_at_most_ten_problems_are_listed():
    """The rest are counted: what is wrong in the same way of a thousand nodes fills no screen."""
    with pytest.raises(ConfigError) as caught:
        read_policies({"nodes": {f"n{index}": {"retries": -1} for index in range(25)}})
    first, *lines = str(caught.value).splitlines()
    assert first == "The execution configuration has 25 problems:"
    assert len(lines) == 11
    assert lines[-1] == "  … and 15 more."
