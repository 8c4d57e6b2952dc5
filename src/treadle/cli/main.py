"""The command `treadle`: find and run a subcommand, and convert its result or error to an exit code.

Each subcommand has its own module, imported on demand; these modules import heavy libraries lazily, so that `treadle --help` is
fast. State: none. Neighbours: `failure.py` prints errors and determines their exit codes.
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
from treadle.collector import freeze_imports
from treadle.errors import Terminated, TreadleError
from treadle.printable import printable
from treadle.secrets import masked_exception

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_COMMANDS = {
    "run": "Run the project's pipelines.",
    "new": "Create a new project.",
    "demo": "Create a project with real data, and run it in parallel.",
    "check": "Check that every node can run in a worker, without running any.",
    "status": "Show which nodes are up to date, and why the others would run.",
    "explain": "Show why a node would run, and everything that its outputs depend on.",
    "accept": "Take nodes as up to date as they are now.",
    "invalidate": "Let nodes run the next time, whatever has changed.",
    "cache": "List and remove stored values of nodes.",
    "registry": "List and describe the project's pipelines.",
    "catalog": "List, describe and validate the project's datasets.",
    "pipeline": "Create or delete a pipeline.",
    "report": "Write a report of a run: one HTML file that explains where the time went.",
    "server": "Serve the project over HTTP.",
    "sessions": "List, compare, repeat and remove recorded sessions.",
    "ipython": "Start IPython with the project loaded.",
    "jupyter": "Work on the project in Jupyter.",
    "package": "Build a wheel of the project and an archive of its configuration.",
    "info": "Show versions, cores, start methods, the project and plugins.",
}
"""Commands with their help line; command NAME is the object NAME in the module treadle.cli.NAME, or in that of `_MODULES`."""
_MODULES = {"explain": "status", "accept": "status", "invalidate": "status"}


_WITHOUT_PROJECT = frozenset({"new", "demo"})
"""Commands that create a project: they ignore the project in the current folder, which may be broken."""


class _Commands(SuggestingGroup):
    """The commands by name: those of the project, then Treadle's, then those of plugins; each is imported on demand."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(dict.fromkeys((*_COMMANDS, *self._own(ctx), *plugin_command_names())))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _WITHOUT_PROJECT and cmd_name in self._own(ctx):
            return self._own(ctx)[cmd_name]
        if cmd_name in _COMMANDS:
            command = getattr(import_module(f"treadle.cli.{_MODULES.get(cmd_name, cmd_name)}"), cmd_name)
            assert isinstance(command, click.Command)  # noqa: S101 - for the type checker
            return command
        return plugin_command(cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        own, from_plugins = {}, {}
        try:
            own = {name: command.get_short_help_str(limit=90) for name, command in self._own(ctx).items()}
        except TreadleError as error:  # the help must work even if the project is broken
            own = {"(none)": str(error.args[0])}
        for name in plugin_command_names():
            if name not in _COMMANDS and name not in own:
                try:
                    command = plugin_command(name)
                    from_plugins[name] = command.get_short_help_str(limit=90) if command is not None else ""
                except click.ClickException as error:
                    from_plugins[name] = error.message
        for title, rows in (
            ("Commands", {name: line for name, line in _COMMANDS.items() if name not in own}),
            ("Commands of this project", own),
            ("Commands of plugins", from_plugins),
        ):
            if rows:
                with formatter.section(title):
                    formatter.write_dl(list(rows.items()))

    def invoke(self, ctx: click.Context) -> None:
        try:
            super().invoke(ctx)  # discard the return value, so that an int can only be the exit code of `click.Exit`
        except TreadleError as error:
            from treadle.cli.kedro_projects import add_kedro_command

            add_kedro_command(error, ctx.invoked_subcommand)
            raise

    @staticmethod
    def _own(ctx: click.Context) -> Mapping[str, click.Command]:
        """Return the project's own commands, cached in the click context."""
        found: Mapping[str, click.Command]
        if _OWN_COMMANDS not in ctx.meta:
            ctx.meta[_OWN_COMMANDS] = project_commands(ctx.meta.get(PROJECT) or Path.cwd())
        found = ctx.meta[_OWN_COMMANDS]
        return found


_OUTPUT_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
"""Errors of a full or failing output device."""

_OWN_COMMANDS = "treadle.cli.own-commands"


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog=(
        "Exit codes: 0 success; 1 the run failed (a node, a hook or a worker), or a check found problems; 2 wrong usage or "
        "input (a flag, a name, the project, its configuration); 129 ended by SIGHUP (the terminal was closed); 130 interrupted "
        "by Ctrl-C; 143 ended by SIGTERM. A node that calls sys.exit(N) ends the run with N."
    ),
)
@options.project
@click.version_option(treadle.__version__, "-V", "--version", prog_name="treadle")
def treadle_command() -> None:
    """Run a data project's pipelines on every core, and record how each run was made.

    The project is the one at or above the current folder, or the folder given with --project.
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: the words after `treadle`; by default those of this process.

    Returns:
        The exit code, usually an `ExitCode`; an unexpected exception propagates, with Python's traceback.
    """
    if arguments is None:  # this process runs nothing but the command
        freeze_imports()
    words = tuple(sys.argv[1:] if arguments is None else arguments)
    try:
        os.getcwd()  # noqa: PTH109 - only checks that it exists
    except FileNotFoundError:
        click.echo(
            "Error: The current folder does not exist any more: it was deleted or moved. Change to another folder.", err=True
        )
        return ExitCode.USAGE
    return run_to_exit_code(treadle_command, Invocation(words))


