"""`treadle ipython`: start an IPython shell with the project loaded. State: none.

Neighbours: `location.py` finds the project; the extension `treadle.ipython` loads it in the new shell.
"""

from __future__ import annotations

import importlib.util

import click

from treadle.cli import options


@click.command(context_settings={"ignore_unknown_options": True})
@options.env
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[IPYTHON ARGUMENTS]...")
def ipython(*, env: str | None, arguments: tuple[str, ...]) -> None:
    """Start IPython with the project loaded.

    The shell has the variables context, catalog, session and pipelines. Other arguments are passed to IPython:
    treadle ipython -c "list(catalog)"
    """
    if importlib.util.find_spec("IPython") is None:
        message = 'IPython is not installed. Install it with: pip install "treadle[ipython]"'
        raise click.UsageError(message)
    from treadle.cli.location import check_environment, choose_environment, enter_project

    check_environment(enter_project().project_path, env)
    choose_environment(env)
    from IPython import start_ipython

    start_ipython(argv=["--ext", "treadle.ipython", *arguments])
