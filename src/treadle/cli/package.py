"""`treadle package`: build a wheel of the project and an archive of its configuration. State: none.

Neighbour: `treadle.project.packaging` builds both.
"""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.option(
    "--output",
    "-o",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Folder for the wheel and the archive; by default dist in the project.",
)
def package(output: Path | None) -> None:
    """Build a wheel of the project and an archive of its configuration.

    On another machine, install the wheel, put the archive into the working directory and run python -m PACKAGE. The archive
    does not contain conf/local.
    """
    from treadle.cli.location import enter_project
    from treadle.project import configured_project
    from treadle.project.packaging import package_project

    metadata = enter_project()
    built = package_project(metadata, configured_project().settings.CONF_SOURCE, output or metadata.project_path / "dist")
    click.echo(f"Built {built.wheel}")
    if built.conf is not None:
        click.echo(f"Built {built.conf}")
    click.echo(f"After installing the wheel, run: python -m {metadata.package_name}")
