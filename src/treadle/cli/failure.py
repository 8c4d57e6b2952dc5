"""How an error ends a command: what is printed, and the exit code.

A user's mistake is one paragraph, without a traceback of ours. A failed node shows the user's own traceback, once, then
what happened, then the command that resumes the run. Keeps no state.
"""

from __future__ import annotations

from enum import IntEnum

import click

from treadle.errors import NodeError, RunError, TreadleError, WorkerSetupError


class ExitCode(IntEnum):
    """The exit codes of the command line; they are promised in the README and in `treadle --help`."""

    OK = 0
    FAILED = 1
    """The run failed: a node, or a worker."""
    USAGE = 2
    """Wrong usage or input: a flag, a name, the project, its configuration."""
    INTERRUPTED = 130
    """Ctrl-C."""
    TERMINATED = 143
    """SIGTERM."""


def show(error: TreadleError) -> ExitCode:
    """Print an error to standard error.

    Args:
        error: what a command raised.

    Returns:
        The exit code that it stands for.
    """
    failure = error.failure if isinstance(error, (NodeError, WorkerSetupError)) else None
    if failure and failure.traceback.strip():
        click.echo(failure.traceback.rstrip() + "\n", err=True)
    click.secho("Error: ", err=True, nl=False, fg="red", bold=True)
    click.echo(str(error.args[0]), err=True)
    for note in getattr(error, "__notes__", ()):
        click.echo(note, err=True)
    if isinstance(error, NodeError) and error.resume:
        click.echo(f"\nResume the run from here with:\n  {error.resume}", err=True)
    return ExitCode.FAILED if isinstance(error, RunError) else ExitCode.USAGE
