"""Print the error that ends a command, and determine the exit code.

A user error is printed as one paragraph, without Treadle's traceback. A failed node shows the traceback of the user's code, then
what happened, then the command that resumes the run. State: none. Neighbours: `main.py` calls `show`.
"""

from __future__ import annotations

import sys
import textwrap
from contextlib import suppress
from enum import IntEnum
from shutil import get_terminal_size
from typing import TYPE_CHECKING

import click

from treadle.cli.annotations import annotate_error
from treadle.errors import HookError, NodeError, RunError, TreadleError, WorkerSetupError
from treadle.printable import printable

if TYPE_CHECKING:
    from treadle.events import Failure


class ExitCode(IntEnum):
    """The exit codes of the command line, documented in the README and in `treadle --help`."""

    OK = 0
    FAILED = 1
    """The run failed: a node, a hook or a worker."""
    USAGE = 2
    """Wrong usage or input: a flag, a name, the project, its configuration."""
    INTERRUPTED = 130
    """Ctrl-C."""
    HUNG_UP = 129
    """SIGHUP: the terminal was closed."""
    TERMINATED = 143
    """SIGTERM."""


def show(error: TreadleError) -> int:
    """Print an error to standard error.

    Args:
        error: the error that a command raised.

    Returns:
        The exit code: an `ExitCode`, or the argument of a node's `sys.exit`.
    """
    with suppress(OSError):  # standard error may be a closed pipe or on a full disk, which does not change the exit code
        _print(error)
    if isinstance(error, NodeError) and error.exit_code is not None:
        return error.exit_code
    failed = isinstance(error, RunError) or (isinstance(error, HookError) and error.failure is not None)
    return ExitCode.FAILED if failed else ExitCode.USAGE


def _print(error: TreadleError) -> None:
    if isinstance(error, NodeError) and error.exit_code == 0:
        click.echo(f"Node '{error.node}' ended the run with sys.exit(0); the remaining nodes were not run.", err=True)
        return
    _show_one(error, error.failure if isinstance(error, (HookError, NodeError, WorkerSetupError)) else None)
    annotate_error(error)
    for other in error.others or () if isinstance(error, NodeError) else ():
        click.echo(err=True)
        _show_one(other, other.failure)
        annotate_error(other)
    for note in getattr(error, "__notes__", ()):
        click.echo(printable(note), err=True)
    if isinstance(error, NodeError) and error.resume:
        click.echo(f"\nResume the run from here with:\n  {printable(error.resume)}", err=True)


def _show_one(error: TreadleError, failure: Failure | None) -> None:
    message = str(error.args[0])
    if failure and '  File "' in failure.traceback:  # a traceback without user frames only repeats the error
        trace = failure.traceback.rstrip()
        click.echo(printable(trace) + "\n", err=True)
        if failure.message and trace.endswith(failure.message):  # do not repeat the message of the traceback
            message = message.replace(f": {failure.type_name}: {failure.message}", ".", 1)
    first, *rest = _wrapped(f"Error: {printable(message)}")
    click.secho("Error: ", err=True, nl=False, fg="red", bold=True)
    click.echo("\n".join([first.removeprefix("Error: "), *rest]), err=True)


def _wrapped(text: str) -> list[str]:
    """Split a text into lines; on a terminal, wrap lines at its width, except lines that begin with a space."""
    if sys.stderr is None or not sys.stderr.isatty():
        return text.split("\n")
    width = get_terminal_size().columns
    return [
        part
        for line in text.split("\n")
        for part in (
            [line]
            if line.startswith(" ")
            else textwrap.wrap(line, width, break_long_words=False, break_on_hyphens=False, drop_whitespace=True) or [""]
        )
    ]
