"""Collect information that a Kedro session passes to plugins but not to runners: its configuration and the run's arguments.

Kedro loads the plugin below through the entry point `kedro.hooks`, and the runner finds it in the session's hook manager. If a
project disables it (`DISABLE_HOOKS_FOR_PLUGINS`), the runner works without this information.
State: weak references to the contexts of sessions, and the arguments of runs that are about to begin.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import ref

import pluggy

if TYPE_CHECKING:
    from collections.abc import Mapping

_hook = pluggy.HookimplMarker("kedro")


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """The configuration of a session and the arguments of its run; fields are empty if they are unknown.

    Attributes:
        project_path: the project's folder.
        env: the configuration environment.
        loader: Kedro's config loader.
        run_params: the arguments of `session.run`, by name.
    """

    project_path: Path | None = None
    env: str | None = None
    loader: Any = None
    run_params: Mapping[str, Any] = field(default_factory=dict)


class SessionInfoPlugin:
    """The plugin. Kedro calls it in every session where Treadle is installed, so its hooks must never raise."""

    def __init__(self) -> None:
        self._contexts: list[ref[Any]] = []
        self._run_params: dict[str, Mapping[str, Any]] = {}

    @_hook
    def after_context_created(self, context: Any) -> None:
        """Store a weak reference to the session's context."""
        with suppress(TypeError):  # a mock in a project's tests may not support weak references
            self._contexts = [each for each in self._contexts if each() is not None]
            self._contexts.append(ref(context))

    @_hook
    def before_pipeline_run(self, run_params: Any) -> None:
        """Store the arguments of a run with Treadle's runner."""
        if isinstance(run_params, dict) and str(run_params.get("runner", "")).startswith("treadle.kedro."):
            self._run_params[_id_of(run_params)] = dict(run_params)

    def take(self, manager: pluggy.PluginManager, run_id: str | None) -> SessionInfo:
        """Remove and return the information about a run that begins."""
        run_params = self._run_params.pop(run_id or "", {})
        for reference in reversed(self._contexts):
            context = reference()
            if context is not None and getattr(context, "_hook_manager", None) is manager:
                return SessionInfo(Path(context.project_path), context.env, context.config_loader, run_params)
        return SessionInfo(run_params=run_params)


notes = SessionInfoPlugin()
"""The object that the entry point names. The runner accesses it only through a hook manager."""


def session_info(manager: pluggy.PluginManager | None, run_id: str | None) -> SessionInfo:
    """Return the information about a run's session.

    Args:
        manager: the session's hook manager.
        run_id: the run's id.
    """
    if manager is None:
        return SessionInfo()
    # Not `get_plugins`, which needs plugins that can be hashed: instances of dataclasses cannot.
    known = (plugin for _name, plugin in manager.list_name_plugin() if isinstance(plugin, SessionInfoPlugin))
    plugin = next(known, None)
    return plugin.take(manager, run_id) if plugin is not None else SessionInfo()


def _id_of(run_params: Mapping[str, Any]) -> str:
    return str(run_params.get("run_id") or run_params.get("session_id") or "")
