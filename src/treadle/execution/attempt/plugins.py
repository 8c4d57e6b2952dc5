"""Transfer plugins to the processes that run nodes, and start each plugin once per process.

::

    parent                                     worker
    pack_hooks(manager) ──(in the RunSpec)──►  rebuild_hooks: a copy for each run, in the order of registration
                                               start_plugins: on_worker_start, once in the lifetime of the process

Each run sends a worker new copies of the plugins, with their current state in the parent. The attributes that `on_worker_start`
set on a copy stay in the worker and are transferred to later copies. State, one per process: the plugins that were started, and
the attributes that they set. A forked child starts with an empty state.
"""

from __future__ import annotations

import copy
import itertools
import logging
import os
import pickle
import threading
import weakref
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Any

from treadle.errors import HookError, WorkerSetupError
from treadle.execution.attempt.failure import record_failure
from treadle.execution.attempt.verdict import describe_failed_start
from treadle.execution.protocol.handles import UnpicklableValueError
from treadle.execution.protocol.messages import HookPayload
from treadle.execution.values.in_band import pickle_in_band
from treadle.forks import fork_safe
from treadle.hooks import describe_plugin, implemented, plugin_at_fault, plugins_implementing
from treadle.hooks.facts import WorkerFacts
from treadle.hooks.registered import ANONYMOUS
from treadle.plugins import HOOKS, offered, plugin_name
from treadle.project.current import configured_project, is_configured
from treadle.working_directory import working_directory

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Sequence

    import pluggy


_START = "on_worker_start"
_logger = logging.getLogger(__name__)


class _StartedPlugin:
    """A plugin that was started in this process.

    Attributes:
        names: the attributes that `on_worker_start` set on it.
        before: the earlier values of those attributes that existed before.
        latest: returns the latest copy of the plugin, which has these attributes.
    """

    def __init__(self, names: tuple[str, ...], before: dict[str, Any], latest: Callable[[], Any]) -> None:
        self.names = names
        self.before = before
        self.latest = latest


