"""The commands `kedro treadle …`: Treadle's commands about up-to-date nodes, in Kedro projects.

Kedro imports this module for each of its commands in a project, so it imports nothing else until one of these runs. State: none.
Neighbours: `treadle.cli` has the commands; `status.py` decides about the nodes of a Kedro project.
"""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from treadle.session.status import RunStatus

_COMMANDS = {
    "status": ("treadle.cli.status", "Show which nodes are up to date, and why the others would run."),
    "explain": ("treadle.cli.status", "Show why a node would run, and everything that its outputs depend on."),
    "accept": ("treadle.cli.status", "Take nodes as up to date as they are now."),
    "invalidate": ("treadle.cli.status", "Let nodes run the next time, whatever has changed."),
    "cache": ("treadle.cli.cache", "List and remove stored values of nodes."),
}
"""The module and the line of help of each command."""


class _Commands(click.Group):
    """The commands, each imported when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - the same
        if cmd_name not in _COMMANDS:
            return None
        command = getattr(import_module(_COMMANDS[cmd_name][0]), cmd_name)
        assert isinstance(command, click.Command)  # noqa: S101 - for the type checker
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - the same
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_line) for name, (_module, help_line) in _COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        from treadle.cli.failure import show
        from treadle.cli.status import STATUS
        from treadle.errors import TreadleError
        from treadle.kedro.version_check import require_kedro

        require_kedro()
        ctx.meta[STATUS] = _status
        try:
            return super().invoke(ctx)
        except TreadleError as error:
            ctx.exit(show(error))


@click.group()
def commands() -> None:
    """The commands that Kedro adds to its own."""


@commands.group(cls=_Commands)
def treadle() -> None:
    """Which nodes are up to date, for runs with `skip_unchanged=true` of treadle.kedro.ParallelRunner.

    The project has to record its runs: its pyproject.toml has a table [tool.treadle] with package_name.
    """


def _status(context: click.Context, **arguments: Any) -> RunStatus:
    from treadle.cli.location import named_folder
    from treadle.kedro.status import kedro_status
    from treadle.project import find_project

    here = named_folder(context)
    with redirect_stdout(sys.stderr):  # Kedro logs to standard output, and the result may be JSON
        return context.find_root().with_resource(kedro_status(find_project(here) or here, **arguments))
