"""A store retries while the database is locked, when it is opened and migrated as when it is written; one may be read-only."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
import traceback
from contextlib import closing
from importlib import import_module
from pathlib import Path

import pytest

from treadle.errors import StoreError
from treadle.observe.store import SessionRecord, SQLStore

RECORD = SessionRecord(
    session_id="2026-01-01T00.00.00.000Z-a", project_path="p", package_name="p", env=None, conf_source="conf", extra_params={},
    command=None, started=1.0, finished=2.0, outcome=None, user=None, host=None, pid=1, git_commit=None, git_dirty=None,
    environment={}, versions={}, runs=(),
)  # fmt: skip


_CONNECT = sqlite3.connect


class Connections:
    """Makes connections; one statement of them all finds the database locked, at once, as while its journal is recovered."""

    def __init__(self, locked_at: int) -> None:
        self.locked_at = locked_at
        self.statements = 0
        self.connect = _CONNECT

    def __call__(self, *args, **kwargs) -> sqlite3.Connection:
        counter = self

        class Connection(sqlite3.Connection):
            def execute(self, *args):
                counter.count()
                return super().execute(*args)

            def executemany(self, *args):
                counter.count()
                return super().executemany(*args)

            def commit(self):
                counter.count()
                return super().commit()

        return self.connect(*args, **kwargs, factory=Connection)

    def count(self) -> None:
        """Count a statement."""
        self.statements += 1
        if self.statements == self.locked_at:
            raise sqlite3.OperationalError("database is locked")


def test_a_lock_at_any_statement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever statement finds the database locked, from the first of opening it to the last: the record is saved, once."""
    counting = Connections(0)
    monkeypatch.setattr(sqlite3, "connect", counting)
    SQLStore(project_path=tmp_path / "counted").save(RECORD)
    assert counting.statements > 10
    for place in range(1, counting.statements + 1):
        monkeypatch.setattr(sqlite3, "connect", Connections(place))
        store = SQLStore(project_path=tmp_path / str(place))
        store.save(RECORD)
        assert [summary.session_id for summary in store.list()] == [RECORD.session_id], f"locked at statement {place}"


def test_patience_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that stays locked is an error that says so."""
    connections = Connections(0)
    monkeypatch.setattr(connections, "count", lambda: exec('raise sqlite3.OperationalError("database is locked")'))
    monkeypatch.setattr(sqlite3, "connect", connections)
    with pytest.raises(StoreError, match=r"cannot be opened: database is locked\. Another process held the lock for too long"):
        SQLStore(project_path=tmp_path, busy_timeout=0.0).save(RECORD)


@pytest.mark.parametrize("journal", ["wal", "delete"])
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")  # of pytest's watchdog thread, since Python 3.15
def test_a_read_only_store_is_read(journal: str) -> None:
    """Neither file nor folder may be written to: `list`, `load` and `durations` work, and saving says what is wrong."""
    folder = Path(tempfile.mkdtemp())  # pytest's own folders are closed to other users
    try:
        SQLStore(project_path=folder).save(RECORD)
        with closing(sqlite3.connect(folder / ".treadle" / "sessions.db")) as database:
            database.execute(f"PRAGMA journal_mode = {journal}")
        folder.chmod(0o755)
        (folder / ".treadle" / "sessions.db").chmod(0o444)
        (folder / ".treadle").chmod(0o555)
        import_module("statistics")  # `durations` imports it, and the child may not read the folder of Python's own modules
        child = os.fork()
        if not child:
            code = 1
            try:
                _read_as_another(folder)
                code = 0
            except BaseException:  # noqa: BLE001 - the child's edge
                traceback.print_exc()
            os._exit(code)
        assert os.waitpid(child, 0)[1] == 0
        assert sorted(path.name for path in (folder / ".treadle").iterdir()) == [".gitignore", "sessions.db"]
    finally:
        (folder / ".treadle").chmod(0o755)
        shutil.rmtree(folder)


def _read_as_another(folder: Path) -> None:
    if os.getuid() == 0:
        os.setuid(65534)  # root may write everywhere
    store = SQLStore(project_path=folder)
    assert [summary.session_id for summary in store.list()] == [RECORD.session_id]
    assert store.load(RECORD.session_id[:4]) == RECORD
    assert store.durations() == {}
    with pytest.raises(StoreError, match=r"cannot be .*Make the file and its folder writable"):
        SQLStore(project_path=folder).save(RECORD)
