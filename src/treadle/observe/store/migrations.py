"""Migrations of the store's tables: numbered steps, each applied once, in its own transaction.

A migration never changes after its release. To change the tables, append a `Migration`: the columns of a table are those that the
migrations give it, and `rows.py` has a value for each.

Two processes may migrate the same database concurrently: each step checks the version again after it has taken the lock
(SQLite: the write lock of `BEGIN IMMEDIATE`; PostgreSQL: an advisory lock that ends with the transaction).

State: none. Neighbours: `connection.py` has the connection, `store.py` calls `migrate` before its first query.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from treadle.errors import StoreError
from treadle.named_tuple import NamedTuple
from treadle.observe.store.statements import MIGRATIONS, insert

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from treadle.observe.store.connection import StoreConnection

_ADVISORY_LOCK = 7_233_205_501
"""An arbitrary constant that identifies the lock among all users of a PostgreSQL database."""


class Migration(NamedTuple):
    """One step of the schema; `apply` is called inside an open transaction."""

    number: int
    name: str
    apply: Callable[[StoreConnection], None]


def _create_tables(connection: StoreConnection) -> None:
    dialect = connection.dialect
    double = "DOUBLE PRECISION" if dialect == "postgresql" else "DOUBLE"
    error = "error_type TEXT, error_message TEXT, error_traceback TEXT, error_node TEXT"
    connection.execute(
        "CREATE TABLE treadle_sessions (session_id VARCHAR(64) NOT NULL, project_path TEXT NOT NULL, "
        "package_name TEXT NOT NULL, env TEXT, conf_source TEXT NOT NULL, extra_params JSON NOT NULL, command TEXT, "
        f"started {double} NOT NULL, finished {double} NOT NULL, outcome VARCHAR(16), user_name TEXT, host TEXT, "
        "pid BIGINT NOT NULL, git_commit VARCHAR(64), git_dirty BOOLEAN, environment JSON NOT NULL, "
        f"versions JSON NOT NULL, {error}, PRIMARY KEY (session_id))"
    )
    connection.execute(
        "CREATE TABLE treadle_runs (session_id VARCHAR(64) NOT NULL, number INTEGER NOT NULL, "
        "run_id VARCHAR(64) NOT NULL, pipelines JSON NOT NULL, runner TEXT NOT NULL, start_method VARCHAR(32), "
        f"worker_count INTEGER, started {double} NOT NULL, finished {double} NOT NULL, outcome VARCHAR(16) NOT NULL, "
        f"params JSON NOT NULL, {error}, PRIMARY KEY (session_id, number), "
        "FOREIGN KEY (session_id) REFERENCES treadle_sessions (session_id))"
    )
    part_of_run = (
        "PRIMARY KEY (session_id, run, position), FOREIGN KEY (session_id, run) REFERENCES treadle_runs (session_id, number)"
    )
    connection.execute(
        "CREATE TABLE treadle_nodes (session_id VARCHAR(64) NOT NULL, run INTEGER NOT NULL, position INTEGER NOT NULL, "
        "node TEXT NOT NULL, attempt INTEGER NOT NULL, outcome VARCHAR(16) NOT NULL, worker TEXT, "
        f"started {double}, finished {double}, load_seconds {double}, run_seconds {double}, save_seconds {double}, "
        f"sizes JSON NOT NULL, {error}, {part_of_run})"
    )
    connection.execute(
        "CREATE TABLE treadle_workers (session_id VARCHAR(64) NOT NULL, run INTEGER NOT NULL, "
        f"position INTEGER NOT NULL, worker TEXT NOT NULL, pid BIGINT NOT NULL, started {double}, lost {double}, "
        f"exitcode INTEGER, {part_of_run})"
    )


def _add_sources(connection: StoreConnection) -> None:
    connection.execute("ALTER TABLE treadle_sessions ADD COLUMN sources VARCHAR(64)")


def _add_running_sessions(connection: StoreConnection) -> None:
    double = "DOUBLE PRECISION" if connection.dialect == "postgresql" else "DOUBLE"
    short, unfinished = "VARCHAR(16)", {"finished": double}
    _allow_null(connection, "treadle_sessions", unfinished)
    _allow_null(connection, "treadle_runs", unfinished | {"outcome": short})
    _allow_null(connection, "treadle_nodes", {"outcome": short})
    for column in (f"process_started {double}", "boot_id VARCHAR(64)", f"heartbeat {double}", "resumed_from VARCHAR(64)"):
        connection.execute(f"ALTER TABLE treadle_sessions ADD COLUMN {column}")
    connection.execute("ALTER TABLE treadle_runs ADD COLUMN node_count INTEGER")


def _allow_null(connection: StoreConnection, table: str, columns: Mapping[str, str]) -> None:
    """Remove NOT NULL from columns, given with their types. SQLite cannot, so there the table is copied and replaced."""
    dialect = connection.dialect
    if dialect != "sqlite":
        for column, type_name in columns.items():
            mysql = f"MODIFY {column} {type_name} NULL"
            change = mysql if dialect in ("mysql", "mariadb") else f"ALTER COLUMN {column} DROP NOT NULL"
            connection.execute(f"ALTER TABLE {table} {change}")
        return
    old = "SELECT sql FROM sqlite_master WHERE type = 'table' AND name = :table"
    created = str(connection.select_value(old, {"table": table}))
    for column, type_name in columns.items():
        created = created.replace(f" {column} {type_name} NOT NULL", f" {column} {type_name}")
    connection.execute(created.replace(table, f"{table}_new", 1))
    for statement in (f"INSERT INTO {table}_new SELECT * FROM {table}", f"DROP TABLE {table}"):
        connection.execute(statement)
    connection.execute(f"ALTER TABLE {table}_new RENAME TO {table}")


def _add_outputs(connection: StoreConnection) -> None:
    connection.execute("ALTER TABLE treadle_nodes ADD COLUMN outputs JSON")


def _add_successes(connection: StoreConnection) -> None:
    double = "DOUBLE PRECISION" if connection.dialect == "postgresql" else "DOUBLE"
    connection.execute("ALTER TABLE treadle_nodes ADD COLUMN fingerprint VARCHAR(64)")
    connection.execute(
        "CREATE TABLE treadle_fingerprints (digest VARCHAR(64) NOT NULL, parts JSON NOT NULL, PRIMARY KEY (digest))"
    )
    connection.execute(
        "CREATE TABLE treadle_successes (package_name VARCHAR(255) NOT NULL, env VARCHAR(255) NOT NULL, "
        f"node VARCHAR(1000) NOT NULL, session_id VARCHAR(64) NOT NULL, finished {double} NOT NULL, "
        "fingerprint VARCHAR(64) NOT NULL, inputs JSON NOT NULL, outputs JSON NOT NULL, "
        "PRIMARY KEY (package_name, env, node))"
    )


def _add_resumes(connection: StoreConnection) -> None:
    double = "DOUBLE PRECISION" if connection.dialect == "postgresql" else "DOUBLE"
    connection.execute(
        "CREATE TABLE treadle_resumes (session_id VARCHAR(64) NOT NULL, resumed_by VARCHAR(64) NOT NULL, host TEXT, "
        f"pid BIGINT NOT NULL, process_started {double}, boot_id VARCHAR(64), claimed {double} NOT NULL, ended {double}, "
        "PRIMARY KEY (session_id))"
    )


def _add_what_reports_show(connection: StoreConnection) -> None:
    double = "DOUBLE PRECISION" if connection.dialect == "postgresql" else "DOUBLE"
    connection.execute("CREATE TABLE treadle_graphs (digest VARCHAR(64) NOT NULL, graph TEXT NOT NULL, PRIMARY KEY (digest))")
    for table, columns in {
        "treadle_runs": ("graph VARCHAR(64)", "memory JSON"),
        "treadle_nodes": (f"submitted {double}", f"assigned {double}", f"delayed_until {double}"),
        "treadle_workers": (f"launched {double}",),
    }.items():
        for column in columns:
            connection.execute(f"ALTER TABLE {table} ADD COLUMN {column}")


def _add_parameters(connection: StoreConnection) -> None:
    connection.execute("ALTER TABLE treadle_runs ADD COLUMN parameters JSON")


def _add_logs(connection: StoreConnection) -> None:
    connection.execute(
        "CREATE TABLE treadle_logs (session_id VARCHAR(64) NOT NULL, run INTEGER NOT NULL, position INTEGER NOT NULL, "
        "lines TEXT NOT NULL, PRIMARY KEY (session_id, run, position), "
        "FOREIGN KEY (session_id, run) REFERENCES treadle_runs (session_id, number))"
    )


def _add_retried(connection: StoreConnection) -> None:
    connection.execute("ALTER TABLE treadle_nodes ADD COLUMN retried BOOLEAN")


def _add_queue(connection: StoreConnection) -> None:
    double = "DOUBLE PRECISION" if connection.dialect == "postgresql" else "DOUBLE"
    connection.execute(
        "CREATE TABLE treadle_queue (run_id VARCHAR(64) NOT NULL, package_name VARCHAR(255) NOT NULL, "
        f"submitted {double} NOT NULL, state VARCHAR(16) NOT NULL, request TEXT NOT NULL, digest VARCHAR(64) NOT NULL, "
        "has_secrets BOOLEAN NOT NULL, client_key VARCHAR(255), host TEXT, pid BIGINT NOT NULL, "
        f"process_started {double}, boot_id VARCHAR(255), heartbeat {double} NOT NULL, PRIMARY KEY (run_id))"
    )
    connection.execute("CREATE UNIQUE INDEX treadle_queue_key ON treadle_queue (package_name, client_key)")


ALL_MIGRATIONS: tuple[Migration, ...] = (
    Migration(1, "create the tables", _create_tables),
    Migration(2, "add the digest of code and configuration", _add_sources),
    Migration(3, "add sessions that have not finished", _add_running_sessions),
    Migration(4, "add the contents of outputs", _add_outputs),
    Migration(5, "add the last success of each node", _add_successes),
    Migration(6, "add the sessions that are resumed", _add_resumes),
    Migration(7, "add the graph, the memory and the waits of runs", _add_what_reports_show),
    Migration(8, "add the params that nodes loaded", _add_parameters),
    Migration(9, "add the log lines of runs", _add_logs),
    Migration(10, "add whether a failed attempt is followed by another one", _add_retried),
    Migration(11, "add the queue of servers", _add_queue),
)


def migrate(connection: StoreConnection, migrations: Sequence[Migration] = ALL_MIGRATIONS) -> int:
    """Apply all missing migrations; safe if other processes migrate the database concurrently.

    Args:
        connection: without a transaction.
        migrations: all steps, numbered from 1 without gaps.

    Returns:
        The number of steps applied by this call; 0 if the database was up to date.

    Raises:
        StoreError: the database was created by a newer Treadle.
        Exception: a step failed and was rolled back; earlier steps remain.
    """
    with connection.transaction(writes=False):
        version = _version(connection)
    _refuse_newer(version, connection, migrations)
    return sum(_apply(connection, migration, migrations) for migration in migrations[version:])


def _apply(connection: StoreConnection, migration: Migration, migrations: Sequence[Migration]) -> bool:
    with connection.transaction(writes=True):
        if connection.dialect == "postgresql":
            connection.select("SELECT pg_advisory_xact_lock(:lock)", {"lock": _ADVISORY_LOCK})
        version = _version(connection)
        _refuse_newer(version, connection, migrations)
        if version >= migration.number:
            return False
        if version == 0 and not connection.has_table(MIGRATIONS.name):
            double = "DOUBLE PRECISION" if connection.dialect == "postgresql" else "DOUBLE"
            columns = f"number INTEGER NOT NULL, name TEXT NOT NULL, applied {double} NOT NULL, PRIMARY KEY (number)"
            connection.execute(f"CREATE TABLE {MIGRATIONS.name} ({columns})")
        migration.apply(connection)
        row = {"number": migration.number, "name": migration.name, "applied": time.time()}
        connection.execute(insert(MIGRATIONS, row), [row])
        return True


def _version(connection: StoreConnection) -> int:
    if not connection.has_table(MIGRATIONS.name):
        return 0
    return int(connection.select_value(f"SELECT MAX(number) FROM {MIGRATIONS.name}") or 0)


def _refuse_newer(version: int, connection: StoreConnection, migrations: Sequence[Migration]) -> None:
    if version > len(migrations):
        url = connection.database.shown
        msg = (
            f"The session store at {url} was made by a newer Treadle: its schema has version {version}, and this one "
            f"knows version {len(migrations)}. Upgrade with `pip install --upgrade treadle`, or give this project another "
            "store with SESSION_STORE_ARGS = {'url': ...} in settings.py."
        )
        raise StoreError(msg, url=url)
