"""Create the parts of a session from the project's settings: facts, hook manager, config loader, store, git probe.

State: none. Neighbours: `session.py` and `service.py` call these functions; `treadle.project.settings` holds the settings.
"""

from __future__ import annotations

import inspect
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from treadle.errors import ConfigError, HookError, ProjectError, ProjectNotFoundError, SessionError, StoreError
from treadle.observe.store import SQLStore
from treadle.session.facts import GitProbe, host_name, recorded_environment, user_name
from treadle.session.identity import new_session_id
from treadle.session.record import SessionFacts
from treadle.suggestions import close_names, did_you_mean
from treadle.working_directory import working_directory

if TYPE_CHECKING:
    from pluggy import PluginManager

    from treadle.observe.store import SessionStore
    from treadle.project import ConfiguredProject, Settings


ENV_VARIABLE = "TREADLE_ENV"
"""The environment variable that names the configuration environment if no argument does."""


def choose_env(env: str | None) -> str | None:
    """Return the configuration environment of an argument, else of `TREADLE_ENV`; None if neither names one."""
    return env or os.environ.get(ENV_VARIABLE) or None


def default_env(settings: Settings) -> str | None:
    """Return the environment that is read if none is named; None if only the project's own config loader knows it."""
    own = "local" if settings.CONFIG_LOADER_CLASS is None else None
    named: str | None = settings.CONFIG_LOADER_ARGS.get("default_run_env", own)
    return named


def recorded_env(settings: Settings, env: str | None) -> str | None:
    """Return the environment with which a session and its nodes' successes are stored: None for the default one, named or not.

    Args:
        settings: the project's settings.
        env: the environment of a session; None for the default.
    """
    return None if env == default_env(settings) else env


