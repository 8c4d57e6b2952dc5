"""What dask workers are sent of a run."""

from __future__ import annotations

import pickle

from treadle import Catalog, Pipeline, node
from treadle.execution.executors.dask.sent_parts import RunParts, SentParts
from treadle.execution.packing.bundle import RunBundle
from treadle.execution.protocol.messages import Job
from treadle.hooks import create_hook_manager, hook_impl
from treadle.planning import compile_plan
from treadle.secrets import register_secrets

KEYS = {name: f"key-of-{name}-0815" for name in ("used", "made", "other")}


def parts_of(hooks=None):
    """The parts of a run of two nodes; a third entry of the catalog is used by no node."""
    register_secrets({"password": "of-nothing-here-4711"})
    entries = {
        name: {"type": "text.TextDataset", "filepath": f"s3://bucket/{name}", "credentials": f"{name}_login"} for name in KEYS
    }
    catalog = Catalog.from_config(entries, {f"{name}_login": {"key": key} for name, key in KEYS.items()})
    pipeline = Pipeline([node(len, "used", "length", name="first"), node(str, "length", "made", name="second")])
    plan = compile_plan(pipeline, catalog)
    return RunParts(RunBundle("run", plan, catalog, hooks)), [each.name for each in plan.nodes]


def test_a_worker_is_sent_the_datasets_of_its_own_nodes():
    """Each once, with the secrets in it, with the first job that uses it; the description of the run has none."""
    parts, nodes = parts_of()
    assert pickle.loads(parts.spec).secrets == ()
    assert not [key for key in KEYS.values() if key.encode() in parts.spec]
    first, second = (Job(1, (nodes.index(name),)) for name in ("first", "second"))
    one, other = SentParts(parts, "a"), SentParts(parts, "b")
    (sent,) = one.new_datasets(first)
    assert (sent.name, sent.secrets) == ("used", (KEYS["used"],))
    assert KEYS["used"].encode() in sent.pickled
    assert KEYS["used"] not in repr(sent)
    assert one.new_datasets(first) == ()
    assert [each.name for each in other.new_datasets(second)] == ["made"]


class Looking:
    """A plugin that may use any dataset."""

    @hook_impl
    def before_node_run(self, catalog):
        """Do nothing."""


def test_a_hook_that_takes_the_catalog_needs_all_datasets_of_the_run():
    """Then the description of the run has them, with their secrets, but not those that no node uses."""
    hooks = create_hook_manager()
    hooks.register(Looking())
    parts, nodes = parts_of(hooks)
    assert set(pickle.loads(parts.spec).secrets) == {KEYS["used"], KEYS["made"]}
    assert KEYS["other"].encode() not in parts.spec
    assert SentParts(parts, "a").new_datasets(Job(1, tuple(range(len(nodes))))) == ()
