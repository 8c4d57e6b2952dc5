"""The store on SQLAlchemy: what goes in comes out, and every way it can fail is told clearly."""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

import pytest
from sqlalchemy.exc import OperationalError

from treadle.config.writing import TextOf
from treadle.errors import StoreError
from treadle.events import Outcome
from treadle.observe.store import ErrorRecord, NodeRecord, RunRecord, SessionRecord, SQLStore, WorkerRecord
from treadle.observe.store.choice import database_at
from treadle.observe.store.database_errors import store_errors
from treadle.observe.store.sqlite import SqliteFile

RUN = RunRecord(
    number=1,
    run_id="2026-01-01T00.00.00.000Z-aaaaaaaa",
    pipelines=("__default__", "other"),
    runner="parallel",
    start_method="spawn",
    worker_count=2,
    started=1.25,
    finished=2.5,
    outcome=Outcome.FAILED,
    params={"tags": ["x"], "only_missing_outputs": True},
    nodes=(
        NodeRecord("a", 1, Outcome.SUCCEEDED, "worker-1", 1.3, 1.4, 0.01, 0.08, 0.01, (("t", 5_000_000_000),)),
        NodeRecord("b", 1, Outcome.FAILED, "worker-2", 1.5, 1.6, error=ErrorRecord("ValueError", "no", "Trace", "b")),
        NodeRecord("b", 2, Outcome.FAILED, "worker-2", 1.7, 1.8, error=ErrorRecord("ValueError", "no", "Trace", "b")),
        NodeRecord("c", 0, Outcome.SKIPPED),
    ),
    workers=(WorkerRecord("worker-1", 11, 1.2), WorkerRecord("worker-2", 12, 1.2, 1.9, -9)),
    error=ErrorRecord("treadle.errors.NodeError", "node 'b' failed", "Trace", "b"),
)
RECORD = SessionRecord(
    session_id="2026-01-01T00.00.00.000Z-aaaaaaaa",
    project_path="/project",
    package_name="flights",
    env=None,
    conf_source="/project/conf",
    extra_params={"model": {"a": 5, "when": "2026"}, "list": [1, None]},
    command="treadle run --params=model.a=5",
    started=1.0,
    finished=3.0,
    outcome=Outcome.SUCCEEDED,
    user="ada",
    host="loom",
    pid=10,
    git_commit="0" * 40,
    git_dirty=True,
    environment={"TREADLE_ENV": "prod"},
    versions={"python": "3.11.0"},
    runs=(RUN, RUN._replace(number=2, outcome=Outcome.SUCCEEDED, error=None, nodes=RUN.nodes[:1])),
    error=ErrorRecord("ValueError", "after the run", "Trace"),
)


def record(number: int) -> SessionRecord:
    """Make a record without runs."""
    return RECORD._replace(session_id=f"2026-01-01T00.00.00.{number:03d}Z-aaaaaaaa", runs=())


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    """A session with a failed run and a good one comes back equal, from another store on the same file."""
    store = SQLStore(project_path=tmp_path)
    store.save(RECORD)
    store.close()
    store.close()
    assert SQLStore(project_path=tmp_path).load(RECORD.session_id) == RECORD


def test_saving_again_replaces(tmp_path: Path) -> None:
    """The same session saved twice is there once, as it was last."""
    store = SQLStore(project_path=tmp_path)
    store.save(RECORD)
    later = RECORD._replace(finished=4.0, runs=RECORD.runs[:1])
    store.save(later)
    assert store.load(RECORD.session_id) == later
    assert len(store.list()) == 1


def test_list_is_newest_first_and_limited(tmp_path: Path) -> None:
    """A list shows the newest sessions with the facts of their last run."""
    store = SQLStore(project_path=tmp_path)
    for number in (3, 1, 2):
        store.save(record(number))
    store.save(RECORD)
    assert [line.session_id[20:23] for line in store.list(limit=2)] == ["003", "002"]
    assert [line.session_id[20:23] for line in store.list()] == ["003", "002", "001", "000"]
    line = store.list()[-1]
    assert (line.runs, line.pipelines, line.runner, line.start_method) == (2, ("__default__", "other"), "parallel", "spawn")
    assert (line.succeeded, line.failed, line.outcome, line.error) == (1, 0, Outcome.SUCCEEDED, "after the run")
    assert store.list()[0].runner is None


