"""`treadle sessions logs`: the log lines that are recorded of a session.

State: none. Neighbours: `treadle.observe.store.log_lines` has the lines, `sessions.py` has the group of the command.
"""

from __future__ import annotations

import logging
import re
from contextlib import closing
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import click

from treadle.cli import completion, options
from treadle.cli.json_output import print_json
from treadle.cli.store_option import open_store
from treadle.printable import printable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from treadle.observe.store import SessionRecord
    from treadle.observe.store.log_lines import LogLine

_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


@click.command("logs")
@click.argument("session_id", metavar="ID", shell_complete=completion.sessions)
@click.option("--node", "nodes", multiple=True, metavar="NAME", help="Only the lines of this node; may be repeated.")
@click.option("--level", type=click.Choice(_LEVELS, case_sensitive=False), help="Only lines of this level or a higher one.")
@options.as_json
@click.pass_context
def show_log(context: click.Context, session_id: str, *, nodes: tuple[str, ...], level: str | None, as_json: bool) -> None:
    """Print the log lines of a session.

    What the nodes logged in any process, in the order in which they logged it, and what Treadle and other libraries logged during
    the run. Of a node that logs a lot, the first and the last lines are recorded. The session may be running or lost.
    """
    with closing(open_store(context)) as store:
        record = store.load(session_id)
    found = list(_chosen(record, nodes, level))
    if as_json:
        print_json("session-log", session_id=record.session_id, lines=found)
        return
    if not found:
        click.echo(_why_empty(record, is_filtered=bool(nodes or level)), err=True)
    for line in found:
        for text in text_lines(line):
            click.echo(printable(text))


def text_lines(line: LogLine) -> Iterator[str]:
    """Yield a log line as lines of text; all but the first are indented.

    Args:
        line: the line.
    """
    if line.left_out:
        yield f"… {line.left_out:,} more lines{f' of {line.node}' if line.node else ''} are not recorded"
        return
    at = datetime.fromtimestamp(line.at, timezone.utc).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    attempt = f" (attempt {line.attempt})" if line.attempt is not None and line.attempt > 1 else ""
    origin = f"{line.worker or 'main'} {line.node}{attempt}" if line.node else line.worker or "main"
    first, *rest = line.text.split("\n")
    yield f"{at} {line.level:<8} {origin} | {line.logger}: {first}"
    yield from (f"    {text}" for text in rest)


def _chosen(record: SessionRecord, nodes: Collection[str], level: str | None) -> Iterator[LogLine]:
    from treadle.observe.store.log_lines import log_lines

    least = logging.getLevelName(level.upper()) if level is not None else 0
    for run in record.runs:
        for line in log_lines(run.log):
            number = _number_of(line.level)
            if nodes and line.node not in nodes:
                continue
            if least and number < least:
                continue
            yield line


def _number_of(level: str) -> int:
    """Return the number of a recorded level: of a standard one, or of another with its number, "Level 35" or "NOTICE (35)"."""
    number = logging.getLevelName(level)
    if isinstance(number, int):
        return number
    digits = re.search(r"(\d+)\)?$", level)
    return int(digits[1]) if digits else 0


def _why_empty(record: SessionRecord, *, is_filtered: bool) -> str:
    if is_filtered and any(run.log for run in record.runs):
        return "No line of this session's log matches."
    return (
        "No log lines of this session are recorded: nothing was logged at a level that the logging configuration lets through, "
        "or RECORD_LOGS is False in settings.py."
    )