def run_to_exit_code(command: click.Command, invocation: Invocation, **defaults: Any) -> int:
    """Run a click command, and convert its result or error to an exit code.

    Args:
        command: the command.
        invocation: the words of the command line.
        **defaults: default values of flags.

    Returns:
        The exit code, usually an `ExitCode`; an unexpected exception propagates.
    """
    program = " ".join(invocation.program)
    _open_missing_streams()
    try:
        code = command.main(
            list(invocation.arguments), prog_name=program, standalone_mode=False, obj=invocation, default_map=defaults or None
        )
        with suppress(ValueError):  # the project may have closed it
            sys.stdout.flush()
    except click.Abort as abort:
        if isinstance(abort.__cause__, EOFError):  # raised by user code that read a file; click mistakes it for Ctrl-D
            raise abort.__cause__ from None
        return _interrupted(abort.__cause__)
    except click.ClickException as error:
        error.__dict__["message"] = printable(error.message)  # the message repeats the user's input
        with suppress(OSError):
            error.show()
        return ExitCode.USAGE
    except TreadleError as error:
        return show(error)
    except Exception as error:
        code = _output_lost(error) if isinstance(error, OSError) else None
        if code is None:
            masked = masked_exception(error)
            if masked is error:
                raise
            raise masked from masked.__cause__
        return code
    finally:
        _discard_unwritable_output()
    return code if isinstance(code, int) else ExitCode.OK  # the exit code of `click.Exit`


def _output_lost(error: OSError) -> ExitCode | None:
    """Handle output that could not be written; None if the error has another cause."""
    if error.filename is not None or not (isinstance(error, BrokenPipeError) or error.errno in _OUTPUT_ERRNOS):
        return None
    if isinstance(error.__context__, KeyboardInterrupt):  # click could not write to a closed terminal
        return _interrupted(error.__context__)
    if not _came_from_output(error):
        return None
    if not isinstance(error, BrokenPipeError):  # a closed pipe, such as of `head`, is not worth a message
        with suppress(OSError):
            click.echo(f"Error: Standard output cannot be written: {error.strerror}.", err=True)
    return ExitCode.FAILED


def _discard_unwritable_output() -> None:
    """Redirect a standard stream whose buffer cannot be written to the null device.

    The interpreter flushes the streams at exit, and would end with code 120 instead of ours.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            with suppress(ValueError):  # it is closed: nothing is left to write
                stream.flush()
        except OSError:
            with suppress(OSError):  # a stream that a program has replaced may have no descriptor
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, stream.fileno())
                os.close(null)


def _came_from_output(error: OSError) -> bool:
    """Return whether standard output caused an error: if so, its buffer still cannot be flushed."""
    try:
        sys.stdout.flush()
    except OSError:
        return True
    frames = [frame for frame, _line in walk_tb(error.__traceback__)]
    return frames[-1].f_globals.get("__name__") == click.echo.__module__  # unbuffered output (PYTHONUNBUFFERED)


def _interrupted(cause: BaseException | None) -> ExitCode:
    """Print what ended the command and how to resume, and return the exit code."""
    message, code = "Interrupted.", ExitCode.INTERRUPTED
    if isinstance(cause, Terminated):
        hung_up = cause.signal == signal.SIGHUP
        message, code = ("Ended by SIGHUP.", ExitCode.HUNG_UP) if hung_up else ("Ended by SIGTERM.", ExitCode.TERMINATED)
    with suppress(OSError):  # the terminal may be closed
        for line in (message, *getattr(cause, "__notes__", ())):
            click.echo(printable(line), err=True)
    return code


def _open_missing_streams() -> None:
    """Open the null device for standard streams that the process was started without (`2>&-`, some supervisors).

    Otherwise the next file or socket would get the free descriptor, and libraries would print into it; worker processes do not
    start without standard streams.
    """
    for descriptor, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is not None:
            continue
        try:
            os.fstat(descriptor)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is this descriptor
            os.set_inheritable(null, True)  # noqa: FBT003 - the signature of os.set_inheritable
        # Opened by name: the descriptor may already belong to another file, which must not receive output.
        stream = open(os.devnull, mode, encoding="utf-8", errors="backslashreplace")  # noqa: PTH123, SIM115 - open until the process exits
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
