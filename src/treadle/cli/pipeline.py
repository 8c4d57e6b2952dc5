"""`treadle pipeline`: create or delete the files of a pipeline. State: none.

Neighbour: `pipeline_files.py` creates, finds and deletes the files.
"""

from __future__ import annotations

import click

from treadle.cli.completion import pipelines
from treadle.cli.groups import SuggestingGroup


@click.group(cls=SuggestingGroup)
def pipeline() -> None:
    """Create or delete a pipeline."""


@pipeline.command("create")
@click.argument("name")
def create_pipeline(name: str) -> None:
    """Create the files of a new pipeline.

    NAME is the name of the pipeline and its folder. The files are nodes.py, pipeline.py, parameters and a test; existing files
    are not overwritten.
    """
    from treadle.cli.location import enter_project
    from treadle.cli.pipeline_files import create_pipeline_files
    from treadle.project import bootstrap_project, configured_project

    metadata = enter_project()
    created = create_pipeline_files(metadata, configured_project().settings.CONF_SOURCE, name)
    click.echo(f"Created the pipeline {name!r}:")
    for path in created:
        click.echo(f"  {path}")
    bootstrap_project(metadata.project_path)
    if name in configured_project().pipelines:
        click.echo(f"It is registered: treadle run --pipelines {name}")
    else:
        click.echo(f"Register it: in pipeline_registry.py, add it to the result of register_pipelines() as {name!r}.")


@pipeline.command("delete")
@click.argument("name", shell_complete=pipelines)
@click.option("--yes", "-y", is_flag=True, help="Delete without confirmation.")
def delete_pipeline(name: str, *, yes: bool) -> None:
    """Delete the files of a pipeline.

    Deletes the code of the pipeline NAME, and the files of parameters, catalog and tests with its name. Data and references
    in other files stay.
    """
    from treadle.cli.location import enter_project
    from treadle.cli.pipeline_files import delete_files, find_pipeline_files
    from treadle.project import configured_project

    metadata = enter_project()
    files = find_pipeline_files(metadata, configured_project().settings.CONF_SOURCE, name)
    click.echo(f"These files of the pipeline {name!r} will be deleted:")
    for path in files:
        click.echo(f"  {path}")
    if not yes and not _confirmed(name):
        click.echo("No file was deleted.")
        return
    delete_files(metadata.project_path, files)
    click.echo("Deleted.")


def _confirmed(name: str) -> bool:
    try:
        return click.confirm("Delete them?")
    except click.Abort as abort:
        if isinstance(abort.__context__, KeyboardInterrupt):
            raise
    click.echo()
    message = (
        "No file was deleted, because the confirmation could not be read from standard input. To delete without confirmation: "
        f"treadle pipeline delete {name} --yes"
    )
    raise click.UsageError(message)
