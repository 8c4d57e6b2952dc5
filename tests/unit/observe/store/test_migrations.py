"""Migrations: numbered, each in its transaction, safe for many processes at once."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.exc import OperationalError

from treadle.errors import StoreError
from treadle.observe.store import SessionState, SQLStore
from treadle.observe.store.engine import open_engine, resolve_url
from treadle.observe.store.migrations import ALL_MIGRATIONS, Migration, migrate
from treadle.observe.store.schema import METADATA


def engine_of(path: Path) -> Engine:
    """Make the engine of a file."""
    return open_engine(resolve_url(f"sqlite:///{path}/test.db", path), 60)


def migrated(engine: Engine, *migrations: Migration) -> int:
    """Migrate over a connection of its own."""
    with engine.connect() as connection:
        return migrate(connection, migrations or ALL_MIGRATIONS)


def shape(engine: Engine) -> dict[str, object]:
    """Describe all tables: columns with type and nullability, primary and foreign keys."""
    look = inspect(engine)
    return {
        table: (
            [(column["name"], str(column["type"]), column["nullable"]) for column in look.get_columns(table)],
            look.get_pk_constraint(table)["constrained_columns"],
            sorted((key["constrained_columns"], key["referred_table"]) for key in look.get_foreign_keys(table)),
        )
        for table in look.get_table_names()
    }


def test_the_migrations_make_the_schema(tmp_path: Path) -> None:
    """What the steps make is exactly what the queries expect."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    made, declared = engine_of(tmp_path / "a"), engine_of(tmp_path / "b")
    migrated(made)
    METADATA.create_all(declared)
    assert shape(made) == shape(declared)


def test_earlier_records_stay(tmp_path: Path) -> None:
    """A database of an earlier version keeps its rows, and then takes sessions that have not finished."""
    engine = engine_of(tmp_path)
    migrated(engine, *ALL_MIGRATIONS[:2])
    with engine.begin() as connection:
        for table, values in {
            "sessions (session_id, project_path, package_name, conf_source, extra_params, started, finished, outcome, pid, "
            "environment, versions, sources)": "('s', 'p', 'p', 'c', '{}', 1.0, 2.0, 'failed', 1, '{}', '{}', 'x')",
            "runs (session_id, number, run_id, pipelines, runner, started, finished, outcome, params)": (
                "('s', 1, 's', '[]', 'thread', 1.0, 2.0, 'failed', '{}')"
            ),
            "nodes (session_id, run, position, node, attempt, outcome, sizes)": (
                "('s', 1, 0, 'a', 1, 'failed', '[]'), ('s', 1, 1, 'a', 2, 'failed', '[]'), ('s', 1, 2, 'b', 0, 'skipped', '[]')"
            ),
        }.items():
            connection.exec_driver_sql(f"INSERT INTO treadle_{table} VALUES {values}")
    store = SQLStore(f"sqlite:///{tmp_path}/test.db", project_path=tmp_path)
    record = store.load("s")
    assert (record.state, record.finished, record.sources, record.boot_id) == (SessionState.FINISHED, 2.0, "x", None)
    assert [(node.node, node.attempt) for node in record.runs[0].nodes] == [("a", 1), ("a", 2), ("b", 0)]
    store.save(replace(record, session_id="t", finished=None, outcome=None))
    assert [line.state for line in store.list()] == [SessionState.LOST, SessionState.FINISHED]
    store.close()


def test_numbers_have_no_gaps() -> None:
    """The steps are numbered from 1, so the version is the count."""
    assert [migration.number for migration in ALL_MIGRATIONS] == list(range(1, len(ALL_MIGRATIONS) + 1))


def _one(connection: Connection) -> None:
    connection.execute(text("CREATE TABLE one (x INTEGER)"))


def _half(connection: Connection) -> None:
    connection.execute(text("CREATE TABLE two (x INTEGER)"))
    connection.execute(text("CREATE TABLE two (x INTEGER)"))


def _two(connection: Connection) -> None:
    connection.execute(text("CREATE TABLE two (x INTEGER)"))


def test_each_step_is_applied_once_and_wholly(tmp_path: Path) -> None:
    """A step that fails leaves nothing; the one before it stays; the next attempt goes on from there."""
    engine = engine_of(tmp_path)
    with pytest.raises(OperationalError):
        migrated(engine, Migration(1, "one", _one), Migration(2, "half", _half))
    assert inspect(engine).get_table_names() == ["one", "treadle_migrations"]
    good = (Migration(1, "one", _one), Migration(2, "two", _two))
    assert migrated(engine, *good) == 1
    assert migrated(engine, *good) == 0
    with engine.connect() as connection:
        applied = connection.execute(text("SELECT number, name FROM treadle_migrations ORDER BY number")).all()
    assert [tuple(row) for row in applied] == [(1, "one"), (2, "two")]
    with pytest.raises(StoreError, match="newer Treadle"):
        migrated(engine, *good[:1])


MIGRATOR = """
import sys
from pathlib import Path
from treadle.observe.store.engine import open_engine, resolve_url, retry_while_locked
from treadle.observe.store.migrations import migrate
engine = open_engine(resolve_url(None, Path(sys.argv[1])), 60)
print("ready", flush=True)
sys.stdin.readline()
with retry_while_locked(60, engine.connect) as connection:
    print(retry_while_locked(60, lambda: migrate(connection)))
"""


def test_many_processes_migrate_at_once(tmp_path: Path) -> None:
    """If eight processes open a new database together, all succeed, and each migration is applied once."""
    command = [sys.executable, "-c", MIGRATOR, str(tmp_path)]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(8)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    applied = [process.communicate(timeout=60)[0].strip() for process in processes]
    assert [process.returncode for process in processes] == [0] * 8
    assert sum(map(int, applied)) == len(ALL_MIGRATIONS)
