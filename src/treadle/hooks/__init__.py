"""Hooks: functions of a project and its plugins that are called at defined points of a run.

The names that need pluggy are imported on first use, because every worker imports this package and few run hooks. State: none.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from treadle.hooks.blame import plugin_at_fault, plugin_that_answered
from treadle.hooks.facts import WorkerFacts
from treadle.hooks.registered import describe_plugin, implemented, plugins_implementing

if TYPE_CHECKING:
    from treadle.hooks.manager import create_hook_manager, hook_impl, hook_spec, register_hooks, register_plugins

_NEED_PLUGGY = ("create_hook_manager", "hook_impl", "hook_spec", "register_hooks", "register_plugins")

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
    if name not in _NEED_PLUGGY:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(import_module("treadle.hooks.manager"), name)
    globals()[name] = value
    return value
