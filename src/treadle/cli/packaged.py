"""Run a packaged project: `python -m flights --runner parallel`, or `flights.main([...])`. State: none.

An installed package has no pyproject.toml, so the project is configured by the package's name, and its configuration and data
are in the working directory. Neighbours: the templates of projects call `package_main`; `run.py` has the flags.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click


def package_main(package: str, arguments: Sequence[str] | None = None) -> int:
    """Run a packaged project with the flags of `treadle run`, or list its sessions: `python -m flights sessions list`.

    The configuration is that of `--conf-source`; by default, the folder `conf` in the current folder, or else the archive
    `conf-<package>.tar.gz` there, which `treadle package` builds.

    Args:
        package: the project's package.
        arguments: the words after `python -m <package>`; by default, those of this process.

    Returns:
        The exit code, as of `treadle run`.
    """
    from treadle.cli.commands import package_commands
    from treadle.cli.failure import show
    from treadle.cli.invocation import Invocation
    from treadle.cli.main import run_to_exit_code
    from treadle.cli.run import run
    from treadle.errors import TreadleError
    from treadle.project import configure_project, configured_project
    from treadle.project.packaging import archive_name, find_packaged_conf

    words = tuple(sys.argv[1:] if arguments is None else arguments)
    try:
        configure_project(package)
        default_source = configured_project().settings.CONF_SOURCE
        conf = find_packaged_conf(package, default_source, Path.cwd())
        if words[:1] == ("sessions",):
            from treadle.cli.sessions import sessions

            program = ("python", "-m", package, "sessions")
            return run_to_exit_code(sessions, Invocation(words[1:], program=program, package=package))
        command = package_commands(package).get("run") or run
    except TreadleError as error:
        return show(error)
    if (
        conf is None
        and not Path(default_source).exists()
        and not any(word.startswith(("--conf-source", "-h", "--help")) for word in words)
    ):
        click.echo(
            f"There is no configuration in {Path.cwd()}: neither {default_source} nor {archive_name(package)}. Change to the "
            "folder that contains it, or pass its path with --conf-source.",
            err=True,
        )
    invocation = Invocation(words, program=("python", "-m", package), package=package)
    return run_to_exit_code(command, invocation, **({} if conf is None else {"conf_source": conf}))
