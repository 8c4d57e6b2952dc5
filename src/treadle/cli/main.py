"""The command `treadle`: finds the command's module, runs it, and turns what comes out into an exit code.

One file a command, imported only when its name is given; this module and the commands' own import nothing heavy, so that
`treadle --help` is quick. Keeps no state. Neighbours: `failure.py` says how an error is shown and which exit code it has.
"""

from __future__ import annotations

import difflib
import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING

import click

import treadle
from treadle.cli.failure import ExitCode, show
from treadle.cli.invocation import Invocation
from treadle.errors import Terminated, TreadleError

if TYPE_CHECKING:
    from collections.abc import Sequence

_COMMANDS = {
    "run": "Run the project's pipelines.",
    "new": "Start a new project.",
    "demo": "Make a project on real data, and run it in parallel.",
    "sessions": "Look at earlier sessions: what ran, how, and what came of it.",
    "info": "Say what this machine and this project offer.",
}
"""Each command with its line in `treadle --help`; its module is treadle.cli.<name>, its object <name>."""


class _Commands(click.Group):
    """The commands by name; each module is imported when its command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        if cmd_name not in _COMMANDS:
            return None
        command = getattr(import_module(f"treadle.cli.{cmd_name}"), cmd_name)
        assert isinstance(command, click.Command)  # noqa: S101 - our own table, for the type checker
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in _COMMANDS:
            close = difflib.get_close_matches(args[0], _COMMANDS)
            known = f"Did you mean {' or '.join(close)}?" if close else f"The commands are: {', '.join(_COMMANDS)}."
            message = f"There is no command {args[0]!r}. {known}"
            raise click.UsageError(message, ctx)
        return super().resolve_command(ctx, args)


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog=(
        "Exit codes: 0 all went well; 1 the run failed (a node or a worker); 2 wrong usage or input (a flag, a name, the "
        "project, its configuration); 130 interrupted by Ctrl-C; 143 ended by SIGTERM."
    ),
)
@click.version_option(treadle.__version__, "-V", "--version", prog_name="treadle")
def treadle_command() -> None:
    """Run a data project's pipelines on every core, and remember how each run was made.

    A project is found from the current folder upward.
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: the words after `treadle`; those of this process if None.

    Returns:
        The exit code, one of `ExitCode`; an unforeseen exception passes through, with Python's own traceback.
    """
    words = tuple(sys.argv[1:] if arguments is None else arguments)
    try:
        treadle_command.main(list(words), prog_name="treadle", standalone_mode=False, obj=Invocation(words))
    except click.Abort as abort:
        if isinstance(abort.__cause__, Terminated):
            click.echo("Ended by SIGTERM.", err=True)
            return ExitCode.TERMINATED
        click.echo("Interrupted.", err=True)
        return ExitCode.INTERRUPTED
    except click.ClickException as error:
        error.show()
        return ExitCode.USAGE
    except TreadleError as error:
        return show(error)
    except BrokenPipeError:
        # Whoever read our output, such as `head`, has enough; there is nobody left to tell. (The interpreter flushes at exit.)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.FAILED
    return ExitCode.OK