def test_list_counts_nodes_not_attempts(tmp_path: Path) -> None:
    """A node that failed twice is one failed node."""
    store = SQLStore(project_path=tmp_path)
    store.save(RECORD._replace(runs=(RUN,)))
    assert (store.list()[0].succeeded, store.list()[0].failed) == (1, 1)


def test_list_has_the_number_of_nodes_of_the_run(tmp_path: Path) -> None:
    """Also of nodes that did not run, or have not started yet."""
    store = SQLStore(project_path=tmp_path)
    skipped = NodeRecord("later", 0, Outcome.SKIPPED)
    store.save(RECORD._replace(runs=(RUN._replace(nodes=(*RUN.nodes, skipped), node_count=7),)))
    assert (store.list()[0].nodes, store.list()[0].skipped) == (7, 2)
    store.save(RECORD._replace(runs=()))
    assert store.list()[0].nodes is None


def test_load_takes_the_beginning_of_an_id(tmp_path: Path) -> None:
    """What no other session shares is enough; what several share names them; an unknown id suggests close ones."""
    store = SQLStore(project_path=tmp_path)
    for number in (101, 102):
        store.save(record(number))
    assert store.load("2026-01-01T00.00.00.101").session_id == record(101).session_id
    with pytest.raises(StoreError, match=r"Several sessions.*\.102Z-aaaaaaaa, .*\.101Z-aaaaaaaa"):
        store.load("2026-01-01T00.00.00.10")
    with pytest.raises(StoreError, match=r"no session '2026-01-01T00.00.00.103Z'.*Did you mean .*\.102Z-aaaaaaaa"):
        store.load("2026-01-01T00.00.00.103Z")
    with pytest.raises(StoreError, match="no session ''"):
        store.load("")
    with pytest.raises(StoreError, match="no session '%'"):
        store.load("%")


def test_reading_makes_no_file(tmp_path: Path) -> None:
    """A project in which nothing ran has an empty list, and stays as it was."""
    store = SQLStore(project_path=tmp_path)
    assert store.list() == ()
    with pytest.raises(StoreError, match="No session is recorded yet"):
        store.load("x")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="permissions of this kind are POSIX")
def test_the_file_is_private(tmp_path: Path) -> None:
    """Folder 0700, file 0600, out of git's sight, with a write-ahead log."""
    SQLStore(project_path=tmp_path).save(RECORD)
    folder = tmp_path / ".treadle"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "sessions.db").stat().st_mode) == 0o600
    assert (folder / ".gitignore").read_text() == "*\n"
    connection = sqlite3.connect(folder / "sessions.db")
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def test_a_relative_url_is_of_the_project(tmp_path: Path) -> None:
    """The path of a SQLite URL starts from the project, wherever the process stands; an absolute one stays."""
    SQLStore("sqlite:///runs/all.db", project_path=tmp_path).save(RECORD)
    assert (tmp_path / "runs" / "all.db").is_file()
    SQLStore(f"sqlite:///{tmp_path}/other.db", project_path=tmp_path / "elsewhere").save(RECORD)
    assert (tmp_path / "other.db").is_file()


def test_a_store_in_memory(tmp_path: Path) -> None:
    """A store in memory lives as long as its object."""
    store = SQLStore("sqlite://", project_path=tmp_path)
    store.save(RECORD)
    assert store.load(RECORD.session_id) == RECORD
    store.close()
    assert store.list() == ()
    store.close()


class Thing:
    def __repr__(self):
        return "<Thing>"


def test_strange_values_are_kept(tmp_path: Path) -> None:
    """A NUL, a lone surrogate, a NaN or an object in a record never costs the record; params keep their types."""
    store = SQLStore(project_path=tmp_path)
    odd = RECORD._replace(
        project_path="/caf\udce9",
        extra_params={"inf": float("inf"), "set": {1, 2}, 2020: b"\0", "nul": "\0\udcff", "object": Thing()},
        error=ErrorRecord("E", "nul \0", "trace \udcff"),
    )
    store.save(odd)
    back = store.load(RECORD.session_id)
    assert back.extra_params == {"inf": float("inf"), "set": {1, 2}, 2020: b"\0", "nul": "\0\udcff", "object": "<Thing>"}
    assert type(back.extra_params["object"]) is TextOf
    assert back.error == ErrorRecord("E", "nul \\x00", "trace \\udcff")


