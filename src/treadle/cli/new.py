"""`treadle new`: a working project in a new folder. Keeps no state. Neighbour: `scaffold.py`, which makes it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import click


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--name", metavar="NAME", help="The project's name for people; the folder's name if not given.")
def new(path: Path, name: str | None) -> None:
    """Start a new project at PATH, a folder that does not exist yet or is empty.

    It runs as it is, and has one test. Its package is named after the project; a name that Python, its standard library or an
    installed package has is refused.
    """
    from treadle.cli.scaffold import check_importable, create_project, plain_package_name

    project_name = name or path.expanduser().resolve().name
    package_name = plain_package_name(project_name)
    check_importable(package_name)
    target = create_project("starter", path, project_name=project_name, package_name=package_name)
    click.echo(f"Made the project {project_name!r} in {target}. From there:")
    click.echo("  treadle run")
    click.echo("  treadle run --runner parallel")
    missing = importlib.util.find_spec("pytest") is None
    click.echo("  python -m pytest" + ("  (after: python -m pip install pytest)" if missing else ""))