def given_params(extra_params: Mapping[str, Any] | None, runtime_params: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Return the params of a session, which may be given by one of two names.

    Raises:
        SessionError: both were given.
    """
    if extra_params and runtime_params:
        msg = "Session.create was given both extra_params and its alias runtime_params. Pass only one of them."
        raise SessionError(msg)
    return extra_params or runtime_params or {}


def check_kinds(**arguments: Any) -> None:
    """Raise if an argument of a session has the wrong type.

    Args:
        **arguments: `project_path`, `env`, `extra_params`, `conf_source`, `resume`; None if not given.

    Raises:
        SessionError: an argument has the wrong type.
    """
    kinds: dict[str, tuple[type, ...]] = {"env": (str,), "extra_params": (Mapping,), "resume": (str,)}
    for name, value in arguments.items():
        if value is not None and not isinstance(value, kinds.get(name, (str, os.PathLike))):
            texts = {"env": "a string", "extra_params": "a mapping", "resume": 'the id of a session, or "last"'}
            wanted = texts.get(name, "a path")
            msg = f"A session cannot be created with {name}={value!r}, a {type(value).__name__}. Pass {wanted}."
            raise SessionError(msg)


def make_facts(
    project: ConfiguredProject,
    *,
    project_path: str | Path | None,
    env: str | None,
    extra_params: Mapping[str, Any],
    conf_source: str | Path | None,
    command: str | None,
    resumed_from: str | None = None,
) -> SessionFacts:
    """Collect the facts that are known when a session is created, and give it an id.

    Args:
        project: the configured project.
        project_path: the project folder given by the caller, if any.
        env: the configuration environment.
        extra_params: params that override those of the configuration; they are copied.
        conf_source: the configuration source given by the caller, if any; relative to the project.
        command: the command line as typed.
        resumed_from: the id of the session that it continues.

    Returns:
        The facts of a new session.

    Raises:
        ProjectError: the settings are invalid, or the project folder does not exist.
        SessionError: an argument has the wrong type.
    """
    from treadle.config.params import merge_params

    check_kinds(project_path=project_path, env=env, extra_params=extra_params, conf_source=conf_source)
    path = find_path(project, project_path)
    try:
        copied = merge_params({}, extra_params)
    except RecursionError:
        msg = (
            "A session cannot be created: its extra_params contain themselves or are nested too deeply. Pass plain nested params."
        )
        raise SessionError(msg) from None
    return SessionFacts(
        session_id=new_session_id(),
        project_path=path,
        package_name=project.package_name,
        env=env,
        conf_source=path / (conf_source or project.settings.CONF_SOURCE),
        given_conf_source=None if conf_source is None else str(conf_source),
        extra_params=copied,
        command=command,
        started=time.time(),
        user=user_name(),
        host=host_name(),
        pid=os.getpid(),
        environment=recorded_environment(os.environ),
        resumed_from=resumed_from,
    )


def make_hook_manager(settings: Settings) -> PluginManager:
    """Register the hooks of a project and of plugins.

    Args:
        settings: the project's settings.

    Returns:
        The hook manager.

    Raises:
        HookError: a hook cannot be registered.
    """
    from treadle.hooks import create_hook_manager, register_hooks, register_plugins

    manager = create_hook_manager()
    try:
        register_hooks(manager, settings.HOOKS, source="HOOKS")
    except HookError as exc:
        msg = f"HOOKS in {settings.file or 'settings.py'}: {exc.args[0]}"
        raise HookError(msg, hook=exc.hook, plugin=exc.plugin) from exc
    register_plugins(manager, settings.DISABLE_HOOKS_FOR_PLUGINS)
    return manager


def find_path(project: ConfiguredProject, given: str | Path | None) -> Path:
    """Find the folder of a session's project.

    Args:
        project: the configured project.
        given: the folder given by the caller, if any.

    Returns:
        The absolute path of the given folder, else of the bootstrapped project, else of the nearest project at or above the
        working directory, else of the working directory.

    Raises:
        ProjectNotFoundError: the given folder does not exist; or none is given, and the working directory was deleted.
    """
    if given is not None:
        path = Path(given).expanduser().absolute()
        if not path.is_dir():
            msg = f"The project_path {path} is not a folder. Pass the root folder of the project, or omit project_path."
            raise ProjectNotFoundError(msg, file=str(path))
        return path
    if project.metadata is not None:
        return project.metadata.project_path
    from treadle.project import find_project

    if not (here := working_directory()):
        msg = "The working directory of this process was deleted, so no project can be found from it. Pass project_path."
        raise ProjectNotFoundError(msg, file=".")
    return find_project(Path(here)) or Path(here)


def make_config_loader(settings: Settings, facts: SessionFacts) -> Any:
    """Create the config loader of a session.

    Args:
        settings: the project's settings.
        facts: the session.

    Returns:
        An instance of CONFIG_LOADER_CLASS, or of Treadle's own loader.

    Raises:
        ConfigError: the configuration cannot be found, or the environment does not exist.
    """
    if settings.CONFIG_LOADER_CLASS is None:
        from treadle.config.loader import ConfigLoader

        if facts.given_conf_source is not None and not facts.conf_source.exists():
            msg = f"The conf_source {facts.conf_source} does not exist. Pass an existing folder or archive."
            raise ConfigError(msg, file=str(facts.conf_source))
        loader_class: type[Any] = ConfigLoader
    else:
        loader_class = settings.CONFIG_LOADER_CLASS
    arguments = {"env": facts.env, "runtime_params": facts.extra_params, **settings.CONFIG_LOADER_ARGS}
    try:
        inspect.signature(loader_class).bind(facts.conf_source, **arguments)
    except TypeError as exc:
        taken = [name for name in inspect.signature(loader_class).parameters if name != "conf_source"]
        unknown = next((name for name in settings.CONFIG_LOADER_ARGS if name not in taken), "")
        hint = did_you_mean(close_names(unknown, taken, most=1), f"It takes: {', '.join(taken)}.")
        file = settings.file or "settings.py"
        msg = f"The config loader {loader_class.__qualname__} does not take CONFIG_LOADER_ARGS of {file}: {exc}.{hint}"
        raise ProjectError(msg, file=file, key="CONFIG_LOADER_ARGS") from exc
    return loader_class(facts.conf_source, **arguments)


def start_git_probe(project: ConfiguredProject, facts: SessionFacts) -> GitProbe:
    """Start git to find the state of a session's sources: code, configuration and pyproject.toml.

    Args:
        project: the configured project.
        facts: the session.

    Returns:
        The probe, with git running. If the source folder is unknown, git examines the whole project.
    """
    if project.metadata is None:
        return GitProbe(facts.project_path)
    sources = (project.metadata.source_dir, project.metadata.config_file, facts.conf_source)
    inside = [path.relative_to(facts.project_path) for path in sources if path.is_relative_to(facts.project_path)]
    return GitProbe(facts.project_path, [str(path) for path in inside] or ["."])


def program_of(project: ConfiguredProject) -> tuple[str, ...]:
    """Return the command words that start a run of a project.

    Args:
        project: the configured project.

    Returns:
        `treadle run`, with `--project` if the working directory is outside the project; `python -m PACKAGE` for an installed
        package with a `__main__` module and no project folder.
    """
    from treadle.project.code import find_module

    if project.metadata is None and find_module(f"{project.package_name}.__main__") is not None:
        return ("python", "-m", project.package_name)
    if project.metadata is not None and not Path(working_directory()).is_relative_to(project.metadata.project_path):
        return ("treadle", "run", f"--project={project.metadata.project_path}")
    return ("treadle", "run")


def make_store(settings: Settings, project_path: Path) -> SessionStore:
    """Create the store of a session, without opening it.

    Args:
        settings: the project's settings.
        project_path: the project's folder.

    Returns:
        An instance of SESSION_STORE_CLASS, or the project's SQL store.

    Raises:
        StoreError: the class does not take SESSION_STORE_ARGS.
    """
    store_class = settings.SESSION_STORE_CLASS or SQLStore
    try:
        store: SessionStore = store_class(project_path=project_path, **settings.SESSION_STORE_ARGS)
    except TypeError as exc:
        where = settings.file or "settings.py"
        msg = (
            f"The session store {store_class.__qualname__} cannot be created: {exc}. It is called with project_path and "
            f"SESSION_STORE_ARGS of {where}; correct SESSION_STORE_ARGS."
        )
        raise StoreError(msg) from exc
    return store
