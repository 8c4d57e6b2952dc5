"""Data that plugins collect in workers is merged into the plugins of the main process."""

from __future__ import annotations

import os
import pickle
from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field

import pytest

pytest.importorskip("kedro", reason="the Kedro runner's tests need Kedro")

from kedro.framework.hooks import hook_impl

pytestmark = pytest.mark.filterwarnings("ignore")  # Kedro's own, and those of what it imports


@pytest.fixture
def gathered(knots, warm_runner, tmp_path, caplog):
    """A plugin after a run on two workers, with an unpicklable dataset in the catalog; and the log."""
    from kedro.framework.hooks.manager import _create_hook_manager
    from kedro.io import DataCatalog, MemoryDataset
    from kedro.pipeline import node, pipeline

    meeting = tmp_path / "meeting"
    os.mkfifo(meeting)
    catalog = DataCatalog(
        {
            "a": MemoryDataset(3),
            "meeting": MemoryDataset(str(meeting)),
            "at_home": knots.UnpicklableDataset(5),
            "kept": knots.TemporaryDataset(str(tmp_path)),
        }
    )
    nodes = [
        node(knots.greet, ["a", "meeting"], "first", name="greet"),
        node(knots.answer, ["a", "meeting"], "second", name="answer"),
        node(knots.times_two, "at_home", "third", name="home"),
        node(knots.times_two, "a", "kept", name="keep"),
    ]
    hooks = knots.GatheringHooks()
    hooks.know(catalog)
    manager = _create_hook_manager()
    manager.register(hooks)
    warm_runner.run(pipeline(nodes), catalog, manager)
    return hooks, caplog.text


def test_data_of_workers_is_merged(gathered):
    """Entries, items, members and counts from two workers and the main process are added to the earlier ones."""
    hooks, log = gathered
    assert set(hooks.stats) == {"earlier", "first", "second", "third", "kept"}
    assert hooks.stats["earlier"] == {"rows": 1}
    assert hooks.stats["third"] == {"value": 10, "kind": "MemoryDataset", "same": True}
    assert hooks.stats["kept"] == {"value": 6, "kind": "TemporaryDataset", "same": True}
    assert hooks.order[0] == "begin"
    assert Counter(hooks.order) == Counter(["begin", "greet", "answer", "home", "keep"])
    assert hooks.seen == {"begin", "greet", "answer", "home", "keep"}
    assert hooks.calls == {"greet": 1, "answer": 1, "times_two": 2}
    assert (hooks.seconds, hooks.tally.nodes, hooks.latest, hooks.started) == (2.5, 4, "later", {})
    assert "each worker creates its own" not in log
    assert "could not be merged" not in log


@pytest.mark.parametrize(
    ("before", "mine", "theirs", "merged"),
    [
        ({"a": {"n": 1}}, {"a": {"n": 1}, "b": 2}, {"a": {"n": 4}, "c": 3}, {"a": {"n": 4}, "b": 2, "c": 3}),
        ({"a": 1, "gone": 1}, {"a": 1, "gone": 1}, {"a": 1}, {"a": 1}),
        ([1], [1, 2], [1, 3], [1, 2, 3]),
        ([1, 2], [1, 2], [9], [9]),
        (deque([1], 3), deque([1, 2], 3), deque([1, 3, 4], 3), deque([2, 3, 4], 3)),
        ({1, 2}, {1, 2, 3}, {2, 4}, {2, 3, 4}),
        (5, 7, 6, 8),
        (True, True, False, False),
        (None, "mine", "theirs", "theirs"),
        (Counter(), Counter(a=2), Counter(a=3), Counter(a=5)),
        (defaultdict(int), defaultdict(int, a=2), defaultdict(int, a=3), {"a": 5}),
        ({}, {"rows": 4}, {"rows": 4}, {"rows": 4}),
    ],
)
def test_merging_values(before, mine, theirs, merged):
    """Changes of the other process since `before` are added to the changes of this one."""
    from treadle.kedro.plugin_state import merge_into

    holder = {"value": mine}
    merge_into(holder, "value", before, theirs)
    assert holder == {"value": merged}


def test_frames_and_arrays_are_replaced():
    """Values whose comparison has no truth value are replaced by the latest one."""
    import numpy as np

    from treadle.kedro.plugin_state import merge_into

    holder = {"value": {"a": np.zeros(2)}}
    merge_into(holder, "value", {"a": np.zeros(2)}, {"a": np.ones(2)})
    assert holder["value"]["a"].tolist() == [1, 1]


@dataclass
class Reader:
    """A plugin that writes into a list that other plugins use too. As an instance of a dataclass, it cannot be hashed."""

    journal: list
    again: list | None = None
    others: list = field(default_factory=list)

    @hook_impl
    def after_node_run(self, node):
        self.journal.append(node.name)


@pytest.mark.parametrize("together", [True, False])
def test_an_object_with_several_references_is_merged_once(tmp_path, together):
    """What a worker adds to it arrives once, whichever attributes, plugins and cycles refer to it; copies are merged each."""
    from treadle.kedro.hook_pickling import RunObjects
    from treadle.kedro.plugin_state import PluginStateMerger, PluginStateWriter

    journal = ["begin"]
    plugins = [Reader(journal, journal), Reader(journal)]
    for plugin in plugins:
        plugin.others.extend(plugins if together else [plugin])
    merger = PluginStateMerger(plugins, RunObjects(), together=together)
    sent = pickle.loads(pickle.dumps(plugins)) if together else [pickle.loads(pickle.dumps(each)) for each in plugins]
    writer = PluginStateWriter(str(tmp_path), sent, None)
    for plugin in sent:
        plugin.journal.append("worker")
    writer.write()
    merger.merge(str(tmp_path), pytest.fail)
    assert journal == ["begin", "worker", "worker"]
    assert plugins[0].again is plugins[0].journal is plugins[1].journal is journal


def test_plugins_that_share_an_object(knots, warm_runner):
    """Two plugins that cannot be hashed write into one list, in workers as under Kedro's SequentialRunner."""
    from kedro.framework.hooks.manager import _create_hook_manager
    from kedro.io import DataCatalog, MemoryDataset
    from kedro.pipeline import node, pipeline
    from kedro.runner import SequentialRunner

    for runner in (SequentialRunner(), warm_runner):
        journal = []
        manager = _create_hook_manager()
        for plugin in (Reader(journal, journal), Reader(journal)):
            manager.register(plugin)
        nodes = [node(knots.times_two, "a", f"b{number}", name=f"n{number}") for number in range(3)]
        runner.run(pipeline(nodes), DataCatalog({"a": MemoryDataset(1)}), manager)
        assert sorted(journal) == ["n0", "n0", "n1", "n1", "n2", "n2"]
