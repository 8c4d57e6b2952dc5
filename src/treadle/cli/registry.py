"""`treadle registry`: list and describe the project's pipelines. State: none."""

from __future__ import annotations

import click

from treadle.cli.completion import pipelines
from treadle.cli.groups import SuggestingGroup
from treadle.printable import printable


@click.group(cls=SuggestingGroup)
def registry() -> None:
    """List and describe the project's pipelines."""


@registry.command("list")
def list_pipelines() -> None:
    """List the names of the registered pipelines.

    Pipelines found by find_pipelines() are not imported.
    """
    from treadle.cli.location import enter_project
    from treadle.project import configured_project

    enter_project()
    for name in configured_project().pipelines:
        click.echo(printable(name))


@registry.command("describe")
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=pipelines)
@click.option("--json", "as_json", is_flag=True, help="Print the structure as JSON, one line per pipeline.")
def describe_pipelines(names: tuple[str, ...], *, as_json: bool) -> None:
    """Describe pipelines: free inputs, nodes in order, free outputs.

    NAME is a registered pipeline; by default __default__. Nodes are listed in execution order.
    """
    from treadle.cli.location import enter_project
    from treadle.project import configured_project
    from treadle.project.pipelines import DEFAULT_PIPELINE

    enter_project()
    found = {name: configured_project().pipelines[name] for name in names or (DEFAULT_PIPELINE,)}
    for position, (name, pipeline) in enumerate(found.items()):
        if as_json:
            click.echo(pipeline.to_json())
            continue
        click.echo(f"{chr(10) if position else ''}{printable(name)}")
        click.echo(printable(pipeline.describe()))
