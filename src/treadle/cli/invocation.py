"""The command line as the user typed it; click's context passes it to the command that records it. State: none."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from treadle.named_tuple import NamedTuple

if TYPE_CHECKING:
    import click


PROJECT = "treadle.cli.project"
"""Key of `context.meta` for the folder given with `--project`."""


class Invocation(NamedTuple):
    """The command line that the user typed.

    Attributes:
        arguments: the words after `program`.
        program: the words that start the program, such as `python -m flights`.
        package: the package, if it is a packaged project run with `python -m`; None if the project is searched for on disk.
    """

    arguments: tuple[str, ...] = ()
    program: tuple[str, ...] = ("treadle",)
    package: str | None = None

    @property
    def command(self) -> str:
        """The whole command, quoted so that it can be typed again."""
        return shlex.join((*self.program, *self.arguments))


def packaged_project(context: click.Context) -> str | None:
    """Return the package of a packaged project that was run with `python -m`.

    Args:
        context: click's context of a command.

    Returns:
        The package; None if the project is searched for on disk.
    """
    found = context.find_object(Invocation)
    return found.package if found else None


def typed_command(context: click.Context) -> str:
    """Return the command line that the user typed.

    Args:
        context: click's context of a command.

    Returns:
        The whole command line; if click was not started by `main`, the command without its flags.
    """
    found = context.find_object(Invocation)
    return found.command if found else context.command_path
