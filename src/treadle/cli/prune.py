"""`treadle sessions prune`: remove the records of old sessions. State: none. Neighbour: `treadle.observe.store.pruning`."""

from __future__ import annotations

import re
import time
from contextlib import closing

import click

from treadle.cli import options
from treadle.cli.json_output import print_json
from treadle.cli.store_option import listed_package, open_store
from treadle.printable import printable

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_AGE = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")


def _age(value: object) -> float:
    """Parse a length of time, such as `30d`, and return its seconds."""
    match = _AGE.fullmatch(str(value).strip().lower())
    if match is None:
        message = f"{value!r} is not a length of time. Write a number and a unit: 90m, 12h, 30d or 8w."
        raise click.BadParameter(message)
    return float(match[1]) * _SECONDS[match[2]]


@click.command("prune")
@click.option("--keep", type=click.IntRange(min=0), metavar="NUMBER", help="Keep this many of the newest sessions.")
@click.option("--older-than", type=_age, metavar="AGE", help="Remove only sessions that began before this time: 12h, 30d, 8w.")
@click.option("--dry-run", is_flag=True, help="List the sessions that would be removed, and remove none.")
@options.as_json
@click.pass_context
def prune_sessions(context: click.Context, *, keep: int | None, older_than: float | None, dry_run: bool, as_json: bool) -> None:
    """Remove the records of old sessions.

    Those of the project are meant; with --store, those of all projects that use the store.

    With both --keep and --older-than, a session is removed only if it is not among the newest and old enough. Running sessions
    stay, and so does the last success of each node: no node runs again because of it.
    """
    if keep is None and older_than is None:
        msg = "Say which sessions to remove: --keep NUMBER, --older-than AGE, or both."
        raise click.UsageError(msg)
    before = None if older_than is None else time.time() - older_than
    with closing(open_store(context)) as store:
        prune = getattr(store, "prune", None)
        if prune is None:
            msg = f"The session store {type(store).__qualname__} has no method `prune`. Remove sessions with its own tools."
            raise click.UsageError(msg)
        package = listed_package(context) if getattr(store, "sessions_of", None) is not None else None
        of_package = {} if package is None else {"package_name": package}  # a custom store may not tell projects apart
        removed = prune(keep=keep, started_before=before, dry_run=dry_run, **of_package)
    if as_json:
        print_json("pruned-sessions", dry_run=dry_run, sessions=removed)
        return
    for session_id in removed if dry_run else ():
        click.echo(printable(session_id))
    count = f"{len(removed)} session{'' if len(removed) == 1 else 's'}"
    click.echo(f"{count} would be removed." if dry_run else f"{count} removed.")
