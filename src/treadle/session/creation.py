"""What a session is made of, as the project's settings say: its place, its config loader, its store, its sources.

No state. Neighbours: `session.py` calls these; `treadle.project.settings` is what they follow.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from treadle.errors import ConfigError, ProjectNotFoundError, StoreError
from treadle.observe.store import SQLStore
from treadle.session.facts import GitProbe

if TYPE_CHECKING:
    from treadle.observe.store import SessionStore
    from treadle.project import ConfiguredProject, Settings
    from treadle.session.record import SessionFacts


def find_path(project: ConfiguredProject, given: str | Path | None) -> Path:
    """Find the folder of a session's project.

    Args:
        project: the configured project.
        given: what the caller named, if anything.

    Returns:
        The folder, absolute: the one given, else the bootstrapped project's, else the nearest project at or above the
        working directory, else the working directory.

    Raises:
        ProjectNotFoundError: the folder given does not exist.
    """
    if given is not None:
        path = Path(given).expanduser().absolute()
        if not path.is_dir():
            msg = f"The project_path {path} is not a folder. Give the project's root, or leave it out."
            raise ProjectNotFoundError(msg, file=str(path))
        return path
    if project.metadata is not None:
        return project.metadata.project_path
    from treadle.project import find_project

    here = Path.cwd()
    return find_project(here) or here


def make_config_loader(settings: Settings, facts: SessionFacts) -> Any:
    """Make the reader of a session's configuration.

    Args:
        settings: the project's settings.
        facts: the session.

    Returns:
        A loader of CONFIG_LOADER_CLASS, or Treadle's own.

    Raises:
        ConfigError: the configuration cannot be found, or the environment does not exist.
    """
    if settings.CONFIG_LOADER_CLASS is None:
        from treadle.config.loader import ConfigLoader

        if facts.given_conf_source is not None and not facts.conf_source.exists():
            msg = f"The conf_source {facts.conf_source} does not exist. Give a folder or an archive."
            raise ConfigError(msg, file=str(facts.conf_source))
        loader_class: type[Any] = ConfigLoader
    else:
        loader_class = settings.CONFIG_LOADER_CLASS
    return loader_class(facts.conf_source, env=facts.env, runtime_params=facts.extra_params, **settings.CONFIG_LOADER_ARGS)


def start_git_probe(project: ConfiguredProject, facts: SessionFacts) -> GitProbe:
    """Ask git about a session's sources: code, configuration and pyproject.toml.

    Args:
        project: the configured project.
        facts: the session.

    Returns:
        The probe, with its answer under way. Where the source folder is not known, it asks about the whole project.
    """
    if project.metadata is None:
        return GitProbe(facts.project_path)
    sources = (project.metadata.source_dir, project.metadata.config_file, facts.conf_source)
    inside = [path.relative_to(facts.project_path) for path in sources if path.is_relative_to(facts.project_path)]
    return GitProbe(facts.project_path, [str(path) for path in inside] or ["."])


def make_store(settings: Settings, project_path: Path) -> SessionStore:
    """Make the store of a session; nothing is opened yet.

    Args:
        settings: the project's settings.
        project_path: the project's folder.

    Returns:
        A store of SESSION_STORE_CLASS, or the database of the project.

    Raises:
        StoreError: the class does not take SESSION_STORE_ARGS.
    """
    store_class = settings.SESSION_STORE_CLASS or SQLStore
    try:
        store: SessionStore = store_class(project_path=project_path, **settings.SESSION_STORE_ARGS)
    except TypeError as exc:
        where = settings.file or "settings.py"
        msg = (
            f"The session store {store_class.__qualname__} cannot be made: {exc}. It is called with project_path and "
            f"SESSION_STORE_ARGS of {where}; correct these."
        )
        raise StoreError(msg) from exc
    return store
