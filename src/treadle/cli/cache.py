"""`treadle cache`: list and remove the stored values of nodes with `cache: store`. State: none."""

from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING

import click

from treadle.cli.groups import SuggestingGroup
from treadle.cli.tables import aligned
from treadle.printable import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from treadle.session.value_files import StoredValue


@click.group(cls=SuggestingGroup)
def cache() -> None:
    """List and remove stored values of nodes."""


@cache.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_values(*, as_json: bool) -> None:
    """List the stored values of nodes with `cache: store`."""
    from treadle.cli.location import enter_project
    from treadle.session.value_files import stored_values, values_folder

    _print(list(stored_values(values_folder(enter_project().project_path))), as_json=as_json, empty="No value is stored.")


@cache.command("gc")
@click.option("--max-size", metavar="SIZE", help="Size that remains, such as 2GB; by default VALUE_CACHE_SIZE of settings.py.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def collect(max_size: str | None, *, as_json: bool) -> None:
    """Remove the stored values that were used longest ago.

    Values that a running session may use stay.
    """
    from treadle.cli.location import enter_project, session_store
    from treadle.pipeline.quantities import read_amount
    from treadle.project import configured_project
    from treadle.session.value_files import remove_values, values_folder

    root = enter_project().project_path
    try:
        limit = read_amount(configured_project().settings.VALUE_CACHE_SIZE if max_size is None else max_size)
    except ValueError as exc:
        message = f"{max_size!r} is not a size: {exc}."
        raise click.BadParameter(message, param_hint="--max-size") from None
    with closing(session_store(root)) as store:
        removed = remove_values(values_folder(root), limit, store)
    _print(removed, as_json=as_json, empty="Nothing was removed.")


def _print(values: Sequence[StoredValue], *, as_json: bool, empty: str) -> None:
    from treadle.execution.processes.sizes import format_bytes

    if as_json:
        facts = [
            {"dataset": each.dataset, "session": each.session_id, "bytes": each.size, "used": each.used, "file": str(each.path)}
            for each in values
        ]
        click.echo(json.dumps(facts, ensure_ascii=False))
        return
    rows = [(printable(each.dataset), each.session_id, format_bytes(each.size)) for each in values]
    if not rows:
        click.echo(empty)
    for line in aligned([("DATASET", "SESSION", "SIZE"), *rows]) if rows else ():
        click.echo(line)
    if rows:
        click.echo(f"{len(rows)} value{'s' if len(rows) != 1 else ''}, {format_bytes(sum(each.size for each in values))}")
