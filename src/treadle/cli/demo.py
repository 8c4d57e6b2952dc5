"""`treadle demo`: create the flights project, run it sequentially and in parallel, and compare the times. State: none.

Neighbours: `scaffold.py` creates the project, `flights_data.py` copies its data, `machine_load.py` measures other load.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from treadle.cli.invocation import typed_command

if TYPE_CHECKING:
    from treadle.project import ProjectMetadata

_PACKAGE = "flights"


@click.command()
@click.argument("path", type=click.Path(path_type=Path), default=Path("treadle-demo"))
@click.pass_context
def demo(context: click.Context, path: Path) -> None:
    """Create a project with real data at PATH, and run it sequentially and in parallel.

    PATH is treadle-demo by default. The data: the 336,776 flights from New York in 2013, with weather, planes and airports.
    The command needs an extra: pip install "treadle[demo]".
    """
    from treadle.cli.flights_data import check_demo_packages
    from treadle.cli.location import start_logging
    from treadle.cli.machine_load import MachineLoad
    from treadle.project import bootstrap_project, configured_project

    check_demo_packages()
    metadata = bootstrap_project(_create_project(path))
    start_logging(metadata.project_path)
    # Import the project's modules now, so that the import does not count in the timing.
    click.echo(f"Its pipeline has {len(configured_project().pipelines['__default__'].nodes)} nodes.")
    load = MachineLoad()
    load.sample()
    sequential = _timed_run(metadata, "sequential", typed_command(context))
    load.sample()
    parallel = _timed_run(metadata, "parallel", typed_command(context))
    load.sample()
    _print_summary(metadata.project_path, sequential, parallel, load.warning())


def _create_project(path: Path) -> Path:
    """Create the project with its data; use an existing project if this command created it."""
    from treadle.cli.flights_data import prepare_flights_data
    from treadle.cli.scaffold import create_project
    from treadle.project import read_metadata

    if (path / "pyproject.toml").is_file() and read_metadata(path).package_name == _PACKAGE:
        click.echo(f"The flights project is in {path.resolve()}, and is used again.")
        target = path
    else:
        target = create_project("flights", path, project_name="Flights", package_name=_PACKAGE)
        click.echo(f"Created the flights project in {target}.")
    prepare_flights_data(target)
    return target


def _timed_run(metadata: ProjectMetadata, runner: str, command: str) -> float:
    """Run the project in a new session, and return the duration of the run in seconds."""
    from treadle.cli.display import watching
    from treadle.cli.location import session_class

    click.echo(f"\nRunning it with the {runner} runner …")
    with session_class().create(metadata.project_path, command=command) as session, watching() as observer:
        started = time.perf_counter()
        session.run(runner=runner, observers=(observer,))
        return time.perf_counter() - started


def _print_summary(project: Path, sequential: float, parallel: float, busy: str | None) -> None:
    from treadle.execution.processes.cores import usable_cores

    cores = usable_cores()
    click.echo(f"\nsequential  {sequential:6.1f} s")
    click.echo(
        f"parallel    {parallel:6.1f} s   ({sequential / parallel:.2f} × as fast, on {cores} core{'s' if cores != 1 else ''})"
    )
    if busy is not None:
        click.echo(f"\n{busy}")
    click.echo("\nResults:")
    for path in sorted((project / "data" / "08_reporting").glob("[!.]*")):
        click.echo(f"  {path}")
    click.echo("\nNext steps:")
    for line in (f"cd {project}", "treadle sessions list", "treadle run --runner parallel --params features.trailing_days=14"):
        click.echo(f"  {line}")