class _ProcessPlugins:
    """The plugins that were started in one process, and names for plugins that were registered without one."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.lock = fork_safe(threading.RLock())  # runs in several threads must not start plugins at the same time
        self.started: dict[Hashable, _StartedPlugin] = {}
        self._numbers = itertools.count(1)
        self._anonymous: list[tuple[int, Callable[[], Any]]] = []

    def name(self, manager: pluggy.PluginManager, plugin: Any) -> str:
        """Return the name of a plugin; for a plugin without one, a number that is unique in this process."""
        name = manager.get_name(plugin) or ""
        if not name.isdigit():
            return name
        with self.lock:
            self._anonymous = [(number, reference) for number, reference in self._anonymous if reference() is not None]
            for number, reference in self._anonymous:
                if reference() is plugin:
                    return f"{ANONYMOUS}{number}"
            number = next(self._numbers)
            self._anonymous.append((number, _reference(plugin)))
            return f"{ANONYMOUS}{number}"


_current = [_ProcessPlugins()]


def _process_plugins() -> _ProcessPlugins:
    if _current[0].pid != os.getpid():  # a forked child: the plugins that its parent started are not started here
        _current[0] = _ProcessPlugins()
    return _current[0]


# --- from the parent to a worker ------------------------------------------------------------------------------------------


def pack_hooks(manager: pluggy.PluginManager | None) -> tuple[HookPayload, ...]:
    """Pickle the plugins that implement hooks of workers, nodes or datasets; others are never called in a worker.

    Args:
        manager: the registered hooks.

    Returns:
        The plugins, in the order of their registration.

    Raises:
        HookError: a plugin can neither be pickled nor be found by the worker.
    """
    if manager is None:
        return ()
    from treadle.hooks.specs import IN_WORKERS

    return tuple(_pack(manager, plugin) for plugin in plugins_implementing(manager, IN_WORKERS).values())


def _pack(manager: pluggy.PluginManager, plugin: Any) -> HookPayload:
    name = _process_plugins().name(manager, plugin)
    try:
        return HookPayload(name, pickle_in_band(_unstarted(manager, plugin)))
    except UnpicklableValueError as exc:
        own = configured_project().settings.HOOKS if is_configured() else ()
        found = reference_to(name, plugin, own, (plugin_name(entry) for entry in offered(HOOKS)))
        if found is None:
            msg = (
                f"The hooks {describe_plugin(manager, plugin)} cannot be sent to worker processes: {exc}. Either register them "
                "in HOOKS of settings.py, so that each worker creates its own instance, or create the attribute that cannot be "
                "pickled in `on_worker_start`, which runs in each worker."
            )
            raise HookError(msg, plugin=name) from exc
        _logger.warning(
            "The hooks %s cannot be pickled (%s), so each worker process uses its own instance, without the state of the "
            "instance in the main process.",
            describe_plugin(manager, plugin),
            exc,
        )
        return found


def _unstarted(manager: pluggy.PluginManager, plugin: Any) -> Any:
    """Return a copy without the attributes that `on_worker_start` set here, such as a connection: they are invalid elsewhere."""
    process = _process_plugins()
    start = process.started.get(_key(process, manager, plugin))
    if start is None or not start.names:
        return plugin
    bare = copy.copy(plugin)
    attributes = _attributes(bare)
    for name in start.names:
        attributes.pop(name, None)
    attributes.update(start.before)
    return bare


def reference_to(name: str, plugin: Any, settings_hooks: Sequence[Any], entry_points: Iterable[str]) -> HookPayload | None:
    """Return how a worker finds a plugin that cannot be pickled, in settings.py or by its entry point; None if it cannot.

    Args:
        name: the name under which it is registered.
        plugin: the plugin.
        settings_hooks: HOOKS of settings.py.
        entry_points: the names under which plugins of entry points are registered.
    """
    for index, hook in enumerate(settings_hooks):
        if hook is plugin:
            return HookPayload(name, None, settings_index=index)
    return HookPayload(name, None) if name in entry_points else None


def referred_plugin(payload: HookPayload, settings_hooks: Callable[[], Sequence[Any]], load: Callable[[str], Any]) -> Any:
    """Return this process's own instance of a plugin that `reference_to` describes.

    Args:
        payload: the reference.
        settings_hooks: returns HOOKS of settings.py.
        load: loads the entry point of the plugin with a name.
    """
    return settings_hooks()[payload.settings_index] if payload.settings_index is not None else load(payload.name)


def rebuild_plugin(payload: HookPayload) -> Any:
    """Restore a plugin in the process that its payload was sent to.

    Args:
        payload: the plugin, as `pack_hooks` packed it.

    Returns:
        A new copy, or this process's own instance.

    Raises:
        HookError: the plugin cannot be restored here.
    """
    try:
        if payload.pickled is not None:
            return pickle.loads(payload.pickled)  # noqa: S301 - the parent sent it
        return referred_plugin(payload, lambda: configured_project().settings.HOOKS, _load_entry_point)
    except Exception as exc:
        which = "" if payload.name.startswith(ANONYMOUS) else f" {payload.name}"
        msg = f"The hooks{which} cannot be created in a worker process: {type(exc).__name__}: {exc}"
        raise HookError(msg, plugin=payload.name) from exc


def _load_entry_point(name: str) -> Any:
    return next(entry for entry in offered(HOOKS) if plugin_name(entry) == name).load()


def rebuild_hooks(payloads: tuple[HookPayload, ...]) -> pluggy.PluginManager | None:
    """Register a run's plugins in the order of the parent, so that their hooks are called in that order too.

    Args:
        payloads: the plugins.

    Returns:
        The plugin manager; None if there are no plugins.

    Raises:
        HookError: a plugin cannot be restored here.
    """
    if not payloads:
        return None
    from treadle.hooks import create_hook_manager  # imports pluggy, which a worker without hooks does not need

    manager = create_hook_manager()
    for payload in payloads:
        manager.register(rebuild_plugin(payload), payload.name)
    return manager


# --- once a process -------------------------------------------------------------------------------------------------------


def main_facts() -> WorkerFacts:
    """Return the description of the main process that `on_worker_start` receives."""
    package = configured_project().package_name if is_configured() else None
    return WorkerFacts(0, "main", os.getpid(), package, None, None, working_directory())


def start_plugins(manager: pluggy.PluginManager | None, facts: WorkerFacts, run_id: str | None = None) -> None:
    """Call `on_worker_start` of the plugins that this process has not started yet, in pluggy's usual order.

    Args:
        manager: the registered hooks.
        facts: describes this process.
        run_id: the run that is about to start here, for the error.

    Raises:
        WorkerSetupError: a plugin raised. The next run in this process starts all the plugins of this call again.
    """
    if manager is None or not implemented(manager, _START):
        return
    process = _process_plugins()
    with process.lock:
        plugins = {id(each.plugin): each.plugin for each in getattr(manager.hook, _START).get_hookimpls()}
        keys = {each: _key(process, manager, plugin) for each, plugin in plugins.items()}
        old = [plugin for each, plugin in plugins.items() if keys[each] in process.started]
        for plugin in old:
            _copy_attributes(process.started[keys[id(plugin)]], plugin)
        new = [plugin for each, plugin in plugins.items() if keys[each] not in process.started]
        if not new:
            return
        before = [dict(_attributes(plugin)) for plugin in new]
        try:
            manager.subset_hook_caller(_START, old)(spec=facts)
        except Exception as exc:
            failure = record_failure(exc, phase="setup", hook=_START, plugin=plugin_at_fault(manager, _START, exc))
            msg = describe_failed_start(facts.label, failure)
            raise WorkerSetupError(msg, run_id=run_id, worker=facts.label, failure=failure) from exc
        for plugin, had in zip(new, before, strict=True):
            has = _attributes(plugin)
            names = tuple(name for name, value in has.items() if name not in had or had[name] is not value)
            # The main process makes no copies, so a weak reference is enough there: an unnamed plugin must not be kept alive.
            weak = facts.is_main and process.name(manager, plugin).startswith(ANONYMOUS)
            latest = _reference(plugin) if weak else partial(_same, plugin)
            process.started[keys[id(plugin)]] = _StartedPlugin(names, {name: had[name] for name in names if name in had}, latest)


def _key(process: _ProcessPlugins, manager: pluggy.PluginManager, plugin: Any) -> Hashable:
    """Return a key that identifies a plugin across runs as long as the project's code is unchanged."""
    project = (configured_project().package_name, configured_project().stamp) if is_configured() else None
    return project, process.name(manager, plugin), plugin if isinstance(plugin, ModuleType) else type(plugin)


def _attributes(plugin: Any) -> dict[str, Any]:
    """Return the attributes of an instance; none for a module, since every run uses the same module object."""
    return {} if isinstance(plugin, ModuleType) else getattr(plugin, "__dict__", {})


def _copy_attributes(start: _StartedPlugin, plugin: Any) -> None:
    """Copy the attributes that `on_worker_start` set from the latest copy of a plugin to a new copy."""
    earlier = start.latest()
    if earlier is not plugin and earlier is not None:
        had = _attributes(earlier)
        _attributes(plugin).update({name: had[name] for name in start.names if name in had})
        start.latest = partial(_same, plugin)


def _same(plugin: Any) -> Any:
    return plugin


def _reference(plugin: Any) -> Callable[[], Any]:
    try:
        return weakref.ref(plugin)
    except TypeError:  # some classes do not support weak references; the instance is then kept alive
        return lambda: plugin
