"""Find and import the commands of a project and of installed plugins.

A project may define a click group named `cli` in its module `cli.py`. Inside the project, its commands are commands of `treadle`,
and one with the name of a built-in command replaces it. Plugins offer click commands in the entry-point group
`treadle.commands`.

State: none. Neighbours: `main.py` calls this module for the commands of `treadle`, `packaged.py` for the `run` of a packaged
project.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from types import ModuleType

GROUP_NAME = "cli"
"""Name of a project's click group, and of the module that defines it."""


def project_commands(here: Path) -> Mapping[str, click.Command]:
    """Find the commands of the project at or above a folder.

    Args:
        here: the folder.

    Returns:
        The commands by name; empty if there is no project or it has no `cli.py`. The project is bootstrapped only if it has one.

    Raises:
        ProjectError: the project or its `cli.py` is invalid.
    """
    from treadle.project import bootstrap_project, find_project, read_metadata

    root = find_project(here)
    if root is None:
        return {}
    metadata = read_metadata(root)
    module = metadata.source_dir.joinpath(*metadata.package_name.split("."), GROUP_NAME)
    if not (module.with_suffix(".py").is_file() or module.joinpath("__init__.py").is_file()):
        return {}
    bootstrap_project(root)
    return package_commands(metadata.package_name)


def package_commands(package: str) -> Mapping[str, click.Command]:
    """Find the commands of a package that can be imported.

    Args:
        package: the project's package.

    Returns:
        The commands by name; empty if the package has no module `cli`.

    Raises:
        ProjectError: the module cannot be imported, or its `cli` is not a click group.
    """
    from treadle.project.code import import_project_module

    module = import_project_module(f"{package}.{GROUP_NAME}")
    return {} if module is None else _commands_of(module)


def _commands_of(module: ModuleType) -> Mapping[str, click.Command]:
    from treadle.errors import ProjectError

    group = getattr(module, GROUP_NAME, None)
    if isinstance(group, click.Group):
        return group.commands
    file = getattr(module, "__file__", None) or module.__name__
    if group is not None:
        message = (
            f"{GROUP_NAME!r} in {file} is a {type(group).__name__}, not a click group. Write a function "
            f"`def {GROUP_NAME}() -> None` with the decorator @click.group(), and add commands with @{GROUP_NAME}.command()."
        )
        raise ProjectError(message, file=file, key=GROUP_NAME)
    loose = [name for name, value in vars(module).items() if isinstance(value, click.Command)]
    if loose:
        message = (
            f"{file} has the click command {loose[0]!r}, but no click group named {GROUP_NAME!r}, so `treadle` cannot find it. "
            f"Write a function `def {GROUP_NAME}() -> None` with the decorator @click.group(), and add the command to it."
        )
        raise ProjectError(message, file=file, key=GROUP_NAME)
    return {}


def plugin_command_names() -> tuple[str, ...]:
    """Return the names of the commands of installed plugins, without importing them."""
    from treadle.plugins import COMMANDS, offered

    return tuple(dict.fromkeys(entry.name for entry in offered(COMMANDS)))


def plugin_command(name: str) -> click.Command | None:
    """Import a command of a plugin.

    Args:
        name: the command's name.

    Returns:
        The command; None if no plugin has it.

    Raises:
        click.ClickException: it cannot be imported, or is not a click command.
    """
    from treadle.plugins import COMMANDS, find_offer, plugin_name

    entry = find_offer(COMMANDS, name)
    if entry is None:
        return None
    try:
        command = entry.load()
    except Exception as exc:
        message = (
            f"The command {name!r} of the plugin {plugin_name(entry)} ({entry.value}) cannot be imported: "
            f"{type(exc).__name__}: {exc}. Repair or uninstall the plugin."
        )
        raise click.ClickException(message) from exc
    if not isinstance(command, click.Command):
        message = (
            f"The command {name!r} of the plugin {plugin_name(entry)} ({entry.value}) is a {type(command).__name__}, not a click "
            "command. Correct the plugin."
        )
        raise click.ClickException(message)
    return command
