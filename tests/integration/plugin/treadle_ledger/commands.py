"""The command `treadle ledger`."""

from pathlib import Path

import click

from treadle.project import bootstrap_project, find_project


@click.command()
def ledger():
    """Show the ledger of this project's runs."""
    project = bootstrap_project(find_project(Path.cwd()) or Path.cwd())
    file = project.project_path / "ledger.csv"
    click.echo(file.read_text(encoding="utf-8") if file.exists() else "The ledger is empty.", nl=False)
