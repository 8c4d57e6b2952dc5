"""Hooks: the moments of a run at which a project and its plugins may act."""

from treadle.hooks.manager import create_hook_manager, hook_impl, hook_spec, implemented, register_hooks, register_plugins

__all__ = ["create_hook_manager", "hook_impl", "hook_spec", "implemented", "register_hooks", "register_plugins"]
