"""`treadle sessions`: list, show, compare, repeat and remove recorded sessions.

State: none. Neighbours: `treadle.observe.store` has the records and their differences, `treadle.session.rerun` converts a record
to the arguments of a run.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import click

from treadle.cli import completion, options, values
from treadle.cli.export import export_session
from treadle.cli.groups import SuggestingGroup
from treadle.cli.invocation import typed_command
from treadle.cli.json_output import diff_values, print_json, what_if_values
from treadle.cli.prune import prune_sessions
from treadle.cli.session_lines import last_known, session_lines
from treadle.cli.session_logs import show_log
from treadle.cli.store_option import STORE, listed_package, open_store
from treadle.cli.tables import aligned
from treadle.cli.values import join_params
from treadle.observe.store.newest import newest_sessions
from treadle.observe.store.records import SessionState
from treadle.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from treadle.observe.store import NodeRecord, SessionSummary
    from treadle.observe.store.diff import Change, NodeTimes, SessionDiff
    from treadle.session.what_if import WhatIf


@click.group(cls=SuggestingGroup)
@click.option(
    "--store",
    metavar="URL",
    help="The store to read: an SQLAlchemy URL or a SQLite file. By default the project's store.",
)
@click.pass_context
def sessions(context: click.Context, store: str | None) -> None:
    """List, compare, repeat and remove recorded sessions."""
    context.meta[STORE] = store


@sessions.command("list")
@click.option(
    "--limit",
    "-l",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    metavar="NUMBER",
    help="Maximum number of sessions.",
)
@options.as_json
@click.pass_context
def list_sessions(context: click.Context, limit: int, *, as_json: bool) -> None:
    """List the project's sessions, the newest first.

    With --store, those of all projects that use the store.
    """
    with closing(open_store(context)) as store:
        found = newest_sessions(store, listed_package(context), limit)
    if as_json:
        print_json("sessions", sessions=found)
        return
    if not found:
        click.echo("No session is recorded yet: `treadle run` records one.")
        return
    lines = [("SESSION", "OUTCOME", "NODES", "SECONDS", "RUNNER", "COMMAND"), *(_summary_line(each) for each in found)]
    for line in aligned(lines, below=2):
        click.echo(printable(line))


@sessions.command("show")
@click.argument("session_id", metavar="ID", shell_complete=completion.sessions)
@click.option(
    "--follow", "-f", is_flag=True, help="Print what happens in a running session as it happens, until the session ends."
)
@click.option("--json", "as_json", is_flag=True, help="Print the whole record as one JSON object.")
@click.pass_context
def show_session(context: click.Context, session_id: str, *, follow: bool, as_json: bool) -> None:
    """Show the record of a session.

    A unique prefix of its ID is sufficient. The session may be running, or may have been lost: its process ended without
    completing the record.
    """
    if follow and as_json:
        msg = "--follow prints lines and cannot be combined with --json."
        raise click.UsageError(msg)
    if follow:
        from treadle.cli.follow import follow_session

        with closing(open_store(context)) as store:
            for line in follow_session(store, session_id):
                click.echo(printable(line))
        return
    with closing(open_store(context)) as store:
        record = store.load(session_id)
        chain_of = getattr(store, "resumed_sessions", None)  # optional: a custom store may not have it
        resumed = chain_of(record.session_id) if chain_of is not None and record.resumed_from is not None else ()
    if as_json:
        from treadle.observe.export.plain_json import session_json

        click.echo(session_json(record))
        return
    for line in session_lines(record, resumed):
        click.echo(printable(line))


@sessions.command("diff")
@click.argument("before", metavar="A", shell_complete=completion.sessions)
@click.argument("after", metavar="B", shell_complete=completion.sessions)
@options.as_json
@click.pass_context
def diff_two_sessions(context: click.Context, before: str, after: str, *, as_json: bool) -> None:
    """Show the differences between two sessions.

    From session A to session B: params, environment, code, versions, and the outcome and duration of each node.
    """
    from treadle.observe.store.diff import diff_sessions

    with closing(open_store(context)) as store:
        first, second = store.load(before), store.load(after)
    if as_json:
        found = diff_values(diff_sessions(first, second))
        print_json("session-diff", before=first.session_id, after=second.session_id, **found)
        return
    for line in _diff_lines(diff_sessions(first, second), first.session_id, second.session_id):
        click.echo(printable(line))


@sessions.command("rerun")
@click.argument("session_id", metavar="ID", shell_complete=completion.sessions)
@click.option(
    "--params", type=values.params, multiple=True, metavar="PARAMS", help="Params that override the recorded ones: model.depth=5."
)
@click.pass_context
def rerun_session(context: click.Context, session_id: str, *, params: tuple[Mapping[str, Any], ...]) -> None:
    """Repeat a recorded session.

    The last run of session ID is repeated with its flags, params, environment and load versions. Params given here override
    the recorded ones; secrets are not recorded and have to be given again. Changes since then (code, Python, packages) are
    printed first.
    """
    from treadle.cli.display import run_session
    from treadle.cli.location import enter_any_project, session_class, start_logging
    from treadle.project import configured_project
    from treadle.session.creation import default_env
    from treadle.session.rerun import changes_since, rerun_of

    path = enter_any_project(context)
    with closing(open_store(context)) as store:
        record = store.load(session_id)
    given = join_params(params)
    settings = configured_project().settings
    rerun = rerun_of(record, default_conf_source=settings.CONF_SOURCE, default_env=default_env(settings), params=given)
    start_logging(path, rerun.conf_source)
    for line in _change_lines("Changed since that session", changes_since(record)):
        click.echo(printable(line), err=True)
    run_session(
        context,
        lambda: session_class().create(
            path, env=rerun.env, extra_params=rerun.extra_params, conf_source=rerun.conf_source, command=typed_command(context)
        ),
        lambda session, observer: session.run(**rerun.arguments, observers=(observer,)),
    )


@sessions.command("what-if")
@click.argument("session_id", metavar="ID", shell_complete=completion.sessions)
@click.option(
    "--workers", type=values.counts, default="1,2,4,8,16", show_default=True, metavar="NUMBERS", help="Numbers of workers."
)
@options.as_json
@click.pass_context
def ask_what_if(context: click.Context, session_id: str, workers: tuple[int, ...], *, as_json: bool) -> None:
    """Estimate the duration of a run with other numbers of workers.

    Simulates the last run of session ID with its recorded node durations, and shows the lower bounds.
    """
    from treadle.cli.location import enter_any_project
    from treadle.project import configured_project
    from treadle.session.what_if import policies_of, what_if

    enter_any_project(context)
    with closing(open_store(context)) as store:
        record = store.load(session_id)
    project = configured_project()
    answer = what_if(record, project.pipelines, workers, lambda pipeline: policies_of(record, project, pipeline))
    if as_json:
        print_json("what-if", session_id=record.session_id, **what_if_values(answer))
        return
    for line in _what_if_lines(answer):
        click.echo(printable(line))


sessions.add_command(export_session)
sessions.add_command(prune_sessions)
sessions.add_command(show_log)


def _worker_count(count: int | None) -> str:
    return f"{count or '?'} worker{'' if count == 1 else 's'}"


def _what_if_lines(answer: WhatIf) -> Iterator[str]:
    had = f"{answer.recorded:.2f} s with {_worker_count(answer.recorded_workers)}"
    yield f"As recorded: {had}; {answer.work:.2f} s of work in all nodes"
    yield ""
    rows = [
        (str(count), f"{seconds:.2f}", f"{answer.work / seconds:.2f}" if seconds else "-", f"{least:.2f}")
        for count, seconds, least in answer.makespans
    ]
    yield from aligned([("WORKERS", "SECONDS", "SPEEDUP", "LOWER BOUND"), *rows])
    yield ""
    yield f"The longest path takes {answer.critical_path:.2f} s, with any number of workers:"
    yield from aligned([(f"  {seconds:.2f} s", name) for name, seconds in answer.critical_nodes] or [("", "")])


def _diff_lines(diff: SessionDiff, before: str, after: str) -> Iterator[str]:
    yield f"A  {before}"
    yield f"B  {after}"
    sections = (
        ("Session", diff.facts),
        ("Code", diff.code),
        ("Params", diff.params),
        ("Params of nodes", diff.parameters),
        ("Run", diff.arguments),
        ("Environment variables", diff.environment),
        ("Versions", diff.versions),
    )
    for title, changes in sections:
        yield from _change_lines(title, changes)
    if not any(changes for _, changes in sections):
        yield "\nBoth sessions ran with the same settings."
    if diff.nodes:
        yield ""
        yield from aligned([("NODE", "A", "B", "SECONDS A", "SECONDS B", "CHANGE"), *(_node_change(each) for each in diff.nodes)])


def _change_lines(title: str, changes: Sequence[Change]) -> Iterator[str]:
    if changes:
        yield f"\n{title}"
        yield from aligned([(f"  {each.name}", f"{_shown(each.before)}  →  {_shown(each.after)}") for each in changes])


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else repr(value)


def _node_change(each: NodeTimes) -> tuple[str, ...]:
    outcomes = [_outcome_value(node) for node in (each.before, each.after)]
    seconds = [
        node.finished - node.started if node is not None and node.started is not None and node.finished is not None else None
        for node in (each.before, each.after)
    ]
    first, second = seconds
    change = f"{second - first:+.3f}" if first is not None and second is not None else ""
    return (each.node, *outcomes, *("" if took is None else f"{took:.3f}" for took in seconds), change)


def _outcome_value(node: NodeRecord | None) -> str:
    if node is None:
        return "–"
    return node.outcome.value if node.outcome is not None else "running"


def _summary_line(each: SessionSummary) -> tuple[str, ...]:
    nodes = f"{each.succeeded}" + (f" ✔ {each.failed} ✘" if each.failed else "") + (f" + {each.reused} =" if each.reused else "")
    runner = (each.runner or "–") + (f" ({each.start_method})" if each.start_method else "")
    outcome = each.outcome.value if each.outcome else "–"
    if each.state is not SessionState.FINISHED:
        outcome = each.state.value
    seconds = last_known(each) - each.started
    return (each.session_id, outcome, nodes, f"{seconds:.1f}", runner, each.command or "(a program)")
