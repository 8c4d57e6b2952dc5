"""`treadle status`, `explain`, `accept` and `invalidate`: which nodes are up to date, why the others run, and how to change that.

State: none. Neighbour: `treadle.session` decides, as it does for `treadle run --skip-unchanged`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from treadle.cli import completion, options
from treadle.cli.options import names
from treadle.cli.tables import aligned
from treadle.cli.values import join_names, join_params
from treadle.printable import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from treadle.session.status import RunStatus

STATUS = "treadle.cli.status"
"""Key in click's `meta` of the function that decides, given the selection, in projects of another framework."""
_SYMBOLS = {"up_to_date": "=", "runs": "▶", "depends": "?"}


def _selection(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that select nodes and configuration."""
    decorators = (
        options.pipelines,
        names("--tags", "--tag", "-t", metavar="TAGS", help="Only nodes with one of these tags.", shell_complete=completion.tags),
        names("--from-nodes", help="Only these nodes and their descendants.", shell_complete=completion.nodes),
        names("--to-nodes", help="Only these nodes and their ancestors.", shell_complete=completion.nodes),
        options.env,
        options.params,
        options.conf_source,
        options.project,
    )
    for decorate in reversed(decorators):
        function = decorate(function)
    return function


_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.command()
@_selection
@_json
@click.pass_context
def status(context: click.Context, /, *, as_json: bool, **selection: Any) -> None:
    """Show which nodes are up to date, and why the others would run.

    Nothing is run. A node is up to date if its code, its params, the contents of its inputs and its outputs are as at its last
    success.
    """
    show_status(_status(context, selection), as_json=as_json)


@click.command()
@click.argument("node", shell_complete=completion.nodes)
@_selection
@_json
@click.pass_context
def explain(context: click.Context, /, node: str, *, as_json: bool, **selection: Any) -> None:
    """Show why NODE would run or is up to date, and everything that its outputs depend on."""
    found = _status(context, selection).of(node)
    if as_json:
        click.echo(json.dumps(found.as_dict(), indent=2))
        return
    click.echo(printable(f"{found.node}: {found.expected.value}"))
    for cause in found.causes:
        click.echo(printable(f"  {cause}"))
    if found.last_session is not None:
        click.echo(printable(f"Its last success was in session {found.last_session}."))
    click.echo("It depends on:")
    for line in aligned([("  PART", "VALUE"), *((f"  {name}", value) for name, value in found.parts.items())]):
        click.echo(printable(line))


@click.command()
@click.argument("nodes", nargs=-1, shell_complete=completion.nodes)
@_selection
@_json
@click.pass_context
def accept(context: click.Context, /, nodes: tuple[str, ...], *, as_json: bool, **selection: Any) -> None:
    """Take NODES as up to date as they are now; all nodes if none is given.

    Use it after a change that does not matter, such as a new name of a variable. The outputs of the nodes must exist.
    """
    accepted = _status(context, selection).accept(nodes)
    if as_json:
        click.echo(json.dumps({"accepted": list(accepted)}))
        return
    click.echo(f"{_counted(len(accepted))} accepted as up to date.")


@click.command()
@click.argument("nodes", nargs=-1, required=True, shell_complete=completion.nodes)
@click.option("--downstream", is_flag=True, help="Also the nodes that depend on them.")
@_selection
@_json
@click.pass_context
def invalidate(context: click.Context, /, nodes: tuple[str, ...], *, downstream: bool, as_json: bool, **selection: Any) -> None:
    """Let NODES run the next time, whatever has changed."""
    invalidated = _status(context, selection).invalidate(nodes, downstream=downstream)
    if as_json:
        click.echo(json.dumps({"invalidated": list(invalidated)}))
        return
    click.echo(f"{_counted(len(invalidated))} will run the next time.")


def show_status(nodes: RunStatus, *, as_json: bool = False, workers: int | None = None, skips: bool = True) -> None:
    """Print which nodes are up to date, and the first cause of each other node.

    Args:
        nodes: the nodes.
        as_json: print JSON instead of a table.
        workers: for a run: its number of workers, so that its duration can be estimated.
        skips: whether the run skips nodes that are up to date; if not, no node has a cause to run.
    """
    seconds = nodes.expected_seconds(workers) if workers is not None else None
    if as_json:
        values = [each.as_dict() if skips else {**each.as_dict(), "causes": []} for each in nodes]
        click.echo(json.dumps(values if workers is None else {"expected_seconds": seconds, "nodes": values}, indent=2))
        return
    rows = [("NODE", "STATE", "FIRST CAUSE")]
    for each in nodes:
        state = f"{_SYMBOLS[each.expected.name.lower()]} {each.expected.value}"
        rows.append((each.node, state, each.causes[0] if each.causes and skips else ""))
    for line in aligned(rows):
        click.echo(printable(line))
    running = sum(each.expected.name == "RUNS" for each in nodes)
    depending = sum(each.expected.name == "DEPENDS" for each in nodes)
    rest = f", {depending} only if the nodes before them save something new" if depending else ""
    click.echo(f"{running} of {_counted(len(nodes))} will run{rest}.")
    if not skips:
        click.echo("With --skip-unchanged, only nodes that are not up to date run.")
    if seconds:
        at_most = "at most " if depending else ""
        click.echo(f"Expected duration: {at_most}{seconds:.1f} s with {workers} worker{'' if workers == 1 else 's'}.")


def _counted(count: int) -> str:
    return "1 node" if count == 1 else f"{count} nodes"


def _status(context: click.Context, selection: Mapping[str, Any]) -> RunStatus:
    decide: Callable[..., RunStatus] = context.meta.get(STATUS, _status_of_treadle)
    return decide(
        context,
        env=selection["env"],
        conf_source=selection["conf_source"],
        params=join_params(selection["params"]),
        pipeline_names=join_names(selection["pipelines"]),
        tags=join_names(selection["tags"]),
        from_nodes=join_names(selection["from_nodes"]),
        to_nodes=join_names(selection["to_nodes"]),
    )


def _status_of_treadle(
    context: click.Context, *, env: str | None, conf_source: str | None, params: Mapping[str, Any] | None, **arguments: Any
) -> RunStatus:
    from treadle.cli.location import check_environment, enter_any_project, session_class

    path = enter_any_project(context)
    check_environment(path, env, conf_source)
    # It is never closed, so nothing is recorded.
    session = session_class().create(path, env=env, extra_params=params, conf_source=conf_source)
    status: RunStatus = session.status(**arguments)
    return status
