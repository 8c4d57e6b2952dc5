"""Where a command stands: the project at or above the current folder, and what it was set up with. Keeps no state."""

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
    """Bootstrap the project at or above the folder that `--project` names, or the current folder.

    Returns:
        The project's facts.

    Raises:
        ProjectError: there is none, or it is wrong.
    """
    from treadle.project import bootstrap_project, find_project

    here = named_folder(click.get_current_context(silent=True))
    return bootstrap_project(find_project(here) or here)


def named_folder(context: click.Context | None) -> Path:
    """Return the folder that `--project` names, the current folder where it is not given."""
    named: Path | None = context.meta.get(PROJECT) if context is not None else None
    return named.resolve() if named is not None else Path.cwd()


def enter_any_project(context: click.Context) -> Path:
    """Make a project this process's own: the packaged one that runs itself, else the one at or above the current folder.

    Args:
        context: click's context of a command.

    Returns:
        The project's folder; for a packaged project the current folder, where its `conf` and its data are.

    Raises:
        ProjectError: there is none, or it is wrong.
    """
    from treadle.cli.invocation import packaged_project

    package = packaged_project(context)
    if package is None:
        return enter_project().project_path
    from treadle.project import configure_project

    configure_project(package)
    return Path.cwd()


def check_environment(project_path: Path, env: str | None, conf_source: str | None = None) -> None:
    """See that an environment and a source of configuration exist, before something is started that will need them.

    Args:
        project_path: the configured project's folder.
        env: the configuration environment; None for whichever it will be.
        conf_source: where the configuration is read; None for what the settings say.

    Raises:
        ConfigError: there is no such environment, or no such source.
    """
    from treadle.project import configured_project

    project = configured_project()
    # A loader of the project's own may know other kinds and other environments.
    if (env is not None or conf_source is not None) and project.settings.CONFIG_LOADER_CLASS is None:
        from treadle.session.creation import make_config_loader, make_facts

        facts = make_facts(project, project_path=project_path, env=env, extra_params={}, conf_source=conf_source, command=None)
        _ = make_config_loader(project.settings, facts)["globals"]


def choose_environment(env: str | None) -> None:
    """Make an environment the one of the sessions that this process and its children make.

    Args:
        env: the configuration environment; None leaves the choice as it is.
    """
    if env is not None:
        from treadle.session.session import ENV_VARIABLE

        os.environ[ENV_VARIABLE] = env


def start_logging(project_path: Path, conf_source: str | None = None) -> None:
    """Set logging up as the project says, or by the default: what a run logs is to be seen.

    Args:
        project_path: the configured project's folder.
        conf_source: where its configuration is read; what its settings say if None.

    Raises:
        ConfigError: the project's logging configuration is wrong.
    """
    from treadle.project import configured_project
    from treadle.project.logging import configure_logging

    configure_logging(project_path=project_path, conf_source=conf_source or configured_project().settings.CONF_SOURCE)


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


def load_context(*, env: str | None = None, params: Mapping[str, Any] | None = None, conf_source: str | None = None) -> Context:
    """Make the context of the project that the command stands in, as a run would have it; nothing is recorded.

    Args:
        env: the configuration environment.
        params: params over those of the configuration.
        conf_source: where the configuration is read; what the settings say if None.

    Returns:
        The context; its catalog is made when it is asked for.

    Raises:
        TreadleError: the project or its configuration is wrong.
    """
    path = enter_project().project_path
    session = session_class().create(path, save_on_close=False, env=env, extra_params=params, conf_source=conf_source)
    return session.load_context()


def load_catalog(*, env: str | None = None, params: Mapping[str, Any] | None = None, conf_source: str | None = None) -> Catalog:
    """Make the catalog of the project at or above the current folder, as a run would have it; nothing is recorded.

    Args:
        env: the configuration environment.
        params: params over those of the configuration.
        conf_source: where the configuration is read; what the settings say if None.

    Returns:
        The catalog.

    Raises:
        TreadleError: the project, its configuration or its catalog is wrong.
    """
    return load_context(env=env, params=params, conf_source=conf_source).catalog


def session_store(project_path: Path) -> SessionStore:
    """Open the store that the configured project keeps its sessions in.

    Args:
        project_path: the project's root.

    Returns:
        The store; it is the caller's to close.

    Raises:
        StoreError: SESSION_STORE_CLASS does not take SESSION_STORE_ARGS.
    """
    from treadle.project import configured_project
    from treadle.session.creation import make_store

    return make_store(configured_project().settings, project_path)
