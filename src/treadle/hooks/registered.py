"""Answer questions about the hooks that are registered in a manager. State: none.

Every worker imports this module, so it does not import pluggy: a worker without hooks does not need it.
"""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pluggy import PluginManager

CATALOG_HOOKS = ("before_node_run", "after_node_run", "on_node_error")
"""The hooks in the process that runs a node that receive the catalog, and may use any dataset."""


ANONYMOUS = "#"
"""Prefix of the name that a plugin without one has in a worker: a number of the main process."""


def implemented(manager: PluginManager, hook_name: str) -> bool:
    """Return whether anything implements a hook, so that a caller can avoid computing the arguments.

    Args:
        manager: the manager to ask.
        hook_name: the name of a hook.

    Returns:
        True if at least one implementation is registered.
    """
    return bool(getattr(manager.hook, hook_name).get_hookimpls())


def plugins_implementing(manager: PluginManager, hook_names: Iterable[str]) -> dict[str, Any]:
    """Return the plugins that implement any of these hooks.

    Args:
        manager: the manager to ask.
        hook_names: names of hooks.

    Returns:
        The plugins by the names under which they are registered, in the order of their registration.
    """
    called = {id(each.plugin) for name in hook_names for each in getattr(manager.hook, name).get_hookimpls()}
    return {name: plugin for name, plugin in manager.list_name_plugin() if plugin is not None and id(plugin) in called}


def takes_catalog(manager: PluginManager | None) -> bool:
    """Return whether an implementation of a node's hooks takes the catalog, and may use any dataset.

    Args:
        manager: the hooks; None if there are none.
    """
    if manager is None:
        return False
    implementations = (each for name in CATALOG_HOOKS for each in getattr(manager.hook, name).get_hookimpls())
    return any("catalog" in (*each.argnames, *each.kwargnames) for each in implementations)


def describe_plugin(manager: PluginManager, plugin: Any) -> str:
    """Return the name and origin of a plugin, for error messages.

    Args:
        manager: the manager in which it is registered.
        plugin: the registered object.

    Returns:
        Its class or module, and its origin if its name contains it, the same in each process: `shop.hooks.Prices (HOOKS[0])`,
        `treadle_ledger.hooks.LedgerHooks (treadle-ledger:ledger)`.
    """
    name = manager.get_name(plugin)
    what = plugin.__name__ if isinstance(plugin, ModuleType) else f"{type(plugin).__module__}.{type(plugin).__qualname__}"
    has_no_name = name is None or name.isdigit() or name.startswith(ANONYMOUS)
    return what if has_no_name or name == what else f"{what} ({name})"
