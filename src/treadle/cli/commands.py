"""Where commands come from besides Treadle: a project's own, and those of installed plugins.

A project's module `cli.py` holds a click group named `cli`; each command in it is one of `treadle`'s within the project, and
one that is named like one of ours takes its place. Plugins offer click commands in the entry-point group `treadle.commands`.

Job: find and import them, with errors that say whose they are. State: none. Neighbours: `main.py` looks here for what it does
not know; `packaged.py` for a packaged project's own `run`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from types import ModuleType

GROUP_NAME = "cli"
"""The name of a project's group of commands, and of the module it is in."""


def project_commands(here: Path) -> Mapping[str, click.Command]:
    """Find the commands of the project at or above a folder.

    Args:
        here: the folder.

    Returns:
        The commands by name; none where there is no project, or it has no `cli.py`. Only a project that has one is
        bootstrapped.

    Raises:
        ProjectError: the project or its `cli.py` is wrong.
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
        The commands by name; none where the package has no module `cli`.

    Raises:
        ProjectError: the module cannot be imported, or what it has by the name `cli` is no click group.
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
    """Name the commands that installed plugins offer; none of them is imported."""
    from treadle.plugins import COMMANDS, offered

    return tuple(dict.fromkeys(entry.name for entry in offered(COMMANDS)))


def plugin_command(name: str) -> click.Command | None:
    """Import a command of a plugin.

    Args:
        name: the command's name.

    Returns:
        The command, None where no plugin offers it.

    Raises:
        click.ClickException: it cannot be imported, or is no click command.
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
