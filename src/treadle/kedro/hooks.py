"""Kedro's hooks on their way to workers, and Kedro's hook manager as the engine's loop asks it.

Kedro's manager does not pickle, so each worker builds one from the plugins by value: as they stand when the run begins, with
what they have learned in `after_context_created` or `before_pipeline_run`. A plugin that does not pickle is made
anew from settings.py or its entry point. Only plugins with hooks of nodes or datasets travel: the others are never
called in a worker. State: that of the plugins. Neighbours: `hook_pickling.py` says what stands for the run's objects,
`gathering.py` brings back what plugins gather.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from treadle.errors import HookError
from treadle.kedro.gathering import gathers
from treadle.kedro.hook_pickling import RunObjects, dump_plugin, fits, load_plugin

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pluggy

    from treadle.kedro.nodes import KedroNode

CATALOG_HOOKS = ("before_node_run", "after_node_run", "on_node_error")
"""Hooks that are given the catalog, and may ask it for anything."""

WORKER_HOOKS = (
    *CATALOG_HOOKS,
    "before_dataset_loaded",
    "after_dataset_loaded",
    "before_dataset_saved",
    "after_dataset_saved",
)
"""Hooks that are called where the node runs."""

_ENTRY_POINTS = "kedro.hooks"
_logger = logging.getLogger("kedro.runner.treadle")


@dataclass(frozen=True, slots=True)
class PluginPayload:
    """One plugin: its pickled self, or where a worker finds it and what of it pickles."""

    name: str
    pickled: bytes | None = None
    settings_index: int | None = None
    entry_point: str | None = None
    attributes: bytes | None = None

    def plugin(self, catalog: Any) -> Any:
        """Return the plugin, in a worker."""
        if self.pickled is not None:
            return load_plugin(self.pickled, catalog)
        if self.settings_index is not None:
            from kedro.framework.project import settings

            plugin = settings.HOOKS[self.settings_index]
        else:
            plugin = next(iter(entry_points(group=_ENTRY_POINTS, name=self.entry_point or ""))).load()
        if self.attributes is not None:
            vars(plugin).update(load_plugin(self.attributes, catalog))
        return plugin


@dataclass(frozen=True, slots=True)
class HooksPayload:
    """The plugins of a run: together, so that what two of them share stays shared, or one by one where that fails."""

    names: tuple[str, ...] = ()
    together: bytes | None = None
    singly: tuple[PluginPayload, ...] = ()
    use_catalog: bool = False
    """True where a plugin holds the run's catalog or a dataset of it."""

    def plugins(self, catalog: Any) -> list[Any]:
        """Make the plugins, in a worker whose catalog this is."""
        if self.together is not None:
            made: list[Any] = load_plugin(self.together, catalog)
            return made
        return [payload.plugin(catalog) for payload in self.singly]

    def manager(self, plugins: Iterable[Any]) -> pluggy.PluginManager | None:
        """Build the manager of these plugins, in a worker; None where there is nothing to call."""
        if not self.names:
            return None
        from kedro.framework.hooks.manager import _create_hook_manager

        manager: pluggy.PluginManager = _create_hook_manager()
        for name, plugin in zip(self.names, plugins, strict=True):
            manager.register(plugin, name)
        return manager


def worker_plugins(manager: pluggy.PluginManager | None) -> dict[str, Any]:
    """Return the plugins that workers call, by name.

    Args:
        manager: Kedro's manager in this process; None where the run has no hooks.
    """
    if manager is None:
        return {}
    called = {id(impl.plugin) for name in WORKER_HOOKS for impl in getattr(manager.hook, name).get_hookimpls()}
    return {name: plugin for name, plugin in manager.list_name_plugin() if plugin is not None and id(plugin) in called}


def pack_hooks(manager: pluggy.PluginManager | None, objects: RunObjects) -> HooksPayload:
    """Pickle the plugins that workers call.

    Args:
        manager: Kedro's manager in this process; None where the run has no hooks.
        objects: the run's catalog and datasets, for which a worker has its own.

    Returns:
        The payload.

    Raises:
        HookError: a plugin neither pickles nor can be found again in a worker.
    """
    plugins = worker_plugins(manager)
    if manager is None or not plugins:
        return HooksPayload()
    try:
        together = dump_plugin(list(plugins.values()), objects)
    except Exception:  # noqa: BLE001 - pickling runs the code of any class; which one it was is found out below
        singly = tuple(_pack(manager, name, plugin, objects) for name, plugin in plugins.items())
        return HooksPayload(tuple(plugins), None, singly, use_catalog=objects.are_used)
    return HooksPayload(tuple(plugins), together, use_catalog=objects.are_used)


def _pack(manager: pluggy.PluginManager, name: str, plugin: Any, objects: RunObjects) -> PluginPayload:
    try:
        return PluginPayload(name, dump_plugin(plugin, objects))
    except Exception as exc:  # as above: anything can come out of it
        found = _find_again(manager, name, plugin)
        label = f"{type(plugin).__module__}.{type(plugin).__qualname__}"
        if found is None:
            msg = (
                f"The hooks {label} cannot go to worker processes ({type(exc).__name__}: {exc}): list them in HOOKS of "
                "settings.py, so that each worker makes its own, or leave what does not pickle out of the instance."
            )
            raise HookError(msg, plugin=label) from exc
        own = vars(plugin) if gathers(plugin) else {}
        fitting = {each: value for each, value in own.items() if fits(value, objects)}
        stuck = ", ".join(each for each in own if each not in fitting)
        _logger.warning(
            "The hooks %s do not pickle (%s), so each worker makes its own; it has the attributes of the one here, except %s.",
            label,
            exc,
            stuck or "none",
        )
        return replace(found, attributes=dump_plugin(fitting, objects))


def _find_again(manager: pluggy.PluginManager, name: str, plugin: Any) -> PluginPayload | None:
    from kedro.framework.project import settings

    for index, hook in enumerate(settings.HOOKS):
        if hook is plugin:
            return PluginPayload(name, settings_index=index)
    if any(known is plugin for known, _distribution in manager.list_plugin_distinfo()):
        return PluginPayload(name, entry_point=name)
    return None


class LoopHooks:
    """Kedro's manager as the engine's loop asks it: for `on_node_error`, when a worker died and cannot call it itself.

    Args:
        manager: Kedro's manager.
        catalog: Kedro's catalog, which hooks are given in place of the engine's view of it.
    """

    def __init__(self, manager: pluggy.PluginManager, catalog: Any) -> None:
        self._manager = manager
        self._catalog = catalog

    @property
    def hook(self) -> LoopHooks:
        """The callers by name: this very object."""
        return self

    @property
    def on_node_error(self) -> _ErrorCaller:
        """The one hook that the loop calls."""
        return _ErrorCaller(self._manager.hook.on_node_error, self._catalog)

    def __getattr__(self, name: str) -> Any:
        """Ask the manager for the rest: which plugins there are, and what they are called."""
        return getattr(self._manager, name)


class _ErrorCaller:
    def __init__(self, caller: Any, catalog: Any) -> None:
        self._caller = caller
        self._catalog = catalog

    def get_hookimpls(self) -> list[Any]:
        implementations: list[Any] = self._caller.get_hookimpls()
        return implementations

    def __call__(self, *, node: KedroNode, **arguments: Any) -> None:
        self._caller(**{**arguments, "node": node.kedro, "catalog": self._catalog})
