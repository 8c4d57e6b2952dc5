"""Name the command of Kedro to use instead of one of Treadle's that has failed in a Kedro project. State: none.

A Kedro project that records its runs has a table `[tool.treadle]`, so Treadle's commands find it. `treadle sessions` and
`treadle report` work there. Other commands read its settings and pipelines as if they were Treadle's, and the error that follows
suggests to change these.
"""

from __future__ import annotations

from treadle.errors import ConfigError, HookError, PipelineError, ProjectError, TreadleError

_KEDRO_COMMANDS = {
    "run": "kedro run --runner=treadle.kedro.ParallelRunner",
    **{name: f"kedro treadle {name}" for name in ("status", "explain", "accept", "invalidate", "cache")},
    **{name: f"kedro {name}" for name in ("registry", "catalog", "ipython", "jupyter", "package")},
}


def add_kedro_command(error: TreadleError, command: str | None) -> None:
    """Add a note to the error of a command that has failed in a Kedro project.

    Args:
        error: the error; it gets no note if its cause is not the code or configuration of the project.
        command: the name of the command.
    """
    from treadle.project import configured_project, is_configured
    from treadle.project.metadata import is_kedro
    from treadle.session.running import add_note

    if not isinstance(error, (ConfigError, HookError, PipelineError, ProjectError)) or not is_configured():
        return
    metadata = configured_project().metadata
    if metadata is None or not is_kedro(metadata.config_file):
        return
    other = _KEDRO_COMMANDS.get(command or "")
    instead = f"this command is `{other}`" if other else "use `kedro run --runner=treadle.kedro.ParallelRunner`"
    add_note(error, f"pyproject.toml has a table [tool.kedro]. In a Kedro project, {instead}.")
