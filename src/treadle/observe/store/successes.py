"""The last success of each node, which decides whether the node is up to date.

What a node depended on is stored once for each different content, by its digest: thousands of nodes that do not change from
run to run add nothing. The functions run in the caller's transaction.

Importing this module imports SQLAlchemy; see `schema.py`. State: none. Neighbours: `session_rows.py` and `success_access.py`
call them, `treadle.planning.reuse` compares successes with the present.
"""

from __future__ import annotations

import json
from importlib import import_module
from typing import TYPE_CHECKING, Any

from sqlalchemy import Text, bindparam, cast, delete, select

from treadle.events import ContentRecord, Outcome
from treadle.observe.store.plain import plain_text, plain_value
from treadle.observe.store.schema import FINGERPRINTS, NODES, SESSIONS, SUCCESSES
from treadle.planning.reuse.facts import LastSuccess, digest_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from sqlalchemy import Connection, Table

_UPSERTS = ("postgresql", "sqlite")
"""The databases that can insert or update in one statement. Each has a dialect, whose import takes a tenth of a second."""

_AT_ONCE = 500
"""Number of values in one query; databases limit it."""


def write_successes(connection: Connection, package: str, env: str | None, successes: Mapping[str, LastSuccess]) -> None:
    """Replace the last success of nodes.

    Args:
        connection: in a transaction that may write.
        package: the project's package.
        env: the configuration environment; None for the default.
        successes: by node.
    """
    if not successes:
        return
    names = sorted(successes)  # in one order, so that processes that write the same rows do not wait for each other
    digests = {name: digest_of(successes[name].parts) for name in names}
    write_fingerprints(connection, {digest: successes[name].parts for name, digest in digests.items()})
    rows = [
        {
            "package_name": package,
            "env": env or "",
            "node": plain_text(name),
            "session_id": successes[name].session_id,
            "finished": successes[name].finished,
            "fingerprint": digests[name],
            "inputs": _plain_records(successes[name].inputs),
            "outputs": _plain_records(successes[name].outputs),
        }
        for name in names
    ]
    _insert(connection, SUCCESSES, rows, replaces=True)


def refresh_successes(connection: Connection, package: str, env: str | None, successes: Mapping[str, LastSuccess]) -> None:
    """Replace the content records of successes that are still the last ones: the contents are the same, but were read later.

    Args:
        connection: in a transaction that may write.
        package: the project's package.
        env: the configuration environment; None for the default.
        successes: by node.
    """
    for name, success in successes.items():
        same = (
            SUCCESSES.c.package_name == package,
            SUCCESSES.c.env == (env or ""),
            SUCCESSES.c.node == plain_text(name),
            SUCCESSES.c.session_id == success.session_id,
        )
        records = {"inputs": _plain_records(success.inputs), "outputs": _plain_records(success.outputs)}
        connection.execute(SUCCESSES.update().where(*same).values(**records))


def write_fingerprints(connection: Connection, parts: Mapping[str, Mapping[str, str]]) -> None:
    """Store parts.

    Args:
        connection: in a transaction that may write.
        parts: by their digest.
    """
    rows = [{"digest": digest, "parts": plain_value(parts[digest])} for digest in sorted(parts)]
    _insert(connection, FINGERPRINTS, rows, replaces=False)  # rows with the same digest are equal


def forget_successes(connection: Connection, package: str, env: str | None, nodes: Iterable[str]) -> int:
    """Forget the last success of nodes, so that they run again.

    Args:
        connection: in a transaction that may write.
        package: the project's package.
        env: the configuration environment; None for the default.
        nodes: their names.

    Returns:
        How many were known.
    """
    count = 0
    for chunk in _chunks([plain_text(name) for name in nodes]):
        where = delete(SUCCESSES).where(
            SUCCESSES.c.package_name == package, SUCCESSES.c.env == (env or ""), SUCCESSES.c.node.in_(chunk)
        )
        count += connection.execute(where).rowcount
    return count


