"""`treadle package`: the project as a wheel, with its configuration beside it. Keeps no state.

Neighbour: `treadle.project.packaging`, which builds.
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
    help="Where to put them; the project's folder dist if not given.",
)
def package(output: Path | None) -> None:
    """Build a wheel of the project, with its configuration in an archive beside it.

    Install the wheel anywhere, put the archive into the folder to work in, and run it with python -m PACKAGE. The environment
    conf/local stays out of the archive.
    """
    from treadle.cli.location import enter_project
    from treadle.project import configured_project
    from treadle.project.packaging import package_project

    metadata = enter_project()
    made = package_project(metadata, configured_project().settings.CONF_SOURCE, output or metadata.project_path / "dist")
    click.echo(f"Made {made.wheel}")
    if made.conf is not None:
        click.echo(f"Made {made.conf}")
    click.echo(f"Where the wheel is installed: python -m {metadata.package_name}")
