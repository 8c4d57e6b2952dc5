"""Hooks: functions of a project and its plugins that are called at defined points of a run."""

from treadle.hooks.blame import plugin_at_fault, plugin_that_answered
from treadle.hooks.facts import WorkerFacts
from treadle.hooks.manager import (
    create_hook_manager,
    describe_plugin,
    hook_impl,
    hook_spec,
    implemented,
    register_hooks,
    register_plugins,
)

__all__ = [
    "WorkerFacts",
    "create_hook_manager",
    "describe_plugin",
    "hook_impl",
    "hook_spec",
    "implemented",
    "plugin_at_fault",
    "plugin_that_answered",
    "register_hooks",
    "register_plugins",
]
