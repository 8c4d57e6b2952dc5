"""`treadle pipeline`: the files of a new pipeline, or those of one away. Keeps no state.

Neighbour: `pipeline_files.py`, which makes, finds and deletes them.
"""

from __future__ import annotations

import click

from treadle.cli.completion import pipelines
from treadle.cli.groups import SuggestingGroup


@click.group(cls=SuggestingGroup)
def pipeline() -> None:
    """Add a pipeline to the project, or delete one."""


@pipeline.command("create")
@click.argument("name")
def create_pipeline(name: str) -> None:
    """Make the files of a new pipeline.

    NAME is that of its folder: nodes, wiring, parameters and a test. Nothing is overwritten.
    """
    from treadle.cli.location import enter_project
    from treadle.cli.pipeline_files import create_pipeline_files
    from treadle.project import bootstrap_project, configured_project

    metadata = enter_project()
    made = create_pipeline_files(metadata, configured_project().settings.CONF_SOURCE, name)
    click.echo(f"Made the pipeline {name!r}:")
    for path in made:
        click.echo(f"  {path}")
    bootstrap_project(metadata.project_path)
    if name in configured_project().pipelines:
        click.echo(f"It is registered: treadle run --pipelines {name}")
    else:
        click.echo(f"Register it: have register_pipelines() in pipeline_registry.py return it under the name {name!r}.")


@pipeline.command("delete")
@click.argument("name", shell_complete=pipelines)
@click.option("--yes", "-y", is_flag=True, help="Delete without asking.")
def delete_pipeline(name: str, *, yes: bool) -> None:
    """Delete the files of a pipeline.

    Of NAME go its code, and the parameters, catalog and tests that carry its name. Its data stays, and so does what other
    files say of it.
    """
    from treadle.cli.location import enter_project
    from treadle.cli.pipeline_files import delete_files, find_pipeline_files
    from treadle.project import configured_project

    metadata = enter_project()
    files = find_pipeline_files(metadata, configured_project().settings.CONF_SOURCE, name)
    click.echo(f"The pipeline {name!r} consists of:")
    for path in files:
        click.echo(f"  {path}")
    if not yes and not _confirmed(name):
        click.echo("Nothing was deleted.")
        return
    delete_files(metadata.project_path, files)
    click.echo("Deleted.")


def _confirmed(name: str) -> bool:
    try:
        return click.confirm("Delete all of this?")
    except click.Abort as abort:
        if isinstance(abort.__context__, KeyboardInterrupt):
            raise
    click.echo()
    message = (
        f"Nothing was deleted: nobody is there to answer. To delete without being asked: treadle pipeline delete {name} --yes"
    )
    raise click.UsageError(message)
