"""Migrations: numbered, each in its transaction, safe for many processes at once."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from treadle.errors import StoreError
from treadle.observe.store import SessionState, SQLStore
from treadle.observe.store.migrations import ALL_MIGRATIONS, Migration, migrate
from treadle.observe.store.sqlite import SqliteFile

if TYPE_CHECKING:
    from treadle.observe.store.connection import StoreConnection


def migrated(file: SqliteFile, *migrations: Migration) -> int:
    """Migrate over a connection of its own."""
    with file.connect(60) as connection:
        return migrate(connection, migrations or ALL_MIGRATIONS)


def tables(file: SqliteFile) -> list[str]:
    """Return the names of the tables."""
    with file.connect(60) as connection:
        found = connection.select("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
        return [name for (name,) in found]


def test_earlier_records_stay(tmp_path: Path) -> None:
    """A database of an earlier version keeps its rows, and then takes sessions that have not finished."""
    file = SqliteFile(tmp_path / "test.db")
    migrated(file, *ALL_MIGRATIONS[:2])
    with file.connect(60) as connection, connection.transaction(writes=True):
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
            connection.execute(f"INSERT INTO treadle_{table} VALUES {values}")
    store = SQLStore(f"sqlite:///{tmp_path}/test.db", project_path=tmp_path)
    record = store.load("s")
    assert (record.state, record.finished, record.sources, record.boot_id) == (SessionState.FINISHED, 2.0, "x", None)
    assert [(node.node, node.attempt) for node in record.runs[0].nodes] == [("a", 1), ("a", 2), ("b", 0)]
    store.save(record._replace(session_id="t", finished=None, outcome=None))
    assert [line.state for line in store.list()] == [SessionState.LOST, SessionState.FINISHED]
    store.close()


def test_numbers_have_no_gaps() -> None:
    """The steps are numbered from 1, so the version is the count."""
    assert [migration.number for migration in ALL_MIGRATIONS] == list(range(1, len(ALL_MIGRATIONS) + 1))


def _one(connection: StoreConnection) -> None:
    connection.execute("CREATE TABLE one (x INTEGER)")


def _half(connection: StoreConnection) -> None:
    connection.execute("CREATE TABLE two (x INTEGER)")
    connection.execute("CREATE TABLE two (x INTEGER)")


def _two(connection: StoreConnection) -> None:
    connection.execute("CREATE TABLE two (x INTEGER)")


def test_each_step_is_applied_once_and_wholly(tmp_path: Path) -> None:
    """A step that fails leaves nothing; the one before it stays; the next attempt goes on from there."""
    file = SqliteFile(tmp_path / "test.db")
    with pytest.raises(sqlite3.OperationalError):
        migrated(file, Migration(1, "one", _one), Migration(2, "half", _half))
    assert tables(file) == ["one", "treadle_migrations"]
    good = (Migration(1, "one", _one), Migration(2, "two", _two))
    assert migrated(file, *good) == 1
    assert migrated(file, *good) == 0
    with file.connect(60) as connection:
        applied = connection.select("SELECT number, name FROM treadle_migrations ORDER BY number")
    assert applied == [(1, "one"), (2, "two")]
    with pytest.raises(StoreError, match="newer Treadle"):
        migrated(file, *good[:1])


MIGRATOR = """
import sys
from pathlib import Path
from treadle.observe.store.database_errors import retry_while_locked
from treadle.observe.store.migrations import migrate
from treadle.observe.store.sqlite import SqliteFile
file = SqliteFile(Path(sys.argv[1]) / "sessions.db")
print("ready", flush=True)
sys.stdin.readline()
with retry_while_locked(60, lambda: file.connect(60)) as connection:
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
