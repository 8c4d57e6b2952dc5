"""The rows of one session in the database: only what has changed is written.

A session's rows are inserted when its first run starts, more follow while it runs, and the same rows are completed at the end. If
it is not known which rows are in the database (before the first write, and after a failed one), all rows of the session are
deleted and written again.

State: the parts of the record that are known to be in the database.
Neighbours: `parts.py` has the parts, `rows.py` and `node_rows.py` convert them; `store.py` and `live_writer.py` write them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from treadle.named_tuple import NamedTuple
from treadle.observe.store import rows
from treadle.observe.store.node_rows import node_rows
from treadle.observe.store.parts import RecordParts
from treadle.observe.store.statements import GRAPHS, LOGS, NODES, RUNS, SESSIONS, WORKERS, Table, delete, put, update
from treadle.observe.store.successes import write_successes
from treadle.planning.reuse.facts import digest_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeAlias

    from treadle.observe.store.connection import StoreConnection
    from treadle.observe.store.rows import Row, Rows
    from treadle.planning.reuse.facts import Parts

    Key: TypeAlias = tuple[int, ...]


_K = TypeVar("_K")
_R = TypeVar("_R")


class RowsGoneError(Exception):
    """It is not known which rows of a session are in the database, so its whole record must be written."""


class _Change(NamedTuple):
    """The rows of one table to insert and to update, and the keys of those to delete."""

    table: Table
    new: Rows | None
    changed: Rows | None
    gone: list[Row]


class SessionRows:
    """The rows of one session.

    Args:
        session_id: the session.
    """

    def __init__(self, session_id: str) -> None:
        self._session_id = session_id
        self._stored: RecordParts | None = None

    @property
    def is_known(self) -> bool:
        """Whether it is known which rows are in the database."""
        return self._stored is not None

    def forget(self) -> None:
        """Assume nothing about the rows in the database; the next write has to be complete."""
        self._stored = None

    def write(
        self,
        connection: StoreConnection,
        parts: RecordParts,
        *,
        is_whole: bool,
        before_commit: Callable[[], None] = lambda: None,
    ) -> None:
        """Write the parts that differ from what is in the database, in one transaction.

        Args:
            connection: without a transaction.
            parts: parts of the record.
            is_whole: these are all parts of the record as it is now, so other rows are deleted.
            before_commit: raises if the parts must not be written any more.

        Raises:
            RowsGoneError: the parts are not the whole record, and it is not known which other rows are in the database, or rows
                that were written before are no longer there.
            Exception: the database cannot be written. The transaction was rolled back, or if its end failed, it is not known
                whether it was committed.
        """
        known = self._stored
        if known is None and not is_whole:
            raise RowsGoneError
        digest = _remembered(digest_of)  # a node's row has the digest of its last success, too
        changes = self._changes(known or RecordParts(), parts, digest, is_whole=is_whole)
        if not changes and known is not None:
            return
        is_committing = False
        try:
            with connection.transaction(writes=True):
                if known is None:
                    self._delete_all(connection)
                self._write_graphs(connection, known or RecordParts(), parts)
                for change in changes:
                    _insert_or_update(connection, change)
                for change in reversed(changes):
                    _delete(connection, change)
                self._write_successes(connection, known or RecordParts(), parts, digest)
                before_commit()
                is_committing = True
        except BaseException as exc:
            if is_committing or isinstance(exc, RowsGoneError):  # otherwise it was rolled back
                self._stored = None
            raise
        if is_whole:
            self._stored = parts
        elif known is not None:
            known.update(parts)

    def _changes(
        self, stored: RecordParts, parts: RecordParts, digest: Callable[[Parts], str], *, is_whole: bool
    ) -> list[_Change]:
        """Return the changes of each table, in the order in which rows can be inserted."""
        session_id = self._session_id
        session = _changes(SESSIONS, stored.session, parts.session, lambda _key, record: rows.session_row(record))
        runs = _changes(RUNS, stored.runs, parts.runs, lambda _key, record: rows.run_row(session_id, record))
        nodes = self._node_changes(stored, parts, digest)
        workers = _changes(
            WORKERS, stored.workers, parts.workers, lambda key, record: rows.worker_row(session_id, key[0], key[1], record)
        )
        logs = _changes(
            LOGS,
            stored.logs,
            parts.logs,
            lambda key, batch: {"session_id": session_id, "run": key[0], "position": key[1], "lines": batch.text},
        )
        if is_whole:
            runs.gone.extend({"session_id": session_id, "number": number} for (number,) in stored.runs.keys() - parts.runs.keys())
            of_runs = (
                (nodes, stored.nodes.keys() - parts.nodes.keys()),
                (workers, stored.workers.keys() - parts.workers.keys()),
                (logs, stored.logs.keys() - parts.logs.keys()),
            )
            for change, gone in of_runs:
                change.gone.extend({"session_id": session_id, "run": run, "position": position} for run, position in gone)
        return [each for each in (session, runs, nodes, workers, logs) if each.new or each.changed or each.gone]

    def _node_changes(self, stored: RecordParts, parts: RecordParts, digest: Callable[[Parts], str]) -> _Change:
        new, changed = _different(stored.nodes, parts.nodes)
        return _Change(
            NODES,
            node_rows(self._session_id, new, digest) if new else None,
            node_rows(self._session_id, changed, digest, all_columns=True) if changed else None,
            [],
        )

    def _write_graphs(self, connection: StoreConnection, stored: RecordParts, parts: RecordParts) -> None:
        """Write the graphs of runs that are not in the database yet."""
        for key, run in parts.runs.items():
            before = stored.runs.get(key)
            if run.graph is not None and (before is None or before.graph is None):
                put(connection, GRAPHS, [{"digest": run.graph.digest, "graph": run.graph.text}], replaces=False)

    def _write_successes(
        self, connection: StoreConnection, stored: RecordParts, parts: RecordParts, digest: Callable[[Parts], str]
    ) -> None:
        """Write what the nodes depend on that have succeeded since the last write."""
        new = {
            record.node: record.success
            for key, record in parts.nodes.items()
            if record.success is not None and ((before := stored.nodes.get(key)) is None or before.success is None)
        }
        session = parts.session.get(()) or stored.session.get(())
        if new and session is not None:
            write_successes(connection, session.package_name, next(iter(new.values())).env, new, digest)

    def _delete_all(self, connection: StoreConnection) -> None:
        for table in (LOGS, WORKERS, NODES, RUNS, SESSIONS):
            statement = f"DELETE FROM {table.name} WHERE session_id = :session_id"
            connection.execute(statement, [{"session_id": self._session_id}])


def _changes(table: Table, stored: Mapping[Any, Any], parts: Mapping[Any, Any], to_row: Callable[[Any, Any], Row]) -> _Change:
    new, changed = (
        rows.rows_of([to_row(key, record) for key, record in part.items()]) if part else None
        for part in _different(stored, parts)
    )
    return _Change(table, new, changed, [])


def _different(stored: Mapping[_K, _R], parts: Mapping[_K, _R]) -> tuple[Mapping[_K, _R], Mapping[_K, _R]]:
    """Return the parts that are not in the database, and those that have changed."""
    if not stored:
        return parts, {}
    new: dict[_K, _R] = {}
    changed: dict[_K, _R] = {}
    for key, record in parts.items():
        before = stored.get(key)
        if before is None:
            new[key] = record
        elif before is not record and before != record:
            changed[key] = record
    return new, changed


def _remembered(digest_of: Callable[[Parts], str]) -> Callable[[Parts], str]:
    """Return a function that computes the digest of the same parts once."""
    known: dict[int, str] = {}

    def digest(parts: Parts) -> str:
        found = known.get(id(parts))
        if found is None:
            found = known[id(parts)] = digest_of(parts)
        return found

    return digest


def _insert_or_update(connection: StoreConnection, change: _Change) -> None:
    if change.new is not None:
        connection.insert(change.table.name, change.new)
    if change.changed is not None:
        columns, values = change.changed
        changed = [dict(zip(columns, row, strict=True)) for row in values]
        count = connection.execute(update(change.table, columns), changed)
        if count not in (-1, len(changed)):  # -1: the driver does not count
            raise RowsGoneError


def _delete(connection: StoreConnection, change: _Change) -> None:
    if change.gone:
        connection.execute(delete(change.table), change.gone)
