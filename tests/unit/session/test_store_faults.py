"""A store that cannot be used does not fail a run: one warning says so, and what can be recorded later is recorded later."""

from __future__ import annotations

import logging
import resource
import sqlite3
from contextlib import ExitStack, closing, contextmanager
from types import SimpleNamespace

import pytest

from treadle import ParallelRunner
from treadle.errors import SessionError, StoreError
from treadle.events import Outcome, RunFinished
from treadle.observe.store import SQLStore, live, live_writer
from treadle.observe.store.records import SessionState
from treadle.session import ServiceSession, Session
from treadle.session.shared_store import SharedStore

WARNING = "is not up to date in its store"
LOST = "could not be saved"


@pytest.fixture(autouse=True)
def _is_soon_sure(monkeypatch):
    """The first failed write is tried again at once, so that no test waits for the second one. A slow disk is no fault."""
    for name in ("START_SECONDS", "STOP_SECONDS"):
        monkeypatch.setattr(live, name, 60.0)
    monkeypatch.setattr(live, "RETRY_SECONDS", 0.0)
    monkeypatch.setattr(live, "INTERVAL_SECONDS", 0.01)
    monkeypatch.setattr(live_writer, "BUSY_TIMEOUT", 0.0)


@contextmanager
def damaged(root):
    """The file is no database; then it is moved away."""
    (root / ".treadle").mkdir(exist_ok=True)
    file = root / ".treadle" / "sessions.db"
    file.write_text("this is no database")
    yield "it is damaged, or no SQLite database"
    file.unlink()


@contextmanager
def blocked(root):
    """A file is where the folder should be."""
    (root / ".treadle").write_text("in the way")
    yield "is not a folder"
    (root / ".treadle").unlink()


