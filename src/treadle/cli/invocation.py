"""The command line as it was typed, carried by click's context to the command that records it. Keeps no state."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import click


PROJECT = "treadle.cli.project"
"""Under which click's context has the folder that `--project` names."""


@dataclass(frozen=True, slots=True)
class Invocation:
    """What the user typed.

    Attributes:
        arguments: the words after the program.
        program: the words that start it.
        package: the package of a packaged project that runs itself; None where the project is looked for on disk.
    """

    arguments: tuple[str, ...] = ()
    program: tuple[str, ...] = ("treadle",)
    package: str | None = None

    @property
    def command(self) -> str:
        """The whole command, quoted so that it can be typed again."""
        return shlex.join((*self.program, *self.arguments))


def packaged_project(context: click.Context) -> str | None:
    """Name the package of the project that runs itself.

    Args:
        context: click's context of a command.

    Returns:
        The package, None where the project is looked for on disk.
    """
    found = context.find_object(Invocation)
    return found.package if found else None


def typed_command(context: click.Context) -> str:
    """Say what the user typed to get here.

    Args:
        context: click's context of a command.

    Returns:
        The whole command; where click was started by something other than `main`, the command without its flags.
    """
    found = context.find_object(Invocation)
    return found.command if found else context.command_path
