"""Where a command stands: the project at or above the current folder, and what it was set up with. Keeps no state."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from treadle.observe.store import SessionStore
    from treadle.project import ProjectMetadata
    from treadle.session import Session


def enter_project() -> ProjectMetadata:
    """Bootstrap the project at or above the current folder.

    Returns:
        The project's facts.

    Raises:
        ProjectError: there is none, or it is wrong.
    """
    from treadle.project import bootstrap_project, find_project

    here = Path.cwd()
    return bootstrap_project(find_project(here) or here)


def start_logging(project: ProjectMetadata, conf_source: str | None = None) -> None:
    """Set logging up as the project says, or by the default: what a run logs is to be seen.

    Args:
        project: the configured project.
        conf_source: where its configuration is read; what its settings say if None.

    Raises:
        ConfigError: the project's logging configuration is wrong.
    """
    from treadle.project import configured_project
    from treadle.project.logging import configure_logging

    configure_logging(project_path=project.project_path, conf_source=conf_source or configured_project().settings.CONF_SOURCE)


def session_class() -> type[Session]:
    """Find the class that the configured project makes its sessions of.

    Returns:
        `SESSION_CLASS` of its settings, or Treadle's own.
    """
    from treadle.project import configured_project

    chosen = configured_project().settings.SESSION_CLASS
    if chosen is not None:
        return chosen
    from treadle.session import Session

    return Session


def session_store(project_path: Path) -> SessionStore:
    """Open the store that the configured project keeps its sessions in.

    Args:
        project_path: the project's root.

    Returns:
        The store; it is the caller's to close.
    """
    from treadle.observe.store import SQLStore
    from treadle.project import configured_project

    settings = configured_project().settings
    store: SessionStore = (settings.SESSION_STORE_CLASS or SQLStore)(project_path=project_path, **settings.SESSION_STORE_ARGS)
    return store
