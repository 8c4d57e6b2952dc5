"""Convert attempts at nodes to database rows and back.

A run may make a thousand rows a second while it computes, in the same process. So they are made column by column, which takes a
third of the time that making each row takes. State: none. Neighbours: `rows.py` converts the other records,
`session_rows.py` writes the rows.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from treadle.events import ContentRecord, Dispatch, Outcome
from treadle.observe.store.plain import plain_texts, plain_tuples, plain_value
from treadle.observe.store.records import NodeRecord
from treadle.observe.store.rows import ERROR_COLUMNS, Rows, document, error_from, error_values, outcome_from, text_or_null
from treadle.planning.reuse.facts import digest_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from treadle.observe.store.rows import Row
    from treadle.planning.reuse.facts import Parts

_SUCCEEDED = Outcome.SUCCEEDED.value


def node_rows(
    session_id: str,
    nodes: Mapping[tuple[int, int], NodeRecord],
    digest: Callable[[Parts], str] = digest_of,
    *,
    all_columns: bool = False,
) -> Rows:
    """Make the rows of attempts at nodes.

    Args:
        session_id: the session they belong to.
        nodes: at least one attempt, by number of the run and position among its nodes.
        digest: `digest_of`, or a function that remembers what it has returned.
        all_columns: whether columns are included in which all values are NULL.

    Returns:
        Their rows in `statements.NODES`.
    """
    fields = dict(zip(NodeRecord._fields, zip(*nodes.values(), strict=True), strict=True))
    dispatches: Sequence[Dispatch | None] = fields["dispatch"]
    succeeded = Outcome.SUCCEEDED
    workers = {worker: text_or_null(worker) for worker in set(fields["worker"])}
    columns: dict[str, Sequence[Any]] = {
        "session_id": (session_id,) * len(nodes),
        "run": [run for run, _ in nodes],
        "position": [place for _, place in nodes],
        "node": plain_texts(fields["node"]),
        "attempt": fields["attempt"],
        # Nearly always the first; Enum.value takes several times as long.
        "outcome": [_SUCCEEDED if outcome is succeeded else _outcome_value(outcome) for outcome in fields["outcome"]],
        "worker": [workers[worker] for worker in fields["worker"]],
        **{name: fields[name] for name in ("started", "finished", "load_seconds", "run_seconds", "save_seconds")},
        "sizes": [json.dumps(plain_value(sizes)) if sizes else "[]" for sizes in fields["sizes"]],
        "outputs": [_outputs(outputs) if outputs else None for outputs in fields["outputs"]],
        "fingerprint": [None if success is None else digest(success.parts) for success in fields["success"]],
        "submitted": [None if dispatch is None else dispatch.submitted for dispatch in dispatches],
        "assigned": [None if dispatch is None else dispatch.assigned for dispatch in dispatches],
        "delayed_until": [None if dispatch is None else dispatch.delayed_until for dispatch in dispatches],
        "retried": fields["retried"],
    }
    if all_columns or any(fields["error"]):
        errors = zip(*[error_values(error) for error in fields["error"]], strict=True)
        columns.update(zip(ERROR_COLUMNS, errors, strict=True))
    if not all_columns:  # each value takes as long as the rest of its column's work: leave out the columns without values
        columns = {name: values for name, values in columns.items() if values.count(None) < len(values)}
    return Rows(tuple(columns), list(zip(*columns.values(), strict=True)))


def _outcome_value(outcome: Outcome | None) -> str | None:
    return None if outcome is None else outcome.value


def _outputs(outputs: Sequence[ContentRecord]) -> str:
    return json.dumps(plain_tuples(outputs))


def node_from(row: Row) -> NodeRecord:
    """Read an attempt at a node.

    Args:
        row: from `statements.NODES`.

    Returns:
        The record.
    """
    return NodeRecord(
        node=row["node"],
        attempt=row["attempt"],
        outcome=outcome_from(row),
        worker=row["worker"],
        started=row["started"],
        finished=row["finished"],
        load_seconds=row["load_seconds"],
        run_seconds=row["run_seconds"],
        save_seconds=row["save_seconds"],
        sizes=tuple((name, size) for name, size in document(row["sizes"])),
        outputs=tuple(ContentRecord(**each) for each in document(row["outputs"]) or ()),
        error=error_from(row),
        dispatch=Dispatch(row["submitted"], row["assigned"], row["delayed_until"]) if row["submitted"] is not None else None,
        retried=bool(row["retried"]),
    )
