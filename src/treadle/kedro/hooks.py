"""Pickle Kedro's plugins for workers, and adapt Kedro's hook manager to the engine's loop.

Kedro's manager cannot be pickled, so each worker builds one from plugins that are pickled when the run begins, with the
attributes that `after_context_created` or `before_pipeline_run` set. A worker creates a plugin that cannot be pickled from
settings.py or from its entry point. Only plugins with hooks of nodes or datasets are sent, because workers call no others.

State: none. Neighbours: `hook_pickling.py` replaces the run's catalog and datasets, `plugin_state.py` merges the data that
plugins collect.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from treadle.errors import HookError
from treadle.execution.attempt.plugins import reference_to, referred_plugin
from treadle.execution.protocol.messages import HookPayload
from treadle.hooks import plugins_implementing
from treadle.hooks.registered import CATALOG_HOOKS
from treadle.kedro.hook_pickling import RunObjects, dump_plugin, is_picklable, load_plugin
from treadle.kedro.plugin_state import has_mergeable_state

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pluggy

    from treadle.kedro.nodes import KedroNode

WORKER_HOOKS = (
    *CATALOG_HOOKS,
    "before_dataset_loaded",
    "after_dataset_loaded",
    "before_dataset_saved",
    "after_dataset_saved",
)
"""Hooks that are called in the process that runs the node."""

_ENTRY_POINTS = "kedro.hooks"
_logger = logging.getLogger("kedro.runner.treadle")


@dataclass(frozen=True, slots=True)
class HooksPayload:
    """The plugins of a run: pickled together, so that objects they share stay shared; one by one if that fails."""

    names: tuple[str, ...] = ()
    together: bytes | None = None
    singly: tuple[HookPayload, ...] = ()
    use_catalog: bool = False
    """True if a plugin holds the run's catalog or one of its datasets."""

    def plugins(self, catalog: Any) -> list[Any]:
        """Create the plugins in a worker, with the catalog of that worker."""
        if self.together is not None:
            plugins: list[Any] = load_plugin(self.together, catalog)
            return plugins
        return [_rebuild(payload, catalog) for payload in self.singly]

    def manager(self, plugins: Iterable[Any]) -> pluggy.PluginManager | None:
        """Build the manager of these plugins, in a worker; None if there are no hooks."""
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
        manager: Kedro's manager in this process; None if the run has no hooks.
    """
    return plugins_implementing(manager, WORKER_HOOKS) if manager is not None else {}


def pack_hooks(manager: pluggy.PluginManager | None, objects: RunObjects) -> HooksPayload:
    """Pickle the plugins that workers call.

    Args:
        manager: Kedro's manager in this process; None if the run has no hooks.
        objects: the run's catalog and datasets, which a worker replaces by its own.

    Returns:
        The payload.

    Raises:
        HookError: a plugin can neither be pickled nor be created again in a worker.
    """
    plugins = worker_plugins(manager)
    if manager is None or not plugins:
        return HooksPayload()
    try:
        together = dump_plugin(list(plugins.values()), objects)
    except Exception:  # noqa: BLE001 - pickling runs the code of any class; pickling them one by one shows which failed
        singly = tuple(_pack(manager, name, plugin, objects) for name, plugin in plugins.items())
        return HooksPayload(tuple(plugins), None, singly, use_catalog=objects.referenced)
    return HooksPayload(tuple(plugins), together, use_catalog=objects.referenced)


def _pack(manager: pluggy.PluginManager, name: str, plugin: Any, objects: RunObjects) -> HookPayload:
    try:
        return HookPayload(name, dump_plugin(plugin, objects))
    except Exception as exc:  # as above: pickling may raise anything
        from kedro.framework.project import settings

        installed = (name for known, _distribution in manager.list_plugin_distinfo() if known is plugin)
        found = reference_to(name, plugin, settings.HOOKS, installed)
        label = f"{type(plugin).__module__}.{type(plugin).__qualname__}"
        if found is None:
            msg = (
                f"The hooks {label} cannot be sent to worker processes ({type(exc).__name__}: {exc}). List them in HOOKS of "
                "settings.py, so that each worker creates its own, or remove the attributes that cannot be pickled."
            )
            raise HookError(msg, plugin=label) from exc
        own = vars(plugin) if has_mergeable_state(plugin) else {}
        picklable = {each: value for each, value in own.items() if is_picklable(value, objects)}
        unpicklable = ", ".join(each for each in own if each not in picklable)
        _logger.warning(
            "The hooks %s cannot be pickled (%s), so each worker creates its own, with the same attributes except %s.",
            label,
            exc,
            unpicklable or "none",
        )
        return found._replace(attributes=dump_plugin(picklable, objects))


def _rebuild(payload: HookPayload, catalog: Any) -> Any:
    """Return a plugin, in a worker."""
    if payload.pickled is not None:
        return load_plugin(payload.pickled, catalog)
    from kedro.framework.project import settings

    plugin = referred_plugin(
        payload, lambda: settings.HOOKS, lambda name: next(iter(entry_points(group=_ENTRY_POINTS, name=name))).load()
    )
    if payload.attributes is not None:
        vars(plugin).update(load_plugin(payload.attributes, catalog))
    return plugin


class LoopHooks:
    """Adapt Kedro's manager to the engine's loop, which calls `on_node_error` if a worker died and cannot call it itself.

    Args:
        manager: Kedro's manager.
        catalog: Kedro's catalog, which hooks receive instead of the engine's view of it.
    """

    def __init__(self, manager: pluggy.PluginManager, catalog: Any) -> None:
        self._manager = manager
        self._catalog = catalog

    @property
    def hook(self) -> LoopHooks:
        """This object, which has the hook callers as attributes."""
        return self

    @property
    def on_node_error(self) -> _ErrorCaller:
        """The one hook that the loop calls."""
        return _ErrorCaller(self._manager.hook.on_node_error, self._catalog)

    def __getattr__(self, name: str) -> Any:
        """Forward everything else to the manager: its plugins and their names."""
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
