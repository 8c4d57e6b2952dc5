"""The last success of each node, which decides whether the node is up to date.

What a node depended on is stored once for each different content, by its digest: thousands of nodes that do not change from
run to run add nothing. The functions run in the caller's transaction.

State: none. Neighbours: `session_rows.py` and `success_access.py` call them, `treadle.planning.reuse` compares successes with
the present.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from treadle.events import ContentRecord, Outcome
from treadle.observe.store.plain import plain_text, plain_tuples, plain_value
from treadle.observe.store.rows import document
from treadle.observe.store.statements import FINGERPRINTS, SUCCESSES, listed, put
from treadle.planning.reuse.facts import INVALIDATED, LastSuccess, digest_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from treadle.observe.store.connection import StoreConnection
    from treadle.planning.reuse.facts import Parts

_AT_ONCE = 500
"""Number of values in one query; databases limit it."""

_READ_AT_ONCE = 500
"""Number of rows that are read and parsed together."""


def write_successes(
    connection: StoreConnection,
    package: str,
    env: str | None,
    successes: Mapping[str, LastSuccess],
    digest: Callable[[Parts], str] = digest_of,
) -> None:
    """Replace the last success of nodes.

    Args:
        connection: in a transaction that may write.
        package: the project's package.
        env: the configuration environment; None for the default.
        successes: by node.
        digest: `digest_of`, or a function that remembers what it has returned.
    """
    if not successes:
        return
    names = sorted(successes)  # in one order, so that processes that write the same rows do not wait for each other
    digests = {name: digest(successes[name].parts) for name in names}
    write_fingerprints(connection, {digest: successes[name].parts for name, digest in digests.items()})
    rows = [
        {
            "package_name": package,
            "env": env or "",
            "node": plain_text(name),
            "session_id": successes[name].session_id,
            "finished": successes[name].finished,
            "fingerprint": digests[name],
            "inputs": plain_tuples(successes[name].inputs),
            "outputs": plain_tuples(successes[name].outputs),
        }
        for name in names
    ]
    put(connection, SUCCESSES, rows, replaces=True)


def refresh_successes(connection: StoreConnection, package: str, env: str | None, successes: Mapping[str, LastSuccess]) -> None:
    """Replace the content records of successes that are still the last ones: the contents are the same, but were read later.

    Args:
        connection: in a transaction that may write.
        package: the project's package.
        env: the configuration environment; None for the default.
        successes: by node.
    """
    statement = (
        "UPDATE treadle_successes SET inputs = :inputs, outputs = :outputs "
        "WHERE package_name = :package AND env = :env AND node = :node AND session_id = :session_id"
    )
    rows = [
        {
            "package": package,
            "env": env or "",
            "node": plain_text(name),
            "session_id": success.session_id,
            "inputs": plain_tuples(success.inputs),
            "outputs": plain_tuples(success.outputs),
        }
        for name, success in successes.items()
    ]
    if rows:
        connection.execute(statement, rows)


def write_fingerprints(connection: StoreConnection, parts: Mapping[str, Mapping[str, str]]) -> None:
    """Store parts.

    Args:
        connection: in a transaction that may write.
        parts: by their digest.
    """
    rows = [{"digest": digest, "parts": plain_value(parts[digest])} for digest in sorted(parts)]
    put(connection, FINGERPRINTS, rows, replaces=False)  # rows with the same digest are equal


def invalidate_successes(connection: StoreConnection, package: str, env: str | None, nodes: Iterable[str]) -> int:
    """Mark the last success of nodes as invalidated, so that they run again.

    Args:
        connection: in a transaction that may write.
        package: the project's package.
        env: the configuration environment; None for the default.
        nodes: their names.

    Returns:
        How many had one.
    """
    count, marked = 0, digest_of(INVALIDATED)
    write_fingerprints(connection, {marked: INVALIDATED})
    for chunk in _chunks([plain_text(name) for name in nodes]):
        names, values = listed("node", chunk)
        statement = (
            "UPDATE treadle_successes SET fingerprint = :marked "
            f"WHERE package_name = :package AND env = :env AND fingerprint <> :marked AND node IN ({names})"
        )
        count += connection.execute(statement, [{"marked": marked, "package": package, "env": env or "", **values}])
    return count


def read_successes(connection: StoreConnection, package: str, env: str | None) -> dict[str, LastSuccess]:
    """Return the last success of each node of a project in one environment, by name."""
    documents = ", ".join(f"CAST({name} AS {connection.text_type})" for name in ("parts", "outputs", "inputs"))
    query = (
        f"SELECT node, session_id, finished, {documents} FROM treadle_successes "
        "JOIN treadle_fingerprints ON treadle_fingerprints.digest = treadle_successes.fingerprint "
        "WHERE package_name = :package AND env = :env"
    )
    found: dict[str, LastSuccess] = {}
    # There may be a hundred thousand nodes. A call for each document takes longer than its parsing, and one call for all of them
    # twice the memory.
    for rows in connection.select_batches(query, {"package": package, "env": env or ""}, _READ_AT_ONCE):
        parsed = iter(json.loads(f"[{','.join([text for row in rows for text in row[3:]])}]"))
        for node, session_id, finished, *_ in rows:
            found[node] = LastSuccess(session_id, finished, next(parsed), _records(next(parsed)), _records(next(parsed)))
    return found


def read_successes_of(connection: StoreConnection, session_ids: Sequence[str], env: str | None) -> dict[str, LastSuccess]:
    """Return the successes of the nodes of some sessions, by name; later sessions take precedence.

    A node that was up to date in one of them has its last success, which is older.

    Args:
        connection: an open connection.
        session_ids: the sessions, the oldest first.
        env: their configuration environment; None for the default.
    """
    found: dict[str, LastSuccess] = {}
    reused: set[str] = set()
    query = (
        "SELECT node, outcome, finished, outputs, parts FROM treadle_nodes "
        "LEFT JOIN treadle_fingerprints ON treadle_fingerprints.digest = treadle_nodes.fingerprint "
        "WHERE session_id = :session_id ORDER BY run, position"
    )
    for session_id in session_ids:
        for node, outcome, finished, outputs, parts in connection.select(query, {"session_id": session_id}):
            if parts is not None:
                found[node] = LastSuccess(session_id, finished or 0.0, document(parts), _records(document(outputs)))
            elif outcome == Outcome.REUSED.value:
                reused.add(node)
    missing = reused - found.keys()
    if missing:  # they succeeded in an earlier session, and were up to date in one of these
        package = "SELECT package_name FROM treadle_sessions WHERE session_id = :session_id"
        earlier = read_successes(connection, connection.select_value(package, {"session_id": session_ids[-1]}), env)
        found.update((name, earlier[name]) for name in sorted(missing) if name in earlier)
    return found


def chain_of(connection: StoreConnection, session_id: str) -> list[str]:
    """Return a session and those that it was resumed from, the oldest first."""
    chain: list[str] = []
    current: str | None = session_id
    while current is not None and current not in chain:
        chain.insert(0, current)
        query = "SELECT resumed_from FROM treadle_sessions WHERE session_id = :session_id"
        current = connection.select_value(query, {"session_id": current})
    return chain


def _records(rows: Sequence[Mapping[str, Any]] | None) -> tuple[ContentRecord, ...]:
    return tuple([ContentRecord(**row) for row in rows]) if rows else ()


def _chunks(values: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(values), _AT_ONCE):
        yield values[start : start + _AT_ONCE]