def test_a_broken_file_is_a_clear_error(tmp_path: Path) -> None:
    """A file that is no database is named, with what to do, and is left as it is."""
    file = tmp_path / "sessions.db"
    file.write_bytes(b"this is not a database" * 100)
    with pytest.raises(StoreError, match=r"sessions\.db cannot be opened: file is not a database.*Move it away") as caught:
        SQLStore(f"sqlite:///{file}").save(RECORD)
    assert caught.value.url == f"sqlite:///{file}"
    assert caught.value.__cause__ is not None
    assert file.read_bytes().startswith(b"this is not")


def test_a_file_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    """A read-only store can be read; saving to it says so."""
    SQLStore(project_path=tmp_path).save(RECORD)
    store = SQLStore(f"sqlite:///file:{tmp_path}/.treadle/sessions.db?mode=ro&uri=true")
    assert len(store.list()) == 1
    with pytest.raises(StoreError, match=r"cannot be written: .*readonly.*Make the file and its folder writable"):
        store.save(RECORD)


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "Check whether the disk is full"),
        (OSError(errno.EFBIG, "File too large"), "Check whether the disk is full"),
        (sqlite3.OperationalError("disk I/O error"), "Check whether the disk is full"),
        (sqlite3.OperationalError("database or disk is full"), "Check whether the disk is full"),
        (sqlite3.OperationalError("database is locked"), "busy_timeout"),
        (OperationalError("INSERT", ["/mnt/disk"], sqlite3.OperationalError("database is locked")), "busy_timeout"),
        (FileExistsError(errno.EEXIST, "File exists", "/mnt/disk/.treadle"), "Check the path"),
    ],
)
def test_the_advice_fits_the_cause(error: Exception, advice: str) -> None:
    """What to do depends on what is wrong; a path whose bytes are no text is shown escaped."""
    database = SqliteFile(Path("/caf\udce9/sessions.db"))
    with pytest.raises(StoreError, match=advice) as caught, store_errors("written", database):
        raise error
    assert "udce9/sessions.db cannot be written" in str(caught.value)


def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    """Where a file stands in the way of the folder, the error says so."""
    (tmp_path / ".treadle").write_text("a file")
    with pytest.raises(StoreError, match="cannot be opened"):
        SQLStore(project_path=tmp_path).save(RECORD)


@pytest.mark.parametrize("url", [None, "sqlite:///.treadle/sessions.db?timeout=5"])
def test_a_file_in_place_of_the_folder_is_a_clear_error(tmp_path: Path, url: str | None) -> None:
    """It is not taken for a store that does not exist yet, which would be empty."""
    (tmp_path / ".treadle").write_text("not a folder")
    with pytest.raises(StoreError, match=r"cannot be opened: .*\.treadle'"):
        SQLStore(url, project_path=tmp_path).list()


@pytest.mark.parametrize("url", [None, "sqlite:///.treadle/sessions.db", "sqlite:///.treadle/sessions.db?timeout=1"])
def test_a_folder_of_another_user(tmp_path: Path, url: str | None) -> None:
    """The folder of a store is private, so for other users it is a clear error, not an empty store."""
    SQLStore(project_path=tmp_path).save(RECORD)
    uses: list[Callable[[SQLStore], object]] = [
        lambda store: store.list(),
        lambda store: store.load("2"),
        lambda store: store.last_successes("p", None),
        lambda store: store.prune(keep=1),
    ]
    (tmp_path / ".treadle").chmod(0)
    try:
        for use in uses:
            with another_user(), pytest.raises(StoreError, match=r"sessions\.db\S* cannot be read: .*Permission denied"):
                use(SQLStore(url, project_path=tmp_path))
    finally:
        (tmp_path / ".treadle").chmod(0o700)


