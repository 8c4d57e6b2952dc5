"""Plugins in the processes that run nodes: they keep their order, and each is started once per process."""

from __future__ import annotations

import os
import pickle
import threading
import types

import pytest

from treadle.errors import HookError, WorkerSetupError
from treadle.execution.attempt.plugins import main_facts, pack_hooks, rebuild_hooks, start_plugins
from treadle.execution.protocol.messages import HookPayload, ProcessSpec
from treadle.execution.protocol.project import ProjectSpec
from treadle.execution.worker.bootstrap import WorkerProcess
from treadle.execution.worker.facts import worker_facts
from treadle.hooks import WorkerFacts, create_hook_manager, hook_impl, register_hooks, register_plugins
from treadle.project.logging import snapshot_levels

FACTS = WorkerFacts(1, "worker-1", os.getpid(), None, "spawn", 1, "/")
WORKER = ProcessSpec(
    ProjectSpec(None, (), snapshot_levels()), False, "/", {"PASSWORD": "secret"}, 2, 1, "/", "", start_method="loky"
)


class Client:
    """Has a connection for each process, counts its starts, and changes its state in the parent for each run."""

    starts = 0

    def __init__(self, lesson=None):
        self.connection = None
        self.lesson = lesson
        self.seen = []

    @hook_impl
    def on_worker_start(self, spec):
        type(self).starts += 1
        self.connection = f"{spec.label} {type(self).starts}"

    @hook_impl
    def before_node_run(self):
        self.connection += "!"


def manager_of(*hooks, source=None):
    manager = create_hook_manager()
    register_hooks(manager, hooks, source=source)
    return manager


def arrive(manager):
    """Return the copies that a worker would make for a run."""
    rebuilt = rebuild_hooks(pickle.loads(pickle.dumps(pack_hooks(manager))))
    start_plugins(rebuilt, FACTS)
    return [plugin for _name, plugin in rebuilt.list_name_plugin()]


def test_a_plugin_is_started_once_and_keeps_its_attributes():
    """Copies of later runs have the parent's new state; they are not started again, and get the current connection."""

    class Mine(Client):
        pass

    first = arrive(manager_of(Mine(1), source="test_once"))[0]
    first.before_node_run()
    (second,) = arrive(manager_of(Mine(2), source="test_once"))
    (third,) = arrive(manager_of(Mine(3), source="test_once"))
    assert first is not second
    assert [each.connection for each in (first, second, third)] == ["worker-1 1!"] * 3
    assert [each.lesson for each in (first, second, third)] == [1, 2, 3]
    assert Mine.starts == 1


def test_each_plugin_is_started():
    """Two instances of a class are two plugins, with or without a name; one that is registered later is started then."""

    class Mine(Client):
        pass

    one, two = Mine(), Mine()
    connections = [each.connection for each in arrive(manager_of(one, two))]
    assert connections == ["worker-1 2", "worker-1 1"]  # the one that was registered last is called first
    later = [each.connection for each in arrive(manager_of(one, Mine(), two))]
    assert later == ["worker-1 2", "worker-1 3", "worker-1 1"]


def test_a_deleted_working_directory_is_an_empty_one(monkeypatch, tmp_path):
    """Plugins start even so."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    assert main_facts().working_directory == str(gone)
    gone.rmdir()
    assert main_facts().working_directory == ""


def test_in_the_main_process_the_instance_itself_is_started():
    """In this process, the plugin is started once for all sessions, even if several threads start it at once."""

    class Mine(Client):
        pass

    plugin, facts = Mine(), main_facts()
    at_once = threading.Barrier(4)

    def run():
        at_once.wait()
        start_plugins(manager_of(plugin), facts)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert plugin.connection == "main 1"
    plugin.connection = "changed"
    start_plugins(manager_of(plugin), facts)
    assert plugin.connection == "changed"
    assert (facts.is_main, facts.number, facts.pid, facts.start_method) == (True, 0, os.getpid(), None)


def test_attributes_set_by_a_start_are_not_sent():
    """A connection that was made in this process is not sent, and does not make the plugin unpicklable."""

    class Mine(Client):
        @hook_impl
        def on_worker_start(self):
            self.connection = threading.Lock()
            self.made = threading.Lock()

    plugin = Mine("learned")
    start_plugins(manager_of(plugin), main_facts())
    (copy,) = [plugin for _name, plugin in rebuild_hooks(pack_hooks(manager_of(plugin))).list_name_plugin()]
    assert vars(copy) == {"connection": None, "lesson": "learned", "seen": []}
    assert plugin.made is not None


def test_a_module_keeps_its_own_state():
    """A module is the same object in every run: it is started once, and no attribute is set on it."""
    module = types.ModuleType("test_plugins_module")
    module.calls = []
    module.on_worker_start = hook_impl(lambda spec: module.calls.append(spec.label))
    for _ in range(2):
        start_plugins(manager_of(module), FACTS)
    assert module.calls == ["worker-1"]


def test_a_slotted_plugin_is_started_once_too():
    """A class without a __dict__ or without weak references is no error."""

    class Slotted:
        __slots__ = ("calls",)

        def __init__(self):
            self.calls = 0

        @hook_impl
        def on_worker_start(self):
            self.calls += 1

    plugin = Slotted()
    for _ in range(2):
        start_plugins(manager_of(plugin), main_facts())
    assert plugin.calls == 1


def test_a_start_that_fails_names_hook_and_plugin_and_is_tried_again():
    """The error has the user's exception; when the cause is removed, the next run starts the plugin."""

    class Mine(Client):
        broken = True

        @hook_impl
        def on_worker_start(self):
            if self.broken:
                raise ConnectionError("no server")

    manager = manager_of(Mine(), source="HOOKS")
    with pytest.raises(WorkerSetupError, match=r"worker-1 could not be .* hook on_worker_start of .*Mine \(HOOKS\[0\]\)") as e:
        start_plugins(manager, FACTS, "a run")
    assert (e.value.run_id, e.value.worker) == ("a run", "worker-1")
    assert isinstance(e.value.__cause__, ConnectionError)
    assert (e.value.failure.hook, e.value.failure.message) == ("on_worker_start", "no server")
    Mine.broken = False
    start_plugins(manager, FACTS)


