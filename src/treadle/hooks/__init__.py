"""Hooks: functions of a project and its plugins that are called at defined points of a run.

The names below are imported on first use, because every worker imports this package and few run hooks. State: none.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from treadle.hooks.blame import plugin_at_fault, plugin_that_answered
    from treadle.hooks.facts import WorkerFacts
    from treadle.hooks.manager import create_hook_manager, hook_impl, hook_spec, register_hooks, register_plugins
    from treadle.hooks.registered import describe_plugin, implemented, plugins_implementing

_HOMES = {
    "WorkerFacts": "treadle.hooks.facts",
    "create_hook_manager": "treadle.hooks.manager",
    "describe_plugin": "treadle.hooks.registered",
    "hook_impl": "treadle.hooks.manager",
    "hook_spec": "treadle.hooks.manager",
    "implemented": "treadle.hooks.registered",
    "plugin_at_fault": "treadle.hooks.blame",
    "plugin_that_answered": "treadle.hooks.blame",
    "plugins_implementing": "treadle.hooks.registered",
    "register_hooks": "treadle.hooks.manager",
    "register_plugins": "treadle.hooks.manager",
}

__all__ = [
    "WorkerFacts",
    "create_hook_manager",
    "describe_plugin",
    "hook_impl",
    "hook_spec",
    "implemented",
    "plugin_at_fault",
    "plugin_that_answered",
    "plugins_implementing",
    "register_hooks",
    "register_plugins",
]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value = globals()[name] = getattr(import_module(home), name)
    return value
