"""The default session store, on SQLAlchemy.

::

    during a run ── RecordParts ──▶ LiveWriter ─┐
    Session.close() ── SessionRecord ──▶ SQLStore.save ──┴─ rows ──▶ SQLite file of the project, or another database
    treadle sessions list | show ◀── SessionSummary | SessionRecord ── SQLStore.list | load

The database is opened on first use, so creating a store is cheap and `import treadle.session` does not import SQLAlchemy.
State: the engine of an open, migrated database; for each session that is being recorded, the rows that are in the database.

Neighbours: `records.py` defines the records, `session_rows.py` writes them, `engine.py` and `migrations.py` open the database.
"""

from __future__ import annotations

import errno
import sys
import threading
from collections import defaultdict
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from treadle.errors import StoreError
from treadle.events import Outcome
from treadle.execution.processes.interrupts import interrupts_deferred
from treadle.forks import fork_safe
from treadle.observe.store.file import default_file, writing_problem
from treadle.observe.store.resume_access import ResumeAccess
from treadle.observe.store.success_access import SuccessAccess

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection, Engine
    from sqlalchemy.engine import URL

    from treadle.observe.store.live_writer import LiveWriter
    from treadle.observe.store.parts import RecordParts
    from treadle.observe.store.records import SessionRecord, SessionSummary
    from treadle.observe.store.rows import Row
    from treadle.observe.store.session_rows import SessionRows

DEFAULT_BUSY_TIMEOUT = 60.0
"""Seconds that a writer waits for other writers: many processes may save at the same time."""