@contextmanager
def another_user() -> Iterator[None]:
    """Be a user who has no access to private folders: root becomes another one, for anyone else their mode is sufficient."""
    if os.getuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_newer_database_is_a_clear_error(tmp_path: Path) -> None:
    """A store made by a newer Treadle is refused, for reading and for writing."""
    SQLStore(project_path=tmp_path).save(RECORD)
    connection = sqlite3.connect(tmp_path / ".treadle" / "sessions.db")
    connection.execute("INSERT INTO treadle_migrations VALUES (1000, 'future', 0)")
    connection.commit()
    connection.close()
    for use in (lambda store: store.save(RECORD), lambda store: store.list(), lambda store: store.load("2")):
        with pytest.raises(StoreError, match=r"newer Treadle.*version 1000.*pip install --upgrade treadle"):
            use(SQLStore(project_path=tmp_path))


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("nosuchdb://ada:hunter2@host/db?password=hunter2", "does not support 'nosuchdb'"),
        ("ada:hunter2@host/db", "is invalid"),
        ("postgresql+nosuchdriver://ada:hunter2@host/db", "does not support"),
        ("mysql+pymysql://ada:hunter2@host/db?ssl_key=hunter2", "driver 'pymysql' is not installed"),
        ("sqlite:////nosuchfolder\0/x.db?password=hunter2", "cannot be opened"),
    ],
)
def test_a_password_is_never_shown(tmp_path: Path, url: str, text: str) -> None:
    """Whatever is wrong with a URL, the error tells what and keeps its secrets."""
    with pytest.raises(StoreError, match=text) as caught:
        SQLStore(url, project_path=tmp_path).save(RECORD)
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in str(caught.value.url)
    assert "hunter2" not in repr(caught.value.__cause__)


def test_importing_the_store_is_cheap() -> None:
    """Neither the import nor the making of a store imports SQLAlchemy."""
    script = (
        "import sys; before = set(sys.modules);"  # coverage, where it measures, has imported sqlite3 already
        "from treadle.observe.store import SQLStore, RunRecorder; SQLStore();"
        "print([name for name in ('sqlalchemy', 'sqlite3') if name in set(sys.modules) - before])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_project_s_own_file_needs_no_sqlalchemy(tmp_path: Path) -> None:
    """A run that nothing has changed for would spend most of its time on importing it."""
    script = (
        "import sys; from treadle.observe.store import SessionRecord, SQLStore;"
        "store = SQLStore(project_path=sys.argv[1]);"
        "record = SessionRecord('s', 'p', 'p', None, 'c', {}, None, 1.0, None, None, None, None, 1, None, None, {}, {}, ());"
        "store.save(record); store.list(); store.load('s'); store.durations(); store.last_successes('p', None);"
        "store.claim_resume('s', 't', None); store.close(); print('sqlalchemy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("url", "is_file", "shown"),
    [
        (None, True, "sqlite:////project/.treadle/sessions.db"),
        ("sqlite:///data/store.db", True, "sqlite:////project/data/store.db"),
        ("sqlite:////data/store.db", True, "sqlite:////data/store.db"),
        ("sqlite+pysqlite:///data/store.db", False, "sqlite+pysqlite:////project/data/store.db"),
        ("sqlite:///data/store.db?timeout=3", False, "sqlite:////project/data/store.db?timeout=3"),
        ("sqlite:///file:/data/store.db?mode=ro&uri=true", False, "sqlite:///file:/data/store.db?mode=ro&uri=true"),
        ("sqlite:///:memory:", False, "sqlite:///:memory:"),
        ("sqlite://", False, "sqlite://"),
        ("postgresql://ada:secret@host/db", False, "postgresql://ada:***@host/db"),
    ],
)
def test_only_plain_files_are_opened_without_sqlalchemy(url: str | None, is_file: bool, shown: str) -> None:
    """What a URL says beyond a path is for SQLAlchemy, in whose terms it is documented."""
    database = database_at(url, Path("/project"))
    assert isinstance(database, SqliteFile) is is_file
    assert unquote(database.shown) == shown  # some versions of SQLAlchemy quote colons


@pytest.mark.parametrize(("driver", "seconds"), [("psycopg", 10), ("pg8000", None)])
def test_only_drivers_that_know_a_limit_of_connecting_get_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, driver: str, seconds: int | None
) -> None:
    """pg8000 has no option `connect_timeout`, and would raise a TypeError for it."""
    given: list[dict[str, object]] = []

    def make_engine(_url: object, **options: object) -> None:
        given.append(options)
        raise OSError("no server")

    monkeypatch.setattr("treadle.observe.store.engine.create_engine", make_engine)
    database = database_at(f"postgresql+{driver}://user@host/database", tmp_path)
    with pytest.raises(OSError, match="no server"):
        database.connect(1.0)
    assert given[0]["connect_args"] == ({} if seconds is None else {"connect_timeout": seconds})
