"""What a Kedro session passes to plugins but not to runners: its configuration, and the arguments of the run.

Kedro finds the plugin below by the entry point `kedro.hooks`, and the runner finds it in the session's hook manager. If it
is missing (`DISABLE_HOOKS_FOR_PLUGINS`), the runner works without this information.
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
class SessionNote:
    """The configuration of a session and the arguments of its run; empty if unknown.

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


class SessionNotes:
    """The plugin: it is called in every Kedro session of the environment, so its hooks only store references and never raise."""

    def __init__(self) -> None:
        self._contexts: list[ref[Any]] = []
        self._asked: dict[str, Mapping[str, Any]] = {}

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
            self._asked[_id_of(run_params)] = dict(run_params)

    def take(self, manager: pluggy.PluginManager, run_id: str | None) -> SessionNote:
        """Remove and return the note of a run that begins."""
        asked = self._asked.pop(run_id or "", {})
        for reference in reversed(self._contexts):
            context = reference()
            if context is not None and getattr(context, "_hook_manager", None) is manager:
                return SessionNote(Path(context.project_path), context.env, context.config_loader, asked)
        return SessionNote(run_params=asked)


notes = SessionNotes()
"""The object of the entry point. The runner accesses it only through a hook manager."""


def session_of(manager: pluggy.PluginManager | None, run_id: str | None) -> SessionNote:
    """Return the note of a run's session.

    Args:
        manager: the session's hook manager.
        run_id: the run's id.
    """
    if manager is None:
        return SessionNote()
    known = (plugin for plugin in manager.get_plugins() if isinstance(plugin, SessionNotes))
    plugin = next(known, None)
    return plugin.take(manager, run_id) if plugin is not None else SessionNote()


def _id_of(run_params: Mapping[str, Any]) -> str:
    return str(run_params.get("run_id") or run_params.get("session_id") or "")