class Ordered:
    """Records its calls; some instances ask to be first or last."""

    def __init__(self, label, calls=None):
        self.label = label

    @hook_impl
    def after_node_run(self, outputs):
        outputs.append(self.label)


class First(Ordered):
    @hook_impl(tryfirst=True)
    def after_node_run(self, outputs):
        outputs.append(self.label)


class Last(Ordered):
    @hook_impl(trylast=True)
    def after_node_run(self, outputs):
        outputs.append(self.label)


class Around(Ordered):
    @hook_impl(wrapper=True)
    def after_node_run(self, outputs):
        outputs.append(self.label)
        yield
        outputs.append(self.label)


def test_the_order_of_calls_is_that_of_the_parent():
    """A worker calls plugins in the parent's order: wrappers, tryfirst, last in first out, trylast."""
    manager = manager_of(Last("last"), Ordered("a"), First("first"), Around("around"), Ordered("b"), Last("last too"))
    arguments = dict.fromkeys(("node", "catalog", "inputs", "is_async", "run_id"))
    here, there = [], []
    manager.hook.after_node_run(outputs=here, **arguments)
    rebuild_hooks(pack_hooks(manager)).hook.after_node_run(outputs=there, **arguments)
    assert here == there == ["around", "first", "b", "a", "last", "last too", "around"]


class Locked(Client):
    def __init__(self):
        super().__init__()
        self.lock = threading.Lock()


def test_only_plugins_with_hooks_of_workers_are_sent():
    """A plugin with hooks of the parent only need not pickle; for any other, the error names it."""

    class ParentOnly:
        def __init__(self):
            self.lock = threading.Lock()

        @hook_impl
        def after_pipeline_run(self): ...

    assert pack_hooks(manager_of(ParentOnly())) == ()
    assert rebuild_hooks(()) is None
    with pytest.raises(HookError, match="Locked cannot be sent to worker processes"):
        pack_hooks(manager_of(Locked()))


def test_an_unpicklable_plugin_with_an_entry_point_is_imported(tmp_path, monkeypatch, caplog):
    """Each worker imports it by its entry point, under the same name, and starts it."""
    (tmp_path / "shop_prices.py").write_text(
        "import threading\n"
        "from treadle import hook_impl\n"
        "class Prices:\n"
        "    def __init__(self):\n"
        "        self.lock = threading.Lock()\n"
        "    @hook_impl\n"
        "    def on_worker_start(self, spec):\n"
        "        self.label = spec.label\n"
        "prices = Prices()\n"
    )
    info = tmp_path / "shop_prices-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shop-prices\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[treadle.hooks]\nprices = shop_prices:prices\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    manager = create_hook_manager()
    assert register_plugins(manager) == ("shop-prices:prices",)
    (payload,) = pack_hooks(manager)
    assert payload == HookPayload("shop-prices:prices", None)
    assert "The hooks shop_prices.Prices (shop-prices:prices) cannot be pickled" in caplog.text
    rebuilt = rebuild_hooks((payload,))
    start_plugins(rebuilt, FACTS)
    assert rebuilt.get_plugin("shop-prices:prices").label == "worker-1"


def test_a_plugin_that_cannot_be_restored_is_named():
    """The error names the plugin and the reason."""
    with pytest.raises(HookError, match=r"The hooks shop:prices cannot be created in a worker process: UnpicklingError"):
        rebuild_hooks((HookPayload("shop:prices", b"broken"),))


def test_facts_contain_no_secrets():
    """The description of a worker that plugins receive contains no environment variables."""
    facts = worker_facts(WorkerProcess(3, "worker-3", WORKER, None, None, 2))
    assert facts == WorkerFacts(3, "worker-3", os.getpid(), None, "loky", 2, "/")
    assert "secret" not in repr(facts)
    assert not facts.is_main
    assert pickle.loads(pickle.dumps(facts)) == facts
    with pytest.raises(AttributeError):
        facts.number = 4