def read_successes(connection: Connection, package: str, env: str | None) -> dict[str, LastSuccess]:
    """Return the last success of each node of a project in one environment, by name."""
    documents = [cast(column, Text) for column in (FINGERPRINTS.c.parts, SUCCESSES.c.outputs, SUCCESSES.c.inputs)]
    query = (
        select(SUCCESSES.c.node, SUCCESSES.c.session_id, SUCCESSES.c.finished, *documents)
        .join(FINGERPRINTS, SUCCESSES.c.fingerprint == FINGERPRINTS.c.digest)
        .where(SUCCESSES.c.package_name == package, SUCCESSES.c.env == (env or ""))
    )
    rows = connection.execute(query).all()
    # One call for all documents: there may be a hundred thousand nodes, and a call for each takes longer than its parsing.
    parsed = iter(json.loads(f"[{','.join(text for row in rows for text in row[3:])}]"))
    return {
        node: LastSuccess(session_id, finished, next(parsed), _records(next(parsed)), _records(next(parsed)))
        for node, session_id, finished, *_ in rows
    }


def read_successes_of(connection: Connection, session_ids: Sequence[str], env: str | None) -> dict[str, LastSuccess]:
    """Return the successes of the nodes of some sessions, by name; later sessions take precedence.

    A node that was up to date in one of them has its last success, which is older.

    Args:
        connection: an open connection.
        session_ids: the sessions, the oldest first.
        env: their configuration environment; None for the default.
    """
    found: dict[str, LastSuccess] = {}
    reused: set[str] = set()
    for session_id in session_ids:
        query = (
            select(NODES.c.node, NODES.c.outcome, NODES.c.finished, NODES.c.outputs, FINGERPRINTS.c.parts)
            .outerjoin(FINGERPRINTS, NODES.c.fingerprint == FINGERPRINTS.c.digest)
            .where(NODES.c.session_id == session_id)
            .order_by(NODES.c.run, NODES.c.position)
        )
        for row in connection.execute(query):
            if row.parts is not None:
                found[row.node] = LastSuccess(session_id, row.finished or 0.0, row.parts, _records(row.outputs))
            elif row.outcome == Outcome.REUSED.value:
                reused.add(row.node)
    missing = reused - found.keys()
    if missing:  # they succeeded in an earlier session, and were up to date in one of these
        package = select(SESSIONS.c.package_name).where(SESSIONS.c.session_id == session_ids[-1])
        earlier = read_successes(connection, connection.execute(package).scalar_one(), env)
        found.update((name, earlier[name]) for name in sorted(missing) if name in earlier)
    return found


def chain_of(connection: Connection, session_id: str) -> list[str]:
    """Return a session and those that it was resumed from, the oldest first."""
    chain: list[str] = []
    current: str | None = session_id
    while current is not None and current not in chain:
        chain.insert(0, current)
        query = select(SESSIONS.c.resumed_from).where(SESSIONS.c.session_id == current)
        current = connection.execute(query).scalar()
    return chain


def _insert(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]], *, replaces: bool) -> None:
    """Insert rows, and replace or keep those with the same key, which another process may be inserting at the same time."""
    keys = [column.name for column in table.primary_key]
    if (
        connection.dialect.name not in _UPSERTS
    ):  # two processes that insert the same row at once are one error, after which the record is written again
        connection.execute(
            table.delete().where(*(table.c[name] == bindparam(f"key_{name}") for name in keys)),
            [{f"key_{name}": row[name] for name in keys} for row in rows],
        )
        connection.execute(table.insert(), rows)
        return
    dialect: Any = import_module(f"sqlalchemy.dialects.{connection.dialect.name}")
    insert = dialect.insert(table)
    if not replaces:
        connection.execute(insert.on_conflict_do_nothing(), rows)
        return
    new = {column.name: insert.excluded[column.name] for column in table.columns if column.name not in keys}
    connection.execute(insert.on_conflict_do_update(index_elements=keys, set_=new), rows)


def _plain_records(records: Iterable[ContentRecord]) -> list[Any]:
    return [plain_value(record._asdict()) for record in records]


def _records(rows: Sequence[Mapping[str, Any]] | None) -> tuple[ContentRecord, ...]:
    return tuple(ContentRecord(**row) for row in rows or ())


def _chunks(values: Sequence[str]) -> Iterator[Collection[str]]:
    for start in range(0, len(values), _AT_ONCE):
        yield values[start : start + _AT_ONCE]