class SQLStore(SuccessAccess, ResumeAccess):
    """A store in any database that SQLAlchemy supports; SQLite and PostgreSQL are tested.

    Args:
        url: an SQLAlchemy URL; by default the file `.treadle/sessions.db` of the project. The path of a SQLite URL is
            relative to the project.
        project_path: the project; the working directory by default.
        busy_timeout: seconds to wait for other processes that write to the same SQLite file.

    Raises:
        StoreError: raised by every method if the database cannot be used; passwords are never shown.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        project_path: str | Path | None = None,
        busy_timeout: float = DEFAULT_BUSY_TIMEOUT,
    ) -> None:
        self._given_url = url
        self._project_path = Path(project_path or Path.cwd()).absolute()
        self._busy_timeout = busy_timeout
        self._opened: Engine | None = None
        self._lock = fork_safe(threading.Lock())
        self._recorded: dict[str, SessionRows] = {}  # of sessions that are being recorded, by id

    def save(self, record: SessionRecord) -> None:
        """Keep a session; one that is already there by the same id is replaced.

        Args:
            record: the session.

        Raises:
            StoreError: it could not be written.
        """
        _import_database()
        from treadle.observe.store.parts import RecordParts
        from treadle.observe.store.session_rows import RowsGoneError, SessionRows

        parts = RecordParts()
        parts.add_session(record)
        rows = self._recorded.pop(record.session_id, None) or SessionRows(record.session_id)
        was_known = rows.is_known
        try:
            self._write(rows, parts)
        except (StoreError, RowsGoneError):
            if not was_known:
                raise
            # The database may have been replaced during the run: open it as a new one, and write all rows.
            self.close()
            rows.forget()
            self._write(rows, parts)

    def _write(self, rows: SessionRows, parts: RecordParts) -> None:
        from treadle.observe.store.engine import retry_while_locked

        with self._connected("written") as connection:
            retry_while_locked(self._busy_timeout, lambda: rows.write(connection, parts, is_whole=True))

    def live_writer(self, session_id: str) -> LiveWriter | None:
        """Return a writer for the record of a session that is running.

        Args:
            session_id: the session.

        Returns:
            The writer, for one thread at a time; None if records are only saved as a whole: in a database in memory, which no
            other process can read, and in a subclass with its own `save`.
        """
        if type(self).save is not SQLStore.save:
            return None
        _import_database()
        from treadle.observe.store.engine import is_in_memory
        from treadle.observe.store.live_writer import BUSY_TIMEOUT, LiveWriter
        from treadle.observe.store.session_rows import SessionRows

        if is_in_memory(self._url()):
            return None
        rows = self._recorded[session_id] = SessionRows(session_id)
        # Another instance, with its own engine and a shorter timeout: the writer may try again later.
        store = SQLStore(self._given_url, project_path=self._project_path, busy_timeout=BUSY_TIMEOUT)
        return LiveWriter(rows, store._connect, store.close)

    def _connect(self) -> Connection:
        """Open a connection to the migrated database; the caller closes it."""
        from treadle.observe.store.engine import store_errors

        url = self._url()
        with store_errors("opened", url):
            return self._open(url)

    def check_writable(self) -> None:
        """Check before a run that its record can be saved; does not import SQLAlchemy for the project's default file.

        Raises:
            StoreError: the database cannot be opened or written to.
        """
        if self._given_url is None:
            problem = writing_problem(default_file(self._project_path))
            if problem is not None:
                raise StoreError(problem, url=f"sqlite:///{default_file(self._project_path)}")
            return
        _import_database()
        from treadle.observe.store.engine import is_read_only, store_errors

        url = self._url()
        with store_errors("written", url):
            if is_read_only(url):
                raise PermissionError(errno.EACCES, "it is read-only", url.database)
        with self._connected("opened"):
            pass

    def load(self, session_id: str) -> SessionRecord:
        """Return a session.

        Args:
            session_id: its id, or a unique prefix of it.

        Returns:
            The complete record, with all runs, nodes and workers.

        Raises:
            StoreError: the session does not exist, the prefix is ambiguous, or the database cannot be read.
        """
        _import_database()
        from sqlalchemy import select

        from treadle.observe.store import rows
        from treadle.observe.store.lookup import unknown_session, whole_id
        from treadle.observe.store.schema import NODES, RUNS, SESSIONS, WORKERS

        if self._is_missing():
            raise unknown_session(session_id, [])
        with self._connected("read") as connection:
            whole = whole_id(connection, session_id)
            session = connection.execute(select(SESSIONS).where(SESSIONS.c.session_id == whole)).mappings().one()
            run_rows = connection.execute(select(RUNS).where(RUNS.c.session_id == whole).order_by(RUNS.c.number)).mappings()
            nodes = defaultdict(list)
            for row in connection.execute(select(NODES).where(NODES.c.session_id == whole).order_by(NODES.c.position)).mappings():
                nodes[row["run"]].append(rows.node_from(_named(row)))
            workers = defaultdict(list)
            for row in connection.execute(
                select(WORKERS).where(WORKERS.c.session_id == whole).order_by(WORKERS.c.position)
            ).mappings():
                workers[row["run"]].append(rows.worker_from(_named(row)))
            runs = [rows.run_from(_named(row), nodes[row["number"]], workers[row["number"]]) for row in run_rows]
        return rows.session_from(_named(session), runs)

    def list(self, limit: int = 20) -> tuple[SessionSummary, ...]:
        """Return the newest sessions.

        Args:
            limit: maximum number of sessions.

        Returns:
            Their summaries, newest first; empty if no session is recorded.

        Raises:
            StoreError: the database cannot be read.
        """
        _import_database()
        from sqlalchemy import func, select

        from treadle.observe.store import rows
        from treadle.observe.store.schema import NODES, RUNS, SESSIONS

        if self._is_missing():
            return ()
        with self._connected("read") as connection:
            sessions = connection.execute(select(SESSIONS).order_by(SESSIONS.c.session_id.desc()).limit(limit)).mappings().all()
            ids = [row["session_id"] for row in sessions]
            runs: defaultdict[str, list[Row]] = defaultdict(list)
            for row in connection.execute(
                select(RUNS).where(RUNS.c.session_id.in_(ids)).order_by(RUNS.c.session_id, RUNS.c.number)
            ).mappings():
                runs[row["session_id"]].append(_named(row))
            counts: dict[tuple[str, int], dict[str, int]] = defaultdict(dict)
            for session_id, run, outcome, count in connection.execute(
                select(NODES.c.session_id, NODES.c.run, NODES.c.outcome, func.count(NODES.c.node.distinct()))
                .where(NODES.c.session_id.in_(ids))
                .group_by(NODES.c.session_id, NODES.c.run, NODES.c.outcome)
            ):
                counts[session_id, run][outcome] = count
        return tuple(
            rows.summary_from(
                _named(row), runs[row["session_id"]], counts.get((row["session_id"], len(runs[row["session_id"]])), {})
            )
            for row in sessions
        )

    def durations(self, sessions: int = 5) -> dict[str, float]:
        """Return the durations of nodes in the latest sessions.

        Args:
            sessions: number of sessions to consider.

        Returns:
            The median seconds of each node's successful attempts, by node name; empty if no session is recorded.

        Raises:
            StoreError: the database cannot be read.
        """
        _import_database()
        from statistics import median

        from sqlalchemy import exists, select

        from treadle.observe.store.schema import NODES, SESSIONS

        if self._is_missing():
            return {}
        seconds: defaultdict[str, list[float]] = defaultdict(list)
        with self._connected("read") as connection:
            # Not a session that has just begun, such as the one that asks.
            has_durations = exists().where(
                NODES.c.session_id == SESSIONS.c.session_id, NODES.c.outcome == Outcome.SUCCEEDED.value
            )
            newest = select(SESSIONS.c.session_id).where(has_durations).order_by(SESSIONS.c.session_id.desc())
            latest = newest.limit(sessions).scalar_subquery()
            for node, started, finished in connection.execute(
                select(NODES.c.node, NODES.c.started, NODES.c.finished)
                .where(NODES.c.session_id.in_(latest))
                .where(NODES.c.outcome == Outcome.SUCCEEDED.value)
            ):
                if started is not None and finished is not None:
                    seconds[node].append(finished - started)
        return {node: median(each) for node, each in seconds.items()}

    def close(self) -> None:
        """Close the database; the next use opens it again."""
        with self._lock:
            if self._opened is not None:
                self._opened.dispose()
                self._opened = None

    @contextmanager
    def _connected(self, doing: str) -> Iterator[Connection]:
        """Open a connection to the migrated database for the length of the block."""
        from treadle.observe.store.engine import is_read_only, read_only_urls, store_errors

        url = self._url()
        with ExitStack() as stack:
            with store_errors("opened", url):
                if doing == "read" and is_read_only(url):
                    live, frozen = read_only_urls(url)
                    try:
                        connection = stack.enter_context(self._open(live))
                    except Exception:  # noqa: BLE001 - any failure: fall back to the URL without concurrent writes
                        connection = stack.enter_context(self._open(frozen))
                else:
                    connection = stack.enter_context(self._open(url))
            with store_errors(doing, url):
                yield connection

    def _open(self, url: URL) -> Connection:
        """Open a connection and migrate the database, retrying while it is locked."""
        from treadle.observe.store.engine import open_engine, retry_while_locked
        from treadle.observe.store.migrations import migrate

        with self._lock:
            engine = self._opened if self._opened is not None and self._opened.url == url else None
        is_new = engine is None
        engine = engine or open_engine(url, self._busy_timeout)
        connection = retry_while_locked(self._busy_timeout, engine.connect)
        try:
            if is_new:
                retry_while_locked(self._busy_timeout, lambda: migrate(connection))
                self._opened = engine
        except BaseException:
            connection.close()
            raise
        return connection

    def _url(self) -> URL:
        from treadle.observe.store.engine import resolve_url

        return resolve_url(self._given_url, self._project_path)

    def _is_missing(self) -> bool:
        """Return whether the store is a SQLite file that does not exist yet, as reading must not create it."""
        from treadle.observe.store.engine import sqlite_file

        file = sqlite_file(self._url())
        return file is not None and not file.exists()


def _import_database() -> None:
    """Import SQLAlchemy with signals deferred: an interrupt during the import would leave it incomplete, and no record saved."""
    if _LAST_IMPORTED not in sys.modules:
        with interrupts_deferred():
            from treadle.observe.store import live_writer, migrations  # noqa: F401 - imported for the side effect


_LAST_IMPORTED = "treadle.observe.store.migrations"


def _named(row: object) -> Row:
    """Convert an SQLAlchemy row to a dictionary."""
    return dict(row)  # type: ignore[call-overload, no-any-return]  # RowMapping's key type is wider than our Row's