@contextmanager
def locked(root):
    """Another process writes for a long time."""
    SQLStore(project_path=root).save_successes("another", None, {})
    with closing(sqlite3.connect(root / ".treadle" / "sessions.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield "database is locked"
        other.execute("ROLLBACK")


@contextmanager
def full(root):
    """Files cannot grow beyond some pages, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, before[1]))
    try:
        yield "Check whether the disk is full"
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def newer(root):
    """A newer Treadle has changed the tables."""
    store = SQLStore(project_path=root)
    store.save_successes("another", None, {})
    change = "DELETE FROM treadle_migrations WHERE number = 999"
    with closing(sqlite3.connect(root / ".treadle" / "sessions.db")) as other:
        with other:
            other.execute("INSERT INTO treadle_migrations VALUES (999, 'from the future', 1.0)")
        yield "was made by a newer Treadle"
        with other:
            other.execute(change)


FAULTS = [damaged, blocked, locked, full, newer]


def messages(caplog, words):
    """Return what was logged with these words."""
    return [record.getMessage() for record in caplog.records if words in record.getMessage()]


@pytest.fixture(params=["sequential", "parallel"])
def runner(request):
    """A runner in this process, or with a worker process."""
    if request.param == "sequential":
        yield "sequential"
        return
    with ParallelRunner(1, "fork") as made:
        yield made


@pytest.mark.parametrize("fault", FAULTS)
def test_a_run_goes_on_and_is_recorded_later(make_project, caplog, fault, runner):
    """The fault ends before the session closes: there is one warning, and the record is complete."""
    root = make_project()
    with ExitStack() as until_mended, Session.create() as session:
        problem = until_mended.enter_context(fault(root))
        session.run(runner=runner)
        assert (root / "data" / "scaled.json").exists()
        (warning,) = messages(caplog, WARNING)
        assert problem in warning
        assert "The run continues" in warning
        until_mended.close()
    assert [record.levelno for record in caplog.records if record.levelno >= logging.WARNING] == [logging.WARNING]
    record = SQLStore(project_path=root).load(session.session_id)
    assert record.outcome is Outcome.SUCCEEDED
    assert [node.outcome for node in record.runs[0].nodes] == [Outcome.SUCCEEDED] * 2


@pytest.mark.parametrize(
    ("url", "problem", "is_there"),
    [
        ("postgresql+psycopg://nobody@127.0.0.1:1/none", "Check that the server is reachable", True),
        ("sqlite:////proc/treadle/sessions.db", "Check the path and its permissions", False),
        ("sqlite:///data/raw.txt", "file is not a database", True),
    ],
)
def test_a_run_whose_store_stays_unreachable_succeeds(make_project, caplog, url, problem, is_there):
    """A warning at the beginning, another one if nothing can be skipped, and an error at the end: the record is lost."""
    if url.startswith("postgresql"):
        pytest.importorskip("psycopg", reason="this environment has no driver for PostgreSQL")
    root = make_project(settings=f"SESSION_STORE_ARGS = {{'url': {url!r}}}")
    with Session.create() as session:
        session.run(runner="sequential", skip_unchanged=True)
    assert (root / "data" / "scaled.json").exists()
    (warning,), (lost,) = (messages(caplog, words) for words in (WARNING, LOST))
    assert problem in warning
    assert "The run itself succeeded" in lost
    skips = messages(caplog, "No node is skipped")
    assert [problem in each for each in skips] == [True] * is_there
    assert sum(record.levelno >= logging.WARNING for record in caplog.records) == 2 + is_there


@pytest.mark.parametrize(
    "fault", [fault for fault in FAULTS if fault is not locked]
)  # the last attempt waits a minute for a lock
def test_a_failed_run_is_not_continued_from_a_record_that_is_not_there(make_project, caplog, fault):
    """Without a record, the command that continues the run names the nodes: `--resume` would continue an earlier one."""
    root = make_project()
    with fault(root), pytest.raises(Exception, match="broken") as caught, Session.create() as session:
        session.run("bad", runner="sequential")
    assert "--resume" not in caught.value.resume
    assert messages(caplog, LOST)


@pytest.mark.parametrize("fault", [damaged, newer])
def test_what_needs_the_store_is_refused(make_project, fault):
    """A session cannot be resumed, and it is not said what is up to date, from a store that cannot be read."""
    root = make_project()
    with Session.create() as session:
        session.run("other", runner="sequential")
    with fault(root):
        with pytest.raises(StoreError, match=r"damaged|newer"):
            Session.create(resume=session.session_id)
        with Session.create(save_on_close=False) as other, pytest.raises((StoreError, SessionError)):
            other.status()


def test_wrong_settings_are_an_error_before_the_run(make_project):
    """A URL that can never work is a mistake that has to be corrected: nothing runs."""
    root = make_project(settings="SESSION_STORE_ARGS = {'url': 'nothing://x'}")
    with pytest.raises(StoreError, match="Correct the URL"), Session.create() as session:
        session.run(runner="sequential")
    assert not (root / "data" / "scaled.json").exists()


def test_a_service_saves_later_what_could_not_be_saved(make_project, caplog):
    """A run whose last record is not saved is shown as running until the next run begins, or the service ends."""
    root = make_project(settings="SESSION_STORE_ARGS = {'busy_timeout': 0.0}")
    kept = ExitStack()

    def lock_at_the_end(event):
        if isinstance(event, RunFinished):
            kept.enter_context(locked(root))

    def states():
        with closing(SQLStore(project_path=root)) as store:
            return [each.state for each in reversed(store.list())]

    with ServiceSession.create(runner="sequential") as service:
        lost = service.run("other", observers=[lock_at_the_end]).run_id
        (logged,) = messages(caplog, LOST)
        assert lost in logged
        assert "is saved as soon as that is possible" in logged
        assert service.store.unsaved == {lost}
        with pytest.raises(StoreError, match="locked"):
            service.store.save_unsaved()
        kept.close()
        assert states() == [SessionState.RUNNING]
        service.run("other")
        assert not service.store.unsaved
        assert states() == [SessionState.FINISHED] * 2
        service.run("other", observers=[lock_at_the_end])
        kept.close()
        assert states() == [SessionState.FINISHED] * 2 + [SessionState.RUNNING]
    assert states() == [SessionState.FINISHED] * 3


def test_a_service_says_which_record_it_gives_up(monkeypatch, caplog):
    """Of very many records that cannot be saved, the oldest are lost, one by one."""

    class Broken:
        def save(self, record):
            msg = "no disk"
            raise StoreError(msg)

    monkeypatch.setattr("treadle.session.shared_store.MOST_UNSAVED", 2)
    store = SharedStore(Broken())
    for name in ("first", "second", "third"):
        with pytest.raises(StoreError):
            store.save(SimpleNamespace(session_id=name))
    assert store.unsaved == {"second", "third"}
    assert [each for each in caplog.messages if "is lost" in each] == [
        "The end of session first is lost: more than 2 records wait until the session store can be written."
    ]
