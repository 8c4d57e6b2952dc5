"""The command `treadle`: finds the command's module, runs it, and turns what comes out into an exit code.

One file a command, imported only when its name is given; this module and the commands' own import nothing heavy, so that
`treadle --help` is quick. Keeps no state. Neighbours: `failure.py` says how an error is shown and which exit code it has.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from traceback import walk_tb
from typing import TYPE_CHECKING, Any

import click

import treadle
from treadle.cli import options
from treadle.cli.commands import plugin_command, plugin_command_names, project_commands
from treadle.cli.failure import ExitCode, show
from treadle.cli.groups import SuggestingGroup
from treadle.cli.invocation import PROJECT, Invocation
from treadle.errors import Terminated, TreadleError
from treadle.printable import printable
from treadle.secrets import masked_exception

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_COMMANDS = {
    "run": "Run the project's pipelines.",
    "new": "Start a new project.",
    "demo": "Make a project on real data, and run it in parallel.",
    "check": "Look whether every node could run in a worker, without running any.",
    "registry": "Look at the project's pipelines.",
    "catalog": "Look at the project's datasets.",
    "pipeline": "Add a pipeline to the project, or take one away.",
    "sessions": "Look at earlier sessions: what ran, how, and what came of it.",
    "ipython": "Start IPython with the project loaded.",
    "jupyter": "Work on the project in Jupyter.",
    "package": "Build a wheel of the project, with its configuration beside it.",
    "info": "Say what this machine and this project offer.",
}
"""Each command with its line in `treadle --help`; its module is treadle.cli.<name>, its object <name>."""


_WITHOUT_PROJECT = frozenset({"new", "demo"})
"""Commands that make a project: the one they are called in, which may be broken, has no say."""


class _Commands(SuggestingGroup):
    """The commands by name: the project's own, then ours, then those of plugins; each is imported when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(dict.fromkeys((*_COMMANDS, *self._own(ctx), *plugin_command_names())))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _WITHOUT_PROJECT and cmd_name in self._own(ctx):
            return self._own(ctx)[cmd_name]
        if cmd_name in _COMMANDS:
            command = getattr(import_module(f"treadle.cli.{cmd_name}"), cmd_name)
            assert isinstance(command, click.Command)  # noqa: S101 - our own table, for the type checker
            return command
        return plugin_command(cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        own, offers = {}, {}
        try:
            own = {name: command.get_short_help_str(limit=90) for name, command in self._own(ctx).items()}
        except TreadleError as error:  # help is what people look for when something is wrong
            own = {"(none)": str(error.args[0])}
        for name in plugin_command_names():
            if name not in _COMMANDS and name not in own:
                try:
                    command = plugin_command(name)
                    offers[name] = command.get_short_help_str(limit=90) if command is not None else ""
                except click.ClickException as error:
                    offers[name] = error.message
        for title, rows in (
            ("Commands", {name: line for name, line in _COMMANDS.items() if name not in own}),
            ("Commands of this project", own),
            ("Commands of plugins", offers),
        ):
            if rows:
                with formatter.section(title):
                    formatter.write_dl(list(rows.items()))

    def invoke(self, ctx: click.Context) -> None:
        super().invoke(ctx)  # what a command returns means nothing; a number is the exit code of an `Exit`

    @staticmethod
    def _own(ctx: click.Context) -> Mapping[str, click.Command]:
        """Find the project's own commands, once in the life of a context."""
        found: Mapping[str, click.Command]
        if _OWN_COMMANDS not in ctx.meta:
            ctx.meta[_OWN_COMMANDS] = project_commands(ctx.meta.get(PROJECT) or Path.cwd())
        found = ctx.meta[_OWN_COMMANDS]
        return found


_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
"""What keeps output from being written, wherever it goes."""

_OWN_COMMANDS = "treadle.cli.own-commands"


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog=(
        "Exit codes: 0 all went well; 1 the run failed (a node, a hook or a worker), or a check found problems; 2 wrong usage or "
        "input (a flag, a name, the project, its configuration); 129 ended by SIGHUP (its terminal was closed); 130 interrupted "
        "by Ctrl-C; 143 ended by SIGTERM. A node that calls sys.exit(N) ends the run with N."
    ),
)
@options.project
@click.version_option(treadle.__version__, "-V", "--version", prog_name="treadle")
def treadle_command() -> None:
    """Run a data project's pipelines on every core, and remember how each run was made.

    A project is found from the current folder upward, or from the folder that --project names.
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
        os.getcwd()  # noqa: PTH109 - only whether there is one
    except FileNotFoundError:
        click.echo("Error: The current folder is gone, somebody deleted or moved it. Change to one that is there.", err=True)
        return ExitCode.USAGE
    return run_to_exit_code(treadle_command, Invocation(words))


def run_to_exit_code(command: click.Command, invocation: Invocation, **defaults: Any) -> int:
    """Run a click command, and turn what comes out of it into an exit code.

    Args:
        command: the command.
        invocation: what the user typed.
        **defaults: values of flags that were not typed.

    Returns:
        The exit code, one of `ExitCode`; an unforeseen exception passes through.
    """
    program = " ".join(invocation.program)
    _open_what_was_closed()
    try:
        code = command.main(
            list(invocation.arguments), prog_name=program, standalone_mode=False, obj=invocation, default_map=defaults or None
        )
        sys.stdout.flush()
    except click.Abort as abort:
        if isinstance(abort.__cause__, EOFError):  # of a file that somebody's code read; click takes it for Ctrl-D
            raise abort.__cause__ from None
        return _interrupted(abort.__cause__)
    except click.ClickException as error:
        error.__dict__["message"] = printable(error.message)  # which repeats what was typed
        error.show()
        return ExitCode.USAGE
    except TreadleError as error:
        return show(error)
    except Exception as error:
        lost = _output_lost(error) if isinstance(error, OSError) else None
        if lost is None:
            masked = masked_exception(error)
            if masked is error:
                raise
            raise masked from masked.__cause__
        return lost
    return code if isinstance(code, int) else ExitCode.OK  # what click's `Exit` was raised with


def _output_lost(error: OSError) -> ExitCode | None:
    """Deal with output that could not be written; None where the error is about something else."""
    if error.filename is not None or not (isinstance(error, BrokenPipeError) or error.errno in _NO_ROOM):
        return None
    if isinstance(error.__context__, KeyboardInterrupt):  # click could not end the line of a terminal that was closed
        return _interrupted(error.__context__)
    if not _came_from_output(error):
        return None
    # Let what is printed from now on vanish: the interpreter flushes standard output when it ends.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if not isinstance(error, BrokenPipeError):  # whoever read our output, such as `head`, has enough: nobody is left to tell
        with suppress(OSError):
            click.echo(f"Error: Standard output cannot be written: {error.strerror}.", err=True)
    return ExitCode.FAILED


def _came_from_output(error: OSError) -> bool:
    """Say whether an error is about the output, and not about some file: what could not be written is still to be written."""
    try:
        sys.stdout.flush()
    except OSError:
        return True
    frames = [frame for frame, _line in walk_tb(error.__traceback__)]
    return frames[-1].f_globals.get("__name__") == click.echo.__module__  # where nothing is buffered: PYTHONUNBUFFERED


def _interrupted(cause: BaseException | None) -> ExitCode:
    """Say what ended the command, and how to go on."""
    said, code = "Interrupted.", ExitCode.INTERRUPTED
    if isinstance(cause, Terminated):
        hung_up = cause.signal == signal.SIGHUP
        said, code = ("Ended by SIGHUP.", ExitCode.HUNG_UP) if hung_up else ("Ended by SIGTERM.", ExitCode.TERMINATED)
    with suppress(OSError):  # a terminal that was closed shows nothing any more
        for line in (said, *getattr(cause, "__notes__", ())):
            click.echo(printable(line), err=True)
    return code


def _open_what_was_closed() -> None:
    """Give this process the standard streams that it was started without (`2>&-`, some supervisors).

    Else the next file or socket gets the free descriptor, and with it what some library prints there; worker processes do not
    start without streams at all.
    """
    for descriptor, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is not None:
            continue
        try:
            os.fstat(descriptor)
        except OSError:
            nowhere = os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free: this one, as those below are open
            os.set_inheritable(nowhere, True)  # noqa: FBT003 - the function's own signature
        # By its name: where the descriptor is another file's by now, nothing may be printed there.
        stream = open(os.devnull, mode, encoding="utf-8", errors="backslashreplace")  # noqa: PTH123, SIM115 - for the process's life
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
