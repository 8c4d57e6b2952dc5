"""`treadle sessions export`: the record of a session in the format of another tool.

State: none. Neighbours: `treadle.observe.export` converts records; `sessions.py` has the group of the command.
"""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from treadle.cli import completion
from treadle.cli.store_option import STORE, open_store
from treadle.observe.export.formats import FORMATS
from treadle.printable import printable
from treadle.secrets import mask_patterns

if TYPE_CHECKING:
    from treadle.observe.store import SessionRecord

FOLDER = Path(".treadle") / "exports"
"""Where exports are written by default, below the project."""
_STDOUT = "-"
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")


@click.command("export")
@click.argument("session_id", metavar="ID", shell_complete=completion.sessions)
@click.option("--format", "name", type=click.Choice(list(FORMATS)), required=True, help="The format.")
@click.option(
    "--output",
    "-o",
    metavar="FILE",
    help="The file to write; - for standard output. By default .treadle/exports/ID.SUFFIX in the project.",
)
@click.pass_context
def export_session(context: click.Context, session_id: str, *, name: str, output: str | None) -> None:
    """Export the record of a session for another tool.

    perfetto: a trace for https://ui.perfetto.dev. otlp: OpenTelemetry spans; without --output they are sent to the endpoint that
    OTEL_EXPORTER_OTLP_ENDPOINT names, if it is set. openlineage: OpenLineage events. json: the whole record. All but json need
    an extra: pip install "treadle[export]". The session may be running or lost.
    """
    from treadle.cli.location import enter_any_project
    from treadle.observe.export.formats import check_libraries, export

    with closing(open_store(context)) as store:
        record = store.load(session_id)
    _mention_state(record)
    endpoint = next((os.environ[each] for each in _ENDPOINTS if os.environ.get(each)), None)
    if name == "otlp" and output is None and endpoint is not None:
        from treadle.observe.export.otlp import send

        check_libraries(record, name)
        count = send(record)
        click.echo(printable(mask_patterns(f"Sent {count} spans to {endpoint}.")))
        return
    content = export(record, name)
    if output == _STDOUT:
        click.echo(content, nl=False)
        return
    if output is not None:
        file = Path(output)
    else:
        folder = enter_any_project(context) / FOLDER if context.meta.get(STORE) is None else Path.cwd()
        file = folder / f"{record.session_id}{FORMATS[name].suffix}"
    click.echo(printable(str(_write(file, content, record))))


def _mention_state(record: SessionRecord) -> None:
    from treadle.observe.store.records import SessionState

    if record.state is SessionState.RUNNING:
        click.echo(f"Session {record.session_id} is still running: the export has what was recorded until now.", err=True)


def _write(file: Path, content: bytes, record: SessionRecord) -> Path:
    from treadle.errors import SessionError
    from treadle.observe.store.file import make_output_folder

    path = file.absolute()
    try:
        make_output_folder(path.parent)
        path.write_bytes(content)
    except OSError as exc:
        msg = (
            f"The export of session {record.session_id} cannot be written to {path}: {exc.strerror or exc}. Choose a file in a "
            "folder that you may write to, with --output FILE."
        )
        raise SessionError(msg, session_id=record.session_id) from exc
    return path
