"""The tables of the store, and the statements that write rows; `migrations.py` creates the tables and has their columns.

The tables have a prefix, so that they can share a database: sessions, their runs, the attempts at nodes, the workers and the log
of each run, the graphs of runs, the last success of each node with what it depended on, the sessions that are resumed, and the
queue of servers.

Named parameters are written `:name`; a row has a value for each. State: none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from treadle.observe.store.connection import StoreConnection
    from treadle.observe.store.rows import Row

UPSERTS = ("postgresql", "sqlite")
"""The dialects that can insert or update in one statement, and agree how."""


class Table(NamedTuple):
    """A table, with the columns of its primary key."""

    name: str
    key: tuple[str, ...]


SESSIONS = Table("treadle_sessions", ("session_id",))
RUNS = Table("treadle_runs", ("session_id", "number"))
NODES = Table("treadle_nodes", ("session_id", "run", "position"))
WORKERS = Table("treadle_workers", ("session_id", "run", "position"))
LOGS = Table("treadle_logs", ("session_id", "run", "position"))
FINGERPRINTS = Table("treadle_fingerprints", ("digest",))
GRAPHS = Table("treadle_graphs", ("digest",))
SUCCESSES = Table("treadle_successes", ("package_name", "env", "node"))
RESUMES = Table("treadle_resumes", ("session_id",))
QUEUE = Table("treadle_queue", ("run_id",))
MIGRATIONS = Table("treadle_migrations", ("number",))


def insert(table: Table, columns: Collection[str]) -> str:
    """Return the statement that inserts a row."""
    names, values = ", ".join(columns), ", ".join(f":{name}" for name in columns)
    return f"INSERT INTO {table.name} ({names}) VALUES ({values})"


def insert_by_position(table: str, columns: Collection[str], mark: str) -> str:
    """Return the statement that inserts a row whose values have no names.

    Args:
        table: the name of the table.
        columns: the columns.
        mark: what stands for a value in a statement of the driver.
    """
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join([mark] * len(columns))})"


def update(table: Table, columns: Collection[str]) -> str:
    """Return the statement that updates the row with the same key."""
    changes = ", ".join(f"{name} = :{name}" for name in columns if name not in table.key)
    return f"UPDATE {table.name} SET {changes} WHERE {_same_key(table)}"


def delete(table: Table) -> str:
    """Return the statement that deletes the row with the same key."""
    return f"DELETE FROM {table.name} WHERE {_same_key(table)}"


def put(connection: StoreConnection, table: Table, rows: Sequence[Row], *, replaces: bool) -> int:
    """Insert rows, and replace or keep those with the same key, which another process may be inserting at the same time.

    Args:
        connection: in a transaction that may write.
        table: the table.
        rows: rows with the same columns.
        replaces: whether a row with the same key is replaced; otherwise it is kept.

    Returns:
        How many rows were inserted or replaced; -1 if the driver does not count them.
    """
    if not rows:
        return 0
    columns = tuple(rows[0])
    if connection.dialect in UPSERTS:
        changes = ", ".join(f"{name} = excluded.{name}" for name in columns if name not in table.key)
        conflict = f"DO UPDATE SET {changes}" if replaces else "DO NOTHING"
        return connection.execute(f"{insert(table, columns)} ON CONFLICT ({', '.join(table.key)}) {conflict}", rows)
    # Two processes that insert the same row at once are an error here, after which the record is written again.
    if replaces:
        connection.execute(delete(table), [{name: row[name] for name in table.key} for row in rows])
    else:
        known = f"SELECT 1 FROM {table.name} WHERE {_same_key(table)}"
        rows = [row for row in rows if not connection.select(known, {name: row[name] for name in table.key})]
    return connection.execute(insert(table, columns), rows) if rows else 0


def listed(name: str, values: Sequence[str]) -> tuple[str, dict[str, str]]:
    """Return the parameters of a list of values, for `IN (…)`, and their values.

    Args:
        name: how the parameters are named, before a number.
        values: the values; at least one.
    """
    bound = {f"{name}{number}": value for number, value in enumerate(values)}
    return ", ".join(f":{each}" for each in bound), bound


def _same_key(table: Table) -> str:
    return " AND ".join(f"{name} = :{name}" for name in table.key)
