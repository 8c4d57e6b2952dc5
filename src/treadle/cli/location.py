"""Find and configure the project of a command: the one at or above the current folder, or given with `--project`. State: none."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from treadle.cli.invocation import PROJECT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from treadle.io import Catalog
    from treadle.observe.store import SessionStore
    from treadle.project import ProjectMetadata
    from treadle.session import Session
    from treadle.session.context import Context


def enter_project() -> ProjectMetadata:
    """Bootstrap the project at or above the folder given with `--project`; by default, the current folder.

    Returns:
        The project's metadata.

    Raises:
        ProjectError: there is no project, or it is invalid.
    """
    from treadle.project import bootstrap_project, find_project

    here = named_folder(click.get_current_context(silent=True))
    return bootstrap_project(find_project(here) or here)


def named_folder(context: click.Context | None) -> Path:
    """Return the folder given with `--project`; by default, the current folder."""
    named: Path | None = context.meta.get(PROJECT) if context is not None else None
    return named.resolve() if named is not None else Path.cwd()


def enter_any_project(context: click.Context) -> Path:
    """Configure this process for a project: the packaged one that is run with `python -m`, else as `enter_project` does.

    Args:
        context: click's context of a command.

    Returns:
        The project's folder; for a packaged project, the current folder, which has its `conf` and data.

    Raises:
        ProjectError: there is no project, or it is invalid.
    """
    from treadle.cli.invocation import packaged_project

    package = packaged_project(context)
    if package is None:
        return enter_project().project_path
    from treadle.project import configure_project

    configure_project(package)
    return Path.cwd()


def check_environment(project_path: Path, env: str | None, conf_source: str | None = None) -> None:
    """Check that an environment and a configuration source exist, before starting something that needs them.

    Args:
        project_path: the configured project's folder.
        env: the configuration environment; None for the default.
        conf_source: the configuration folder or archive; None for the one of the settings.

    Raises:
        ConfigError: the environment or the source does not exist.
    """
    from treadle.project import configured_project

    project = configured_project()
    # The project's own config loader may have other kinds of configuration and other environments.
    if (env is not None or conf_source is not None) and project.settings.CONFIG_LOADER_CLASS is None:
        from treadle.session.creation import make_config_loader, make_facts

        facts = make_facts(project, project_path=project_path, env=env, extra_params={}, conf_source=conf_source, command=None)
        _ = make_config_loader(project.settings, facts)["globals"]


def choose_environment(env: str | None) -> None:
    """Set the configuration environment of sessions in this process and its child processes.

    Args:
        env: the environment; None changes nothing.
    """
    if env is not None:
        from treadle.session.creation import ENV_VARIABLE

        os.environ[ENV_VARIABLE] = env


def start_logging(project_path: Path, conf_source: str | None = None) -> None:
    """Configure logging as in the project's `logging.yml`, or with the default configuration.

    Args:
        project_path: the configured project's folder.
        conf_source: the configuration folder or archive; by default, the one of the settings.

    Raises:
        ConfigError: the project's logging configuration is invalid.
    """
    from treadle.project import configured_project
    from treadle.project.logging import configure_logging

    configure_logging(project_path=project_path, conf_source=conf_source or configured_project().settings.CONF_SOURCE)


def session_class() -> type[Session]:
    """Return the session class of the configured project.

    Returns:
        `SESSION_CLASS` of its settings; by default, Treadle's own class.
    """
    from treadle.project import configured_project

    chosen = configured_project().settings.SESSION_CLASS
    if chosen is not None:
        return chosen
    from treadle.session import Session

    return Session


def load_context(*, env: str | None = None, params: Mapping[str, Any] | None = None, conf_source: str | None = None) -> Context:
    """Create the context of the command's project, as a run would have it; no session is recorded.

    Args:
        env: the configuration environment.
        params: params that override the configuration.
        conf_source: the configuration folder or archive; by default, the one of the settings.

    Returns:
        The context; its catalog is created on first access.

    Raises:
        TreadleError: the project or its configuration is invalid.
    """
    path = enter_project().project_path
    session = session_class().create(path, save_on_close=False, env=env, extra_params=params, conf_source=conf_source)
    return session.load_context()


def load_catalog(*, env: str | None = None, params: Mapping[str, Any] | None = None, conf_source: str | None = None) -> Catalog:
    """Create the catalog of the command's project, as a run would have it; no session is recorded.

    Args:
        env: the configuration environment.
        params: params that override the configuration.
        conf_source: the configuration folder or archive; by default, the one of the settings.

    Returns:
        The catalog.

    Raises:
        TreadleError: the project, its configuration or its catalog is invalid.
    """
    return load_context(env=env, params=params, conf_source=conf_source).catalog


def session_store(project_path: Path) -> SessionStore:
    """Open the store with the sessions of the configured project.

    Args:
        project_path: the project's root.

    Returns:
        The store; the caller has to close it.

    Raises:
        StoreError: SESSION_STORE_CLASS does not accept SESSION_STORE_ARGS.
    """
    from treadle.project import configured_project
    from treadle.session.creation import make_store

    return make_store(configured_project().settings, project_path)
