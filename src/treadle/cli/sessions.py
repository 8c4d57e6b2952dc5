"""`treadle sessions list` and `treadle sessions show`: what ran earlier, how, and what came of it. Keeps no state.

Neighbour: `treadle.observe.store`, whose records are written out here.
"""

from __future__ import annotations

import sys
from contextlib import closing
from datetime import datetime, timezone
from shutil import get_terminal_size
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from treadle.observe.store import NodeRecord, RunRecord, SessionRecord, SessionSummary


@click.group()
def sessions() -> None:
    """Look at earlier sessions: what ran, how, and what came of it."""


@sessions.command("list")
@click.option("--limit", "-l", type=click.IntRange(min=1), default=20, show_default=True, help="How many, the newest first.")
def list_sessions(limit: int) -> None:
    """List the project's sessions, the newest first."""
    from treadle.cli.location import enter_project, session_store

    metadata = enter_project()
    with closing(session_store(metadata.project_path)) as store:
        found = store.list(limit)
    if not found:
        click.echo("No session was kept yet: `treadle run` makes the first.")
        return
    lines = [("SESSION", "OUTCOME", "NODES", "SECONDS", "RUNNER", "COMMAND"), *(_summary_line(each) for each in found)]
    for line in _aligned(lines):
        click.echo(line)


@sessions.command("show")
@click.argument("session_id", metavar="ID")
def show_session(session_id: str) -> None:
    """Show all that is known of the session ID; the beginning of its id is enough."""
    from treadle.cli.location import enter_project, session_store

    metadata = enter_project()
    with closing(session_store(metadata.project_path)) as store:
        record = store.load(session_id)
    for line in _session_lines(record):
        click.echo(line)


def _summary_line(each: SessionSummary) -> tuple[str, ...]:
    nodes = f"{each.succeeded}" + (f" ✔ {each.failed} ✘" if each.failed else "")
    runner = (each.runner or "–") + (f" ({each.start_method})" if each.start_method else "")
    outcome = each.outcome.value if each.outcome else "–"
    return (each.session_id, outcome, nodes, f"{each.finished - each.started:.1f}", runner, each.command or "(a program)")


def _aligned(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """Yield rows as lines with aligned columns; the last column is cut at the edge of a terminal."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    room = get_terminal_size().columns if sys.stdout.isatty() else None
    for row in rows:
        line = "  ".join([*(cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=True)), row[-1]]).rstrip()
        yield line if room is None or len(line) <= room else line[: room - 1] + "…"


def _session_lines(record: SessionRecord) -> Iterator[str]:
    dirty = {True: ", with changes not committed", False: "", None: ""}[record.git_dirty]
    facts = {
        "session": record.session_id,
        "outcome": record.outcome.value if record.outcome else "nothing ran",
        "command": record.command or "(made by a program)",
        "project": f"{record.project_path} (package {record.package_name})",
        "configuration": record.conf_source + (f", environment {record.env}" if record.env else ""),
        "params": ", ".join(f"{name}={value!r}" for name, value in record.extra_params.items()),
        "started": _moment(record.started),
        "finished": f"{_moment(record.finished)}, {record.finished - record.started:.2f} s later",
        "by": f"{record.user or 'somebody'} on {record.host or 'some machine'}, pid {record.pid}",
        "git": f"{record.git_commit}{dirty}" if record.git_commit else "",
        "versions": ", ".join(f"{name} {record.versions[name]}" for name in ("python", "treadle") if name in record.versions),
    }
    yield from _facts(facts)
    if record.environment:
        yield "\nEnvironment"
        yield from (f"  {name}={value}" for name, value in sorted(record.environment.items()))
    for run in record.runs:
        yield from _run_lines(run)
    if record.error and not any(run.error for run in record.runs):
        yield f"\nError\n{record.error.traceback.rstrip()}"


def _run_lines(run: RunRecord) -> Iterator[str]:
    workers = f", {run.worker_count} workers" if run.worker_count and run.worker_count > 1 else ""
    yield f"\nRun {run.number}: {run.outcome.value} after {run.finished - run.started:.2f} s"
    yield from _facts(
        {
            "pipelines": ", ".join(run.pipelines),
            "runner": f"{run.runner}{workers}" + (f", {run.start_method}" if run.start_method else ""),
            "arguments": ", ".join(f"{name}={value!r}" for name, value in run.params.items()),
        },
        indent="  ",
    )
    if run.nodes:
        yield ""
        rows = [
            ("  NODE", "OUTCOME", "SECONDS", "LOAD", "RUN", "SAVE", "BYTES", "WORKER"),
            *(_node_line(node) for node in run.nodes),
        ]
        yield from _aligned(rows)
    if run.error:
        yield f"\n{run.error.traceback.rstrip()}\n{run.error.message}"


def _node_line(node: NodeRecord) -> tuple[str, ...]:
    took = node.finished - node.started if node.finished is not None and node.started is not None else None
    name = f"  {node.node}" + (f" (attempt {node.attempt})" if node.attempt > 1 else "")
    size = sum(size for _, size in node.sizes)
    times = (took, node.load_seconds, node.run_seconds, node.save_seconds)
    return (
        name,
        f"{node.outcome.symbol} {node.outcome.value}",
        *("" if seconds is None else f"{seconds:.3f}" for seconds in times),
        f"{size:,}" if size else "",
        node.worker or "",
    )


def _facts(facts: dict[str, str], indent: str = "") -> Iterable[str]:
    width = max(len(name) for name in facts)
    return [f"{indent}{name:<{width}}  {value}" for name, value in facts.items() if value]


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, tz=timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")
