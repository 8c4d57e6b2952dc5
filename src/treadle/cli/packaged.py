"""A packaged project that runs itself: `python -m flights --runner parallel`, or `flights.main([...])`. Keeps no state.

The project's package has no pyproject.toml any more, so it is configured by its name, and the folder it is called in is where
its configuration and its data are. Neighbours: templates call `package_main`; the flags are those of `run.py`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click


def package_main(package: str, arguments: Sequence[str] | None = None) -> int:
    """Run a packaged project with the flags of `treadle run`, or look at its sessions: `python -m flights sessions list`.

    The configuration is what `--conf-source` names, else the folder `conf` of the current folder, else the archive
    `conf-<package>.tar.gz` there, which `treadle package` makes.

    Args:
        package: the project's package.
        arguments: the words after `python -m <package>`; those of this process if None.

    Returns:
        The exit code, as `treadle run` has it.
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
        usual = configured_project().settings.CONF_SOURCE
        conf = find_packaged_conf(package, usual, Path.cwd())
        if words[:1] == ("sessions",):
            from treadle.cli.sessions import sessions

            program = ("python", "-m", package, "sessions")
            return run_to_exit_code(sessions, Invocation(words[1:], program=program, package=package))
        command = package_commands(package).get("run") or run
    except TreadleError as error:
        return show(error)
    if (
        conf is None
        and not Path(usual).exists()
        and not any(word.startswith(("--conf-source", "-h", "--help")) for word in words)
    ):
        click.echo(
            f"There is no configuration in {Path.cwd()}: neither {usual} nor {archive_name(package)}. Go where it is, or name it "
            "with --conf-source.",
            err=True,
        )
    invocation = Invocation(words, program=("python", "-m", package), package=package)
    return run_to_exit_code(command, invocation, **({} if conf is None else {"conf_source": conf}))
