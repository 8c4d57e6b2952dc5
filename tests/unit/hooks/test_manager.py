"""Hook managers: what may be registered, what is called, and what the errors say."""

from __future__ import annotations

import inspect
import types
from typing import TYPE_CHECKING, Any

import pytest

from treadle.errors import HookError
from treadle.hooks import create_hook_manager, hook_impl, implemented, register_hooks, register_plugins
from treadle.hooks.specs import SPECS, hook_names

if TYPE_CHECKING:
    from pathlib import Path


class Recorder:
    """Hooks that keep what they were given."""

    def __init__(self, label: str = "", log: list[Any] | None = None) -> None:
        self.label = label
        self.log = [] if log is None else log

    @hook_impl
    def before_dataset_loaded(self, dataset_name: str) -> None:
        self.log.append((self.label, dataset_name))

    @hook_impl
    def before_node_run(self, inputs: dict[str, Any]) -> dict[str, Any]:
        return {name: value + 1 for name, value in inputs.items()}


EXPECTED = {
    "on_session_created": "session_data",
    "after_context_created": "context",
    "after_catalog_created": "catalog conf_catalog conf_creds parameters save_version load_versions",
    "before_pipeline_run": "run_params pipeline catalog",
    "after_pipeline_run": "run_params run_result pipeline catalog",
    "on_pipeline_error": "error run_params pipeline catalog",
    "on_worker_start": "spec",
    "before_node_run": "node catalog inputs is_async run_id",
    "after_node_run": "node catalog inputs outputs is_async run_id",
    "on_node_error": "error node catalog inputs is_async run_id",
    "before_dataset_loaded": "dataset_name node",
    "after_dataset_loaded": "dataset_name data node",
    "before_dataset_saved": "dataset_name data node",
    "after_dataset_saved": "dataset_name data node",
}


def test_specs_are_the_reference_ones() -> None:
    """Every hook has the name and the arguments that users of such frameworks know, and two more: sessions and workers."""
    declared = {
        name: " ".join(list(inspect.signature(vars(specs)[name]).parameters)[1:])
        for specs in SPECS
        for name in vars(specs)
        if not name.startswith("_")
    }
    assert declared == EXPECTED
    assert hook_names() == tuple(EXPECTED)


def test_new_manager_calls_nothing() -> None:
    """A manager without implementations answers every hook with an empty list."""
    manager = create_hook_manager()
    assert [name for name in hook_names() if implemented(manager, name)] == []
    assert manager.hook.on_session_created(session_data={}) == []


def test_registered_hooks_are_called_last_first_with_the_arguments_they_take() -> None:
    """An implementation takes a part of the arguments; the one registered last is called first."""
    log: list[Any] = []
    manager = create_hook_manager()
    register_hooks(manager, [Recorder("a", log), Recorder("b", log)])
    manager.hook.before_dataset_loaded(dataset_name="raw", node=None)
    assert log == [("b", "raw"), ("a", "raw")]
    assert implemented(manager, "before_dataset_loaded")
    assert not implemented(manager, "after_dataset_loaded")


def test_before_node_run_hands_back_inputs() -> None:
    """What before_node_run returns reaches the caller."""
    manager = create_hook_manager()
    register_hooks(manager, [Recorder()])
    answers = manager.hook.before_node_run(node=None, catalog=None, inputs={"x": 1}, is_async=False, run_id="r")
    assert answers == [{"x": 2}]


def test_registering_twice_registers_once() -> None:
    """The same instance given twice is called once."""
    recorder = Recorder()
    manager = create_hook_manager()
    register_hooks(manager, [recorder, recorder])
    register_hooks(manager, [recorder])
    manager.hook.before_dataset_loaded(dataset_name="raw", node=None)
    assert recorder.log == [("", "raw")]


def test_module_can_be_registered() -> None:
    """Functions of a module are hooks too."""
    module = types.ModuleType("some_hooks")
    seen = []

    @hook_impl
    def on_session_created(session_data: dict[str, Any]) -> None:
        seen.append(session_data)

    module.on_session_created = on_session_created  # type: ignore[attr-defined]  # a module made for this test
    manager = create_hook_manager()
    register_hooks(manager, [module])
    manager.hook.on_session_created(session_data={"session_id": "s"})
    assert seen == [{"session_id": "s"}]


def test_class_is_refused() -> None:
    """A class in place of an instance is an error that shows the parentheses."""
    with pytest.raises(HookError, match=r"Recorder\(\) with parentheses") as caught:
        register_hooks(create_hook_manager(), [Recorder])
    assert caught.value.plugin is not None
    assert "Recorder" in caught.value.plugin


def test_unknown_hook_suggests_close_names() -> None:
    """A marked method that fits no hook is an error with close matches."""

    class Typo:
        @hook_impl
        def before_node_runs(self) -> None: ...

    with pytest.raises(HookError, match="Did you mean 'before_node_run'") as caught:
        register_hooks(create_hook_manager(), [Typo()])
    assert caught.value.hook == "before_node_runs"


def test_unmarked_hook_is_refused() -> None:
    """An object whose methods look like hooks but are not marked is an error that says to mark them."""

    class Unmarked:
        def before_node_run(self) -> None: ...

    with pytest.raises(HookError, match="decorate it with @hook_impl") as caught:
        register_hooks(create_hook_manager(), [Unmarked()])
    assert caught.value.hook == "before_node_run"


def test_unknown_argument_is_refused_and_leaves_no_trace() -> None:
    """An implementation that takes an argument the hook does not offer is told what it offers; the manager stays usable."""

    class Greedy:
        @hook_impl
        def before_dataset_loaded(self, dataset: str) -> None: ...

    manager = create_hook_manager()
    with pytest.raises(HookError, match=r"has no argument 'dataset'.*: dataset_name, node\."):
        register_hooks(manager, [Greedy()])
    assert manager.hook.before_dataset_loaded(dataset_name="raw", node=None) == []


def _install_plugin(folder: Path, distribution: str, target: str) -> None:
    info = folder / f"{distribution.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[treadle.hooks]\nmain = {target}\n")


def test_plugins_register_by_entry_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed distribution's hooks are registered once, and may be disabled by its name in any spelling."""
    _install_plugin(tmp_path, "demo-audit", "demo_audit_plugin:hooks")
    (tmp_path / "demo_audit_plugin.py").write_text(
        "from treadle.hooks import hook_impl\n"
        "class Audit:\n"
        "    @hook_impl\n"
        "    def on_session_created(self, session_data):\n"
        "        return 'seen'\n"
        "hooks = Audit()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    manager = create_hook_manager()
    assert register_plugins(manager) == ("demo-audit:main",)
    assert register_plugins(manager) == ()
    assert manager.hook.on_session_created(session_data={}) == ["seen"]
    assert register_plugins(create_hook_manager(), disabled=("Demo_Audit",)) == ()


def test_broken_plugin_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plugin that cannot be imported is an error that names it and the setting that turns it off."""
    _install_plugin(tmp_path, "demo-broken", "demo_broken_plugin_that_is_not_there:hooks")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(HookError, match="DISABLE_HOOKS_FOR_PLUGINS") as caught:
        register_plugins(create_hook_manager())
    assert caught.value.plugin == "demo-broken:main"
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)
