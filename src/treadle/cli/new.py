"""`treadle new`: create a working project in a new folder. State: none. Neighbour: `scaffold.py` copies the template."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import click


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--name", metavar="NAME", help="The project's display name; by default the name of the folder.")
def new(path: Path, name: str | None) -> None:
    """Create a new project at PATH, a new or empty folder.

    The project runs without changes, and has one test. Its package is named after the project, so the name must not be a
    keyword, or the name of a module of the standard library or of an installed package.
    """
    from treadle.cli.scaffold import check_importable, create_project, plain_package_name

    project_name = name or path.expanduser().resolve().name
    package_name = plain_package_name(project_name)
    check_importable(package_name)
    target = create_project("starter", path, project_name=project_name, package_name=package_name)
    click.echo(f"Created the project {project_name!r} in {target}. Next steps, in that folder:")
    click.echo("  treadle run")
    click.echo("  treadle run --runner parallel")
    missing = importlib.util.find_spec("pytest") is None
    click.echo("  python -m pytest" + ("  (first: python -m pip install pytest)" if missing else ""))
