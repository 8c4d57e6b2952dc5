"""Typed parameters under every runner and start method, and from the command line."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from treadle import Catalog, Pipeline, hook_impl, node
from treadle.errors import ConfigError, NodeError
from treadle.hooks import create_hook_manager, register_hooks


@dataclass
class Model:
    depth: int
    rate: float = 0.5


def fit(number: int, model: Model):
    return number * model.depth * model.rate


PIPELINE = Pipeline(
    [
        node(lambda: 4, None, "number", name="count"),
        node(fit, ["number", "params:model"], "fitted", name="fit"),
        node(sorted, "params:model", "raw", name="raw"),
    ]
)


def catalog_of(**model):
    made = Catalog()
    made.add_parameters({"model": model})
    return made


def test_built_where_the_node_runs(any_runner):
    """The function gets the instance, others get the plain mapping, in workers too."""
    result = any_runner.run(PIPELINE, catalog_of(depth=3))
    assert result["fitted"] == 6
    assert result["raw"] == ["depth"]


def test_checked_before_anything_runs(any_runner):
    """A wrong parameter is an error that names the key, before the first node runs."""
    events = []
    with pytest.raises(ConfigError, match=r"'model\.depth' cannot be used: it must be a whole number, not 'deep'") as caught:
        any_runner.run(PIPELINE, catalog_of(depth="deep"), observers=(events.append,))
    assert caught.value.key == "model.depth"
    assert events == []


class Deepen:
    """Gives the node another value, as a hook may."""

    def __init__(self, value):
        self.value = value

    @hook_impl
    def before_node_run(self, node, catalog, inputs, is_async, run_id):
        return {"params:model": self.value} if node.name == "fit" else None


@pytest.mark.parametrize(("value", "fitted"), [(Model(10, 1.0), 40.0), ({"depth": 10}, 20.0)])
def test_a_hook_may_give_an_instance(any_runner, value, fitted):
    """What `before_node_run` gives in place of a parameter is built too, or kept where it is an instance."""
    manager = create_hook_manager()
    register_hooks(manager, [Deepen(value)])
    assert any_runner.run(PIPELINE, catalog_of(depth=3), hooks=manager)["fitted"] == fitted


def test_a_hooks_wrong_value_is_the_nodes_failure(any_runner):
    """A wrong value that a hook gave is found when the node runs: the node fails, and the error names the key."""
    manager = create_hook_manager()
    register_hooks(manager, [Deepen({"depht": 1})])
    with pytest.raises(NodeError, match=r"model\.depht.*Did you mean 'depth'") as caught:
        any_runner.run(PIPELINE, catalog_of(depth=3), hooks=manager)
    assert caught.value.node == "fit"
    assert isinstance(caught.value.__cause__, ConfigError)


REGISTRY = """
from dataclasses import dataclass
from treadle import Pipeline, node

@dataclass
class Model:
    depth: int
    rate: float

def show(model: Model):
    print("depth is", model.depth)

def register_pipelines():
    return {"__default__": Pipeline([node(show, "params:model", None)])}
"""


def test_command_line(make_loom, treadle):
    """`--params` with a wrong value is a wrong input: one paragraph that names the key, and exit code 2."""
    root = make_loom()
    (root / "src/loom/pipeline_registry.py").write_text(REGISTRY)
    good = treadle(root, "run", "--params", "model.depth=7")
    wrong = treadle(root, "run", "--params", "model.depth=deep")
    assert good.wait() == 0, good.output
    assert "depth is 7" in good.output
    assert wrong.wait() == 2, wrong.output
    assert "'model.depth' cannot be used: it must be a whole number, not 'deep'" in " ".join(wrong.output.split())
    assert "Traceback" not in wrong.output
