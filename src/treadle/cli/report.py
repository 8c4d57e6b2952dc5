"""`treadle report`: write the report of a run to an HTML file.

State: none. Neighbours: `treadle.session.reporting` makes the report; `run.py` writes one with `--report`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from treadle.cli import completion
from treadle.cli.store_option import STORE, listed_package, open_store
from treadle.printable import printable

if TYPE_CHECKING:
    from treadle.observe.report.report import Report

FOLDER = Path(".treadle") / "reports"
"""Where reports are written by default, below the project."""
_STDOUT = Path("-")


@click.command()
@click.argument("session_id", metavar="[ID]", required=False, shell_complete=completion.sessions)
@click.argument("second_id", metavar="[ID2]", required=False, shell_complete=completion.sessions)
@click.option(
    "--output",
    "-o",
    type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    metavar="FILE",
    help="The file to write; - is standard output. By default .treadle/reports/ID.html in the project.",
)
@click.option("--open", "opens", is_flag=True, help="Open the report in the browser.")
@click.option(
    "--store",
    metavar="URL",
    help="The store to read: an SQLAlchemy URL or a SQLite file. By default the project's store.",
)
@click.pass_context
def report(
    context: click.Context,
    session_id: str | None,
    second_id: str | None,
    *,
    output: Path | None,
    opens: bool,
    store: str | None,
) -> None:
    """Write a report of a run: one HTML file that explains where the time went.

    ID is a session, or a unique prefix of its id; the project's newest session by default. It may have failed, may have been
    killed, or may still be running. With two sessions, the report of ID2 shows the differences from ID.

    \b
    treadle report --open
    treadle report 2026-01-30T12 2026-01-31T12 --output compared.html
    """  # noqa: D301 - \b tells click not to rewrap the following lines
    from treadle.cli.location import enter_any_project
    from treadle.session.reporting import report_of

    context.meta[STORE] = store
    folder = Path.cwd() if store is not None else enter_any_project(context)
    wanted, before = (second_id, session_id) if second_id is not None else (session_id, None)
    if output == _STDOUT and opens:
        raise click.UsageError("--open needs a file, so it does not go together with --output -.", context)
    opened = open_store(context)
    made = report_of(opened, wanted, before, package_name=listed_package(context))
    if output == _STDOUT:
        click.echo(made.html().encode(), nl=False)
        return
    file = output or (folder / FOLDER if store is None else folder) / file_name(made)
    path = made.save(file)
    click.echo(printable(str(path)))
    if opens:
        click.launch(path.as_uri())


def file_name(made: Report) -> str:
    """Return the default name of the file of a report."""
    compared = f"{made.content.before.session.session_id}-to-" if made.content.before is not None else ""
    return f"{compared}{made.content.analysis.session.session_id}.html"
