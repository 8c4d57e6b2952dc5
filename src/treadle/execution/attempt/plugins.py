"""Plugins in the processes that run nodes: how they get there, and that each is started once in each process.

::

    parent                                     worker
    pack_hooks(manager) ──(in the RunSpec)──►  rebuild_hooks: a copy for each run, in the order of registration
                                               start_plugins: on_worker_start, once in the life of the process

Each run brings a worker new copies of the plugins, with what they have learned in the parent; what `on_worker_start` set on a
copy stays in the process and is given to the later ones. State: which plugins this process has started, and what they set; it is
the process's own, so it stands here, and a forked child begins anew.
"""

from __future__ import annotations

import copy
import inspect
import itertools
import logging
import os
import pickle
import threading
import weakref
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from treadle.errors import HookError, WorkerSetupError
from treadle.execution.attempt.failure import record_failure
from treadle.execution.attempt.verdict import describe_failed_start
from treadle.execution.protocol.handles import CannotLeaveError
from treadle.execution.protocol.messages import HookPayload
from treadle.execution.values.in_band import pickle_in_band
from treadle.forks import fork_safe
from treadle.hooks import WorkerFacts, create_hook_manager, describe_plugin, implemented, plugin_at_fault
from treadle.hooks.specs import IN_WORKERS
from treadle.plugins import HOOKS, offered, plugin_name
from treadle.project.configure import configured_project, is_configured

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    import pluggy


_ANONYMOUS = "#"
"""Begins the name of a plugin that was registered without one."""

_START = "on_worker_start"
_logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Start:
    """That a plugin was started in this process."""

    names: tuple[str, ...]
    """The attributes that `on_worker_start` set on it."""
    before: dict[str, Any]
    """What those of them were before that there were."""
    latest: Callable[[], Any]
    """Returns the copy of it that has them."""


