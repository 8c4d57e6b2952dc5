"""Hooks of Kedro projects in workers: hooks that fail, plugins that cannot be pickled, disabled plugins."""

from __future__ import annotations

import json
import logging
import threading

import pytest

pytest.importorskip("kedro", reason="the Kedro runner's tests need Kedro")
pytest.importorskip("kedro_datasets", reason="the projects use kedro-datasets")

pytestmark = pytest.mark.filterwarnings("ignore")  # Kedro's own, and those of what it imports


def manager_of(*plugins):
    """Make a Kedro hook manager with these plugins."""
    from kedro.framework.hooks.manager import _create_hook_manager

    manager = _create_hook_manager()
    for plugin in plugins:
        manager.register(plugin)
    return manager


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, RuntimeError])
def test_an_error_hook_that_fails_does_not_hide_why_the_node_failed(run, knots, caplog, kind):
    """Whatever on_node_error raises, an exit too, the run raises what the node raised; the hook's fault is in the log."""
    from kedro.pipeline import node

    hooks = manager_of(knots.RaisingHooks("on_node_error", kind))
    with caplog.at_level(logging.INFO), pytest.raises(ZeroDivisionError, match="division by zero"):
        run([node(knots.divide_by, "zero", "never", name="divide")], {"zero": 0}, hooks)
    (told,) = [text for record in caplog.records if "itself failed" in (text := record.getMessage())]
    assert told.startswith("The on_node_error hook of knots.RaisingHooks itself failed for node 'divide'\n")
    assert f"{kind.__name__}: out of on_node_error" in told


def test_an_error_hook_that_exits_in_the_main_process(run, knots, caplog):
    """A node that runs in the main process fails with its own error too, though its error hook asks for an exit."""
    from kedro.pipeline import node

    hooks = manager_of(knots.RaisingHooks("on_node_error", SystemExit))
    nodes = [node(knots.divide_by, "at_home", "never", name="divide")]
    with pytest.raises(ZeroDivisionError):
        run(nodes, {"at_home": knots.UnpicklableDataset(0)}, hooks)
    assert "RaisingHooks itself failed for node 'divide'" in caplog.text


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("hook", ["before_dataset_loaded", "before_node_run", "after_node_run", "after_dataset_saved"])
def test_a_hook_that_fails_is_named(knots, hook, is_async):
    """What a hook raises is what the run raises, as under Kedro's own runners; beside it stand hook, plugin and node."""
    from kedro.io import DataCatalog, MemoryDataset
    from kedro.pipeline import node, pipeline

    from treadle.errors import NodeError
    from treadle.kedro import ParallelRunner

    runner = ParallelRunner(max_workers=1, start_method="fork", is_async=is_async)
    nodes = pipeline([node(knots.times_two, "a", "b", name="double")])
    with pytest.raises(RuntimeError, match=f"out of {hook}") as caught:
        runner.run(nodes, DataCatalog({"a": MemoryDataset(1)}), manager_of(knots.RaisingHooks(hook, RuntimeError)))
    beside = caught.value.__cause__
    assert isinstance(beside, NodeError)
    assert f"Node 'double' failed in the hook {hook} of knots.RaisingHooks" in str(beside)


def test_what_a_hook_is_given_is_its_to_keep(run, knots):
    """The mappings of inputs and outputs that a hook keeps stay as they are; the node's own are not the hook's."""
    from kedro.pipeline import node

    nodes = [node(divmod, ["a", "b"], ["quotient", "rest"]), node(knots.times_two, "rest", "double")]
    assert run(nodes, {"a": 7, "b": 4}, manager_of(knots.KeepingHooks())) == {"quotient": 1, "double": 6}


def test_what_a_hook_is_given_is_its_to_keep_with_threads(knots):
    """The same where inputs are loaded and outputs saved by threads."""
    from kedro.io import DataCatalog, MemoryDataset
    from kedro.pipeline import node, pipeline

    from treadle.kedro import ParallelRunner

    nodes = pipeline([node(divmod, ["a", "b"], ["quotient", "rest"]), node(knots.times_two, "rest", "double")])
    catalog = DataCatalog({"a": MemoryDataset(7), "b": MemoryDataset(4)})
    runner = ParallelRunner(max_workers=1, start_method="fork", is_async=True)
    result = runner.run(nodes, catalog, manager_of(knots.KeepingHooks()))
    assert {name: dataset.load() for name, dataset in result.items()} == {"quotient": 1, "double": 6}


def test_a_hook_that_does_not_pickle_is_made_in_each_worker(lane, method):
    """A hook instance that holds a lock is taken from settings.py in each worker, with one warning that says so."""
    done = lane.treadle(method, LANE_HOOKS="holding")
    assert sum("held" in event for event in lane.events()) == 5
    assert (done.stdout + done.stderr).replace("\n", " ").count("cannot be pickled") == 1
    assert json.loads((lane.root / "data/joined.json").read_text()) == [4, 8, 12]


def test_a_hook_that_holds_the_context_has_one_in_each_worker(lane, method, make_project):
    """A worker's context gives what the session's gives: params, environment, configuration, catalog, what hooks added."""
    sequential = make_project("lane")
    sequential.kedro("--params=factor=3", LANE_HOOKS="contextual")
    done = lane.treadle(method, "--params=factor=3", LANE_HOOKS="contextual")
    assert lane.events() == sequential.events()
    assert '"factor": 3' in str(lane.events())
    assert "each worker creates its own" not in done.stdout + done.stderr


def test_a_hook_that_cannot_be_made_again_is_an_error(knots):
    """A hook instance that neither pickles nor stands in settings.py is one clear error before any node runs."""
    from kedro.framework.hooks import hook_impl
    from kedro.io import DataCatalog, MemoryDataset
    from kedro.pipeline import node, pipeline

    from treadle.errors import HookError
    from treadle.kedro import ParallelRunner

    class Locked:
        def __init__(self):
            self.lock = threading.Lock()

        @hook_impl
        def before_node_run(self, node):
            raise AssertionError(node)

    nodes = pipeline([node(knots.pid, "a", "b")])
    with pytest.raises(HookError, match=r"Locked cannot be sent to worker processes \(TypeError: .*\)\. List them in HOOKS"):
        ParallelRunner(max_workers=1, start_method="fork").run(nodes, DataCatalog({"a": MemoryDataset(1)}), manager_of(Locked()))


def test_a_plugin_that_is_switched_off_is_off_in_workers(lane, method):
    """DISABLE_HOOKS_FOR_PLUGINS holds in workers; with Treadle's own plugin off, the run does without execution.yml."""
    settings = lane.root / "src/lane/settings.py"
    settings.write_text(settings.read_text() + '\nDISABLE_HOOKS_FOR_PLUGINS = ("mill-plugin", "treadle")\n')
    (lane.root / "conf/base/execution.yml").write_text("nodes: {nobody: {retries: 1}}", encoding="utf-8")
    lane.treadle(method)
    assert json.loads((lane.root / "data/joined.json").read_text()) == [4, 8, 12]
    assert not (lane.root / "stopwatch.jsonl").exists()


def test_a_worker_that_cannot_be_set_up_is_told(lane):
    """An error in the project's code that only a worker meets is told as what it is, not as a dead pool."""
    settings = lane.root / "src/lane/settings.py"
    text = "import multiprocessing\nif multiprocessing.parent_process() is not None:\n    raise ImportError('not here')\n"
    settings.write_text(text + settings.read_text())
    done = lane.treadle("spawn", LANE_HOOKS="holding", fails=True)
    assert "not here" in done.stderr
