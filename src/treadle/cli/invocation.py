"""The command line as it was typed, carried by click's context to the command that records it. Keeps no state."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import click


@dataclass(frozen=True, slots=True)
class Invocation:
    """What the user typed after `treadle`."""

    arguments: tuple[str, ...] = ()

    @property
    def command(self) -> str:
        """The whole command, quoted so that it can be typed again."""
        return shlex.join(("treadle", *self.arguments))


def typed_command(context: click.Context) -> str:
    """Say what the user typed to get here.

    Args:
        context: click's context of a command.

    Returns:
        The whole command; where click was started by something other than `main`, the command without its flags.
    """
    found = context.find_object(Invocation)
    return found.command if found else context.command_path
