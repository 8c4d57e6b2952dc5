"""Connections that a store keeps between uses: when they are used again, and when they are not."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from treadle.observe.store.sqlite import SqliteFile


def opened(file):
    """Count the descriptors of this process that are open on a file."""
    return sum(os.path.realpath(each) == str(file) for each in Path("/proc/self/fd").iterdir())


@pytest.fixture
def file(tmp_path):
    """A database with one table, whose connections are kept."""
    database = SqliteFile(tmp_path / "sessions.db")
    with database.connect(60) as connection:
        connection.execute("CREATE TABLE t (x)")
    assert opened(tmp_path / "sessions.db") == 0
    assert database.keep_open()
    yield database
    database.close()


def rows(database):
    """Return the rows of the table, read by a connection of its own."""
    with database.connect(60, only_reads=True) as connection:
        return [row[0] for row in connection.select("SELECT x FROM t")]


def test_a_connection_is_used_again_by_any_thread(file, tmp_path):
    """One connection serves one use after another, with the timeout of each; two uses at once have two."""
    with file.connect(60):
        pass
    thread = threading.Thread(target=lambda: file.connect(1).close())
    thread.start()
    thread.join()
    with file.connect(2) as first:
        assert opened(tmp_path / "sessions.db") == 1
        assert first.select_value("PRAGMA busy_timeout") == 2000
        with file.connect(60):
            assert opened(tmp_path / "sessions.db") == 2
        first.close()
        first.close()  # again
    assert opened(tmp_path / "sessions.db") == 2
    file.close()
    assert opened(tmp_path / "sessions.db") == 0


def test_a_connection_in_a_transaction_is_closed(file):
    """What an interrupted transaction has written does not reach the next user of the connection."""
    connection = file.connect(60)
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("INSERT INTO t VALUES (1)")
    connection.close()
    assert rows(file) == []


def test_a_replaced_file_is_opened_anew(file, tmp_path):
    """Nothing is written to a file that was removed while its connection was kept."""
    with file.connect(60) as connection:
        connection.execute("INSERT INTO t VALUES (1)")
    (tmp_path / "sessions.db").unlink()
    with file.connect(60) as connection:
        assert not connection.has_table("t")
        connection.execute("CREATE TABLE t (x)")
        connection.execute("INSERT INTO t VALUES (2)")
    assert rows(SqliteFile(tmp_path / "sessions.db")) == [2]


def test_no_child_inherits_a_connection(file, tmp_path):
    """Kept connections are closed before a fork, and another one is opened afterwards."""
    with file.connect(60) as connection:
        connection.execute("INSERT INTO t VALUES (1)")
    pid = os.fork()
    if not pid:
        os._exit(opened(tmp_path / "sessions.db"))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert rows(file) == [1]
