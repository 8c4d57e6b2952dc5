"""The check of a store's file before a run: what it finds, and that it leaves SQLite's locks alone."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from types import SimpleNamespace

import pytest

from treadle.errors import StoreError
from treadle.observe.store import SQLStore
from treadle.observe.store.database_errors import store_errors
from treadle.observe.store.file import make_output_folder, make_private_folder, writing_problem
from treadle.observe.store.successes import LastSuccess

SUCCESS = LastSuccess("s1", 1.0, {"part": "1"}, (), ())
READ = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
print(*(package for (package,) in connection.execute("SELECT package_name FROM treadle_successes ORDER BY 1")))
connection.close()
"""


def seen_by_another_process(file):
    """Read the packages whose nodes have succeeded in another process, which then closes the only connection that it knows of."""
    read = subprocess.run([sys.executable, "-c", READ, str(file)], capture_output=True, text=True, check=True)
    return read.stdout.split()


def test_the_check_before_a_run_keeps_the_locks_of_open_connections(tmp_path):
    """Otherwise another process that reads the store would remove the log into which this one goes on writing."""
    store, file = SQLStore(project_path=tmp_path), tmp_path / ".treadle" / "sessions.db"
    store.keep_open()
    store.save_successes("first", None, {"node": SUCCESS})
    store.check_writable()
    assert seen_by_another_process(file) == ["first"]
    assert file.with_name("sessions.db-wal").exists()
    store.save_successes("second", None, {"node": SUCCESS})
    assert seen_by_another_process(file) == ["first", "second"]
    store.close()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, None),
        (b"", None),
        (b"no database", "damaged, or no SQLite database"),
        (b"SQLite format 3\0 and then nothing of it", "damaged, or no SQLite database"),
    ],
)
def test_a_file_that_is_no_database(tmp_path, content, problem):
    """A missing or empty file is one in which a store can be created."""
    file = tmp_path / "sessions.db"
    if content is not None:
        file.write_bytes(content)
    found = writing_problem(file)
    assert (found is None) if problem is None else (problem in found)
    assert file.exists() is (content is not None)
    assert content is None or file.read_bytes() == content


def test_a_folder_in_place_of_the_file(tmp_path):
    """It is named, and what to do."""
    assert "it is a folder. Move it away" in writing_problem(tmp_path)


@pytest.mark.parametrize("url", [None, "sqlite:///.treadle/sessions.db?timeout=5"])
def test_a_read_only_file_system(tmp_path, monkeypatch, url):
    """It needs another remedy than a missing permission."""
    store = SQLStore(url, project_path=tmp_path)
    store.save_successes("first", None, {"node": SUCCESS})
    store.close()
    monkeypatch.setattr(os, "statvfs", lambda _path: SimpleNamespace(f_flag=os.ST_RDONLY))
    assert "is read-only. Mount it for writing" in writing_problem(tmp_path / ".treadle" / "sessions.db")
    assert "is read-only. Mount it for writing" in writing_problem(tmp_path / "missing" / "sessions.db")
    database = store._get_database()
    with pytest.raises(StoreError, match=r"Its file system is read-only\. Mount it"), store_errors("opened", database):
        raise sqlite3.OperationalError("unable to open database file")


@pytest.mark.parametrize("make", [make_private_folder, make_output_folder])
def test_a_folder_inside_the_records(tmp_path, make):
    """Whoever creates the first folder in `.treadle`, a server or a report: only this user can enter it, and git ignores it."""
    folder = tmp_path / "project" / ".treadle" / "server" / "events"
    make(folder)
    make(folder)
    assert {each.stat().st_mode & 0o777 for each in (folder, *folder.parents[:2])} == {0o700}
    assert (tmp_path / "project" / ".treadle" / ".gitignore").read_text() == "*\n"
    assert sorted(each.name for each in folder.parents[2].iterdir()) == [".treadle"]


def test_a_folder_elsewhere(tmp_path):
    """The folder of a file that a command writes has the usual mode."""
    make_output_folder(tmp_path / "reports")
    assert (tmp_path / "reports").stat().st_mode & 0o777 == 0o777 & ~current_umask()


def current_umask():
    """Return the umask of this process."""
    os.umask(mask := os.umask(0))
    return mask