class _Process:
    """What is known of plugins in one process."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.lock = fork_safe(threading.RLock())  # the runs of several threads start plugins one after the other
        self.started: dict[Hashable, _Start] = {}
        self._numbers = itertools.count(1)
        self._anonymous: list[tuple[int, Callable[[], Any]]] = []

    def name(self, manager: pluggy.PluginManager, plugin: Any) -> str:
        """Return the name of a plugin; for one without, a number that no other object of this process ever has."""
        name = manager.get_name(plugin) or ""
        if not name.isdigit():
            return name
        with self.lock:
            self._anonymous = [(number, reference) for number, reference in self._anonymous if reference() is not None]
            for number, reference in self._anonymous:
                if reference() is plugin:
                    return f"{_ANONYMOUS}{number}"
            number = next(self._numbers)
            self._anonymous.append((number, _reference(plugin)))
            return f"{_ANONYMOUS}{number}"


_here = [_Process()]


def _process() -> _Process:
    if _here[0].pid != os.getpid():  # a forked child: what its parent started is not started here
        _here[0] = _Process()
    return _here[0]


# --- from the parent to a worker ------------------------------------------------------------------------------------------


def pack_hooks(manager: pluggy.PluginManager | None) -> tuple[HookPayload, ...]:
    """Pickle the plugins that have hooks of workers, nodes or datasets; the others are never called in a worker.

    Args:
        manager: the registered hooks.

    Returns:
        The plugins, in the order of their registration.

    Raises:
        HookError: a plugin neither pickles nor can be found again.
    """
    if manager is None:
        return ()
    called = {id(each.plugin) for name in IN_WORKERS for each in getattr(manager.hook, name).get_hookimpls()}
    plugins = [plugin for _name, plugin in manager.list_name_plugin() if plugin is not None and id(plugin) in called]
    return tuple(_pack(manager, plugin) for plugin in plugins)


def _pack(manager: pluggy.PluginManager, plugin: Any) -> HookPayload:
    name = _process().name(manager, plugin)
    try:
        return HookPayload(name, pickle_in_band(_unstarted(manager, plugin)))
    except CannotLeaveError as exc:
        found = _find_again(name, plugin)
        if found is None:
            msg = (
                f"The hooks {describe_plugin(manager, plugin)} cannot go to worker processes: {exc}. Register them in HOOKS of "
                "settings.py, so that each worker can make its own, or keep what does not pickle out of the instance: "
                "`on_worker_start` is the place to make that in each worker."
            )
            raise HookError(msg, plugin=name) from exc
        _logger.warning(
            "The hooks %s do not pickle (%s), so each worker process uses its own instance: what the instance here has learned "
            "is not known there.",
            describe_plugin(manager, plugin),
            exc,
        )
        return found


def _unstarted(manager: pluggy.PluginManager, plugin: Any) -> Any:
    """Return a plugin without what `on_worker_start` gave it in this process: a connection here is none there."""
    process = _process()
    start = process.started.get(_key(process, manager, plugin))
    if start is None or not start.names:
        return plugin
    bare = copy.copy(plugin)
    attributes = _attributes(bare)
    for name in start.names:
        attributes.pop(name, None)
    attributes.update(start.before)
    return bare


def _find_again(name: str, plugin: Any) -> HookPayload | None:
    """Say where a worker finds a plugin: in settings.py, or by its entry point."""
    for index, hook in enumerate(configured_project().settings.HOOKS if is_configured() else ()):
        if hook is plugin:
            return HookPayload(name, None, settings_index=index)
    if any(plugin_name(entry) == name for entry in offered(HOOKS)):
        return HookPayload(name, None)
    return None


def rebuild_plugin(payload: HookPayload) -> Any:
    """Return a plugin in the process that a payload was sent to.

    Args:
        payload: what `pack_hooks` made of it.

    Returns:
        A new copy, or the instance that this process makes by itself.

    Raises:
        HookError: it cannot be made here.
    """
    try:
        if payload.pickled is not None:
            return pickle.loads(payload.pickled)  # noqa: S301 - the parent sent it
        if payload.settings_index is not None:
            return configured_project().settings.HOOKS[payload.settings_index]
        return next(entry for entry in offered(HOOKS) if plugin_name(entry) == payload.name).load()
    except Exception as exc:
        which = "" if payload.name.startswith(_ANONYMOUS) else f" {payload.name}"
        msg = f"The hooks{which} cannot be made in a worker process: {type(exc).__name__}: {exc}"
        raise HookError(msg, plugin=payload.name) from exc


def rebuild_hooks(payloads: tuple[HookPayload, ...]) -> pluggy.PluginManager | None:
    """Register a run's plugins in their order, so that they are called in the order they have in the parent.

    Args:
        payloads: the plugins.

    Returns:
        What calls them; None where there are none.

    Raises:
        HookError: a plugin cannot be made here.
    """
    if not payloads:
        return None
    manager = create_hook_manager()
    for payload in payloads:
        manager.register(rebuild_plugin(payload), payload.name)
    return manager


# --- once a process -------------------------------------------------------------------------------------------------------


def main_facts() -> WorkerFacts:
    """Return what plugins are told of the main process."""
    package = configured_project().package_name if is_configured() else None
    return WorkerFacts(0, "main", os.getpid(), package, None, None, os.getcwd())


def start_plugins(manager: pluggy.PluginManager | None, facts: WorkerFacts, run_id: str | None = None) -> None:
    """Call `on_worker_start` of the plugins that this process has not started yet, in the order of any hook.

    Args:
        manager: the registered hooks.
        facts: what this process is.
        run_id: the run that is about to begin here, for the error.

    Raises:
        WorkerSetupError: a plugin raised; all of those that were being started are tried again by the next run here.
    """
    if manager is None or not implemented(manager, _START):
        return
    process = _process()
    with process.lock:
        plugins = {id(each.plugin): each.plugin for each in getattr(manager.hook, _START).get_hookimpls()}
        keys = {each: _key(process, manager, plugin) for each, plugin in plugins.items()}
        old = [plugin for each, plugin in plugins.items() if keys[each] in process.started]
        for plugin in old:
            _hand_on(process.started[keys[id(plugin)]], plugin)
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
            # The main process has no copies: what was registered there without a name is not kept alive for its sake.
            weak = facts.is_main and process.name(manager, plugin).startswith(_ANONYMOUS)
            latest = _reference(plugin) if weak else partial(_same, plugin)
            process.started[keys[id(plugin)]] = _Start(names, {name: had[name] for name in names if name in had}, latest)


def _key(process: _Process, manager: pluggy.PluginManager, plugin: Any) -> Hashable:
    """Return what stays the same of a plugin from run to run, as long as the project's code does."""
    project = (configured_project().package_name, configured_project().stamp) if is_configured() else None
    return project, process.name(manager, plugin), plugin if inspect.ismodule(plugin) else type(plugin)


def _attributes(plugin: Any) -> dict[str, Any]:
    """Return the attributes of an instance; of a module none, which is the same one in every run."""
    return {} if inspect.ismodule(plugin) else getattr(plugin, "__dict__", {})


def _hand_on(start: _Start, plugin: Any) -> None:
    """Give a new copy of a plugin what the process has of it."""
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
    except TypeError:  # some classes have no room for it: then it lives on
        return lambda: plugin
