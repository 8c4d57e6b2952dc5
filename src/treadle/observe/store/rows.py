"""Convert records to database rows and back.

Each record is one row with a column per field and four columns for an error; JSON columns hold plain values. State: none.
Neighbours: `records.py` defines the records, `statements.py` the tables, `node_rows.py` converts attempts at nodes;
`session_rows.py` writes the rows, `store.py` reads them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from treadle.events import Outcome
from treadle.named_tuple import NamedTuple
from treadle.observe.store.liveness import SessionProcess, is_alive
from treadle.observe.store.memory_samples import MemoryRecord
from treadle.observe.store.plain import plain_text, plain_value
from treadle.observe.store.positions import in_plan_order
from treadle.observe.store.records import (
    ErrorRecord,
    RunRecord,
    SessionRecord,
    SessionState,
    SessionSummary,
    WorkerRecord,
)
from treadle.observe.store.typed_json import decode, encode

if TYPE_CHECKING:
    from treadle.observe.store.records import NodeRecord
    from treadle.observe.store.run_graph import RunGraph

Row: TypeAlias = Mapping[str, Any]
"""One row of a table, by column name."""


class Rows(NamedTuple):
    """Rows of one table, as sequences of values.

    Attributes:
        columns: the names of the columns; a column that is not among them is NULL.
        values: for each row, its values in this order; those of JSON columns are text.
    """

    columns: Sequence[str]
    values: Sequence[Sequence[Any]]


def session_row(record: SessionRecord) -> Row:
    """Make the row of a session, without its runs.

    Args:
        record: the session.

    Returns:
        Its row in `statements.SESSIONS`.
    """
    return {
        "session_id": record.session_id,
        "project_path": plain_text(record.project_path),
        "package_name": record.package_name,
        "env": text_or_null(record.env),
        "conf_source": plain_text(record.conf_source),
        "extra_params": encode(record.extra_params),
        "command": text_or_null(record.command),
        "started": record.started,
        "finished": record.finished,
        "outcome": record.outcome.value if record.outcome else None,
        "user_name": text_or_null(record.user),
        "host": text_or_null(record.host),
        "pid": record.pid,
        "git_commit": record.git_commit,
        "git_dirty": record.git_dirty,
        "environment": plain_value(record.environment),
        "versions": plain_value(record.versions),
        "sources": record.sources,
        "process_started": record.process_started,
        "boot_id": record.boot_id,
        "heartbeat": record.heartbeat,
        "resumed_from": record.resumed_from,
        **dict(zip(ERROR_COLUMNS, error_values(record.error), strict=True)),
    }


def run_row(session_id: str, record: RunRecord) -> Row:
    """Make the row of a run, without its nodes and workers.

    Args:
        session_id: the session it belongs to.
        record: the run.

    Returns:
        Its row in `statements.RUNS`.
    """
    return {
        "session_id": session_id,
        "number": record.number,
        "run_id": record.run_id,
        "pipelines": plain_value(record.pipelines),
        "runner": plain_text(record.runner),
        "start_method": record.start_method,
        "worker_count": record.worker_count,
        "started": record.started,
        "finished": record.finished,
        "outcome": record.outcome.value if record.outcome else None,
        "params": encode(record.params),
        "node_count": record.node_count,
        "graph": record.graph.digest if record.graph is not None else None,
        "parameters": encode(record.parameters) if record.parameters else None,
        "memory": record.memory.as_json() if record.memory is not None else None,
        **dict(zip(ERROR_COLUMNS, error_values(record.error), strict=True)),
    }


def worker_row(session_id: str, run: int, position: int, record: WorkerRecord) -> Row:
    """Make the row of a worker.

    Args:
        session_id: the session it belongs to.
        run: number of the run.
        position: its place in the run's workers.
        record: the worker.

    Returns:
        Its row in `statements.WORKERS`.
    """
    return {
        "session_id": session_id,
        "run": run,
        "position": position,
        "worker": plain_text(record.worker),
        "pid": record.pid,
        "started": record.started,
        "lost": record.lost,
        "exitcode": record.exitcode,
        "launched": record.launched,
    }


def session_from(row: Row, runs: Sequence[RunRecord]) -> SessionRecord:
    """Read a session.

    Args:
        row: from `statements.SESSIONS`.
        runs: its runs, in order.

    Returns:
        The record.
    """
    return SessionRecord(
        session_id=row["session_id"],
        project_path=row["project_path"],
        package_name=row["package_name"],
        env=row["env"],
        conf_source=row["conf_source"],
        extra_params=decode(document(row["extra_params"])),
        command=row["command"],
        started=row["started"],
        finished=row["finished"],
        outcome=outcome_from(row),
        user=row["user_name"],
        host=row["host"],
        pid=row["pid"],
        git_commit=row["git_commit"],
        git_dirty=_flag(row["git_dirty"]),
        environment=document(row["environment"]),
        versions=document(row["versions"]),
        runs=tuple(runs),
        error=error_from(row),
        sources=row["sources"],
        process_started=row["process_started"],
        boot_id=row["boot_id"],
        heartbeat=row["heartbeat"],
        resumed_from=row["resumed_from"],
        state=state_of(row),
    )


def run_from(row: Row, nodes: Sequence[NodeRecord], workers: Sequence[WorkerRecord], graph: RunGraph | None = None) -> RunRecord:
    """Read a run.

    Args:
        row: from `statements.RUNS`.
        nodes: its attempts, by position.
        workers: its workers, in order.
        graph: its graph, if it has one.

    Returns:
        The record.
    """
    return RunRecord(
        number=row["number"],
        run_id=row["run_id"],
        pipelines=tuple(document(row["pipelines"])),
        runner=row["runner"],
        start_method=row["start_method"],
        worker_count=row["worker_count"],
        started=row["started"],
        finished=row["finished"],
        outcome=outcome_from(row),
        params=decode(document(row["params"])),
        nodes=in_plan_order(nodes),
        workers=tuple(workers),
        error=error_from(row),
        node_count=row["node_count"],
        graph=graph,
        parameters=decode(document(row["parameters"])) if row["parameters"] is not None else {},
        memory=MemoryRecord.from_json(document(row["memory"])) if row["memory"] is not None else None,
    )


def worker_from(row: Row) -> WorkerRecord:
    """Read a worker.

    Args:
        row: from `statements.WORKERS`.

    Returns:
        The record.
    """
    return WorkerRecord(row["worker"], row["pid"], row["started"], row["lost"], row["exitcode"], row["launched"])


def summary_from(row: Row, runs: Sequence[Row], counts: Mapping[str, int]) -> SessionSummary:
    """Read one line about a session.

    Args:
        row: from `statements.SESSIONS`.
        runs: its rows in `statements.RUNS`, in order.
        counts: how many nodes of the last run ended in which outcome.

    Returns:
        The summary.
    """
    last: Row = runs[-1] if runs else {}
    return SessionSummary(
        session_id=row["session_id"],
        env=row["env"],
        command=row["command"],
        started=row["started"],
        finished=row["finished"],
        outcome=outcome_from(row),
        user=row["user_name"],
        git_commit=row["git_commit"],
        git_dirty=_flag(row["git_dirty"]),
        runs=len(runs),
        pipelines=tuple(document(last.get("pipelines", ()))),
        runner=last.get("runner"),
        start_method=last.get("start_method"),
        succeeded=counts.get(Outcome.SUCCEEDED.value, 0),
        failed=counts.get(Outcome.FAILED.value, 0),
        reused=counts.get(Outcome.REUSED.value, 0),
        skipped=counts.get(Outcome.SKIPPED.value, 0),
        nodes=last.get("node_count"),
        error=row["error_message"],
        state=state_of(row),
        heartbeat=row["heartbeat"],
        resumed_from=row["resumed_from"],
    )


def rows_of(rows: Sequence[Row]) -> Rows:
    """Return rows with the same columns as sequences of values, with JSON as text.

    Args:
        rows: at least one row.
    """
    values = [[json.dumps(each) if isinstance(each, (list, dict)) else each for each in row.values()] for row in rows]
    return Rows(tuple(rows[0]), values)


def document(value: Any) -> Any:
    """Return the value of a JSON column, which some drivers return as text; it is None, a list or a dictionary."""
    return json.loads(value) if isinstance(value, str) else value


def _flag(value: int | None) -> bool | None:
    return None if value is None else bool(value)


def text_or_null(text: str | None) -> str | None:
    """Return a text for a column that may be NULL."""
    return None if text is None else plain_text(text)


def state_of(row: Row) -> SessionState:
    """Return whether the session of a row of `statements.SESSIONS` runs, has finished, or is lost."""
    if row["finished"] is not None:
        return SessionState.FINISHED
    process = SessionProcess(row["host"], row["pid"], row["process_started"], row["boot_id"])
    return SessionState.RUNNING if is_alive(process, row["heartbeat"]) else SessionState.LOST


def outcome_from(row: Row) -> Outcome | None:
    """Return the outcome in a row; None if what it describes has not ended."""
    return Outcome(row["outcome"]) if row["outcome"] else None


ERROR_COLUMNS = ("error_type", "error_message", "error_traceback", "error_node")
"""The columns of an error."""


def error_values(error: ErrorRecord | None) -> tuple[str | None, ...]:
    """Return the values of the columns of an error."""
    if error is None:
        return (None, None, None, None)
    message, trace = plain_text(error.message), plain_text(error.traceback)
    return plain_text(error.type_name), message, trace, text_or_null(error.node)


def error_from(row: Row) -> ErrorRecord | None:
    """Return the error in a row, if there is one."""
    if row["error_type"] is None:
        return None
    return ErrorRecord(*[row[column] for column in ERROR_COLUMNS])
