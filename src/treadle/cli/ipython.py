"""`treadle ipython`: an IPython shell with the project loaded. Keeps no state.

Neighbours: `location.py` finds the project; the extension `treadle.ipython` loads it, in the shell that is started here.
"""

from __future__ import annotations

import importlib.util

import click

from treadle.cli import options


@click.command(context_settings={"ignore_unknown_options": True})
@options.env
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[IPYTHON ARGUMENTS]...")
def ipython(*, env: str | None, arguments: tuple[str, ...]) -> None:
    """Start IPython with the project loaded: context, catalog, session and pipelines are there.

    What follows goes to IPython: `treadle ipython -c "list(catalog)"`.
    """
    if importlib.util.find_spec("IPython") is None:
        message = 'IPython is not installed. Install it with: pip install "treadle[ipython]"'
        raise click.UsageError(message)
    from treadle.cli.location import check_environment, choose_environment, enter_project

    check_environment(enter_project().project_path, env)
    choose_environment(env)
    from IPython import start_ipython

    start_ipython(argv=["--ext", "treadle.ipython", *arguments])
