"""`treadle registry`: list and describe the project's pipelines. State: none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from treadle.cli import options
from treadle.cli.completion import pipelines
from treadle.cli.groups import SuggestingGroup
from treadle.cli.json_output import print_json
from treadle.cli.values import join_names, join_params
from treadle.printable import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from treadle.cli.options import Groups


@click.group(cls=SuggestingGroup)
def registry() -> None:
    """List and describe the project's pipelines."""


@registry.command("list")
@options.as_json
def list_pipelines(*, as_json: bool) -> None:
    """List the names of the registered pipelines.

    Pipelines found by find_pipelines() are not imported.
    """
    from treadle.cli.location import enter_project
    from treadle.project import configured_project

    enter_project()
    names = list(configured_project().pipelines)
    if as_json:
        print_json("pipelines", pipelines=names)
        return
    for name in names:
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


@registry.command("snapshot")
@options.names("--pipelines", "--pipeline", "-p", help="Names of pipelines; by default all.", shell_complete=pipelines)
@options.env
@options.params
@options.conf_source
@options.as_json
def snapshot_project(
    *, pipelines: Groups, env: str | None, params: tuple[Mapping[str, Any], ...], conf_source: str | None, as_json: bool
) -> None:
    """Describe the project: pipelines, nodes, datasets, parameters.

    Of parameters, only the names are shown. Nothing is run, loaded or recorded, no hook is called, and credentials are neither
    read nor shown.
    """
    from treadle.cli.location import enter_project
    from treadle.inspection import inspect_project

    enter_project()
    found = inspect_project(env=env, params=join_params(params), conf_source=conf_source, pipelines=join_names(pipelines) or None)
    if as_json:
        click.echo(found.to_json())
        return
    click.echo(printable(f"{found.project_name} (package {found.package_name}), environment {found.env or 'unknown'}"))
    for each in found.pipelines:
        click.echo(printable(f"  pipeline {each.name}: {', '.join(node.name for node in each.nodes) or 'no nodes'}"))
    click.echo(printable(f"  datasets: {', '.join(each.name for each in found.datasets) or 'none'}"))
    click.echo(printable(f"  patterns: {', '.join(found.patterns) or 'none'}"))
    click.echo(printable(f"  parameters: {', '.join(found.parameters) or 'none'}"))
