"""What a Kedro session tells its plugins and tells no runner: its configuration, and how the run was asked for.

Kedro finds the plugin below by the entry point `kedro.hooks`, and the runner finds it in the session's hook manager. Where it
is missing (`DISABLE_HOOKS_FOR_PLUGINS`), the runner does without what it would have said.
State: one note a session, kept as long as its hook manager lives.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import pluggy

if TYPE_CHECKING:
    from collections.abc import Mapping

_hook = pluggy.HookimplMarker("kedro")


@dataclass(frozen=True, slots=True)
class SessionNote:
    """What is known of a session; empty where no session told.

    Attributes:
        project_path: the project's folder.
        env: the configuration environment.
        loader: Kedro's config loader.
        run_params: how the run was asked for, by the names of `session.run`.
    """

    project_path: Path | None = None
    env: str | None = None
    loader: Any = None
    run_params: Mapping[str, Any] = field(default_factory=dict)


class SessionNotes:
    """The plugin."""

    def __init__(self) -> None:
        self._notes: WeakKeyDictionary[pluggy.PluginManager, SessionNote] = WeakKeyDictionary()
        self._asked: dict[str, Mapping[str, Any]] = {}

    @_hook
    def after_context_created(self, context: Any) -> None:
        """Note the session's configuration."""
        note = SessionNote(Path(context.project_path), context.env, context.config_loader)
        self._notes[context._hook_manager] = note

    @_hook
    def before_pipeline_run(self, run_params: Mapping[str, Any]) -> None:
        """Note how a run of ours was asked for."""
        if str(run_params.get("runner", "")).startswith("treadle.kedro."):
            self._asked[_id_of(run_params)] = dict(run_params)

    def take(self, manager: pluggy.PluginManager, run_id: str | None) -> SessionNote:
        """Return what is known of a run that begins."""
        note = self._notes.get(manager, SessionNote())
        return replace(note, run_params=self._asked.pop(run_id or "", {}))


notes = SessionNotes()
"""What the entry point names. Only a hook manager leads to it."""


def session_of(manager: pluggy.PluginManager | None, run_id: str | None) -> SessionNote:
    """Return what a run's session has told.

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
