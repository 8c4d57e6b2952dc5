"""The default session store, in a SQL database.

::

    during a run ── RecordParts ──▶ LiveWriter ─┐
    Session.close() ── SessionRecord ──▶ SQLStore.save ──┴─ rows ──▶ SQLite file of the project, or another database
    treadle sessions list | show ◀── SessionSummary | SessionRecord ── SQLStore.list | load

The database is opened on first use, so creating a store is cheap and `import treadle.session` imports no driver.
State: the database, and whether it is migrated; for each session that is being recorded, the rows that are in the database.

Neighbours: `records.py` defines the records, `session_rows.py` writes them, `sqlite.py` and `engine.py` open the database.
"""

from __future__ import annotations

import sys
import threading
from collections import defaultdict
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from treadle.collector import collection_paused
from treadle.errors import StoreError
from treadle.forks import fork_safe
from treadle.observe.store.file import default_file, writing_problem
from treadle.observe.store.history_access import HistoryAccess
from treadle.observe.store.pruning import PruneAccess
from treadle.observe.store.queue_access import QueueAccess
from treadle.observe.store.resume_access import ResumeAccess
from treadle.observe.store.success_access import SuccessAccess

if TYPE_CHECKING:
    from collections.abc import Iterator

    from treadle.observe.store.connection import Database, StoreConnection
    from treadle.observe.store.live_writer import LiveWriter
    from treadle.observe.store.parts import RecordParts
    from treadle.observe.store.records import SessionRecord, SessionSummary
    from treadle.observe.store.rows import Row
    from treadle.observe.store.session_rows import SessionRows

DEFAULT_BUSY_TIMEOUT = 60.0
"""Seconds that a writer waits for other writers: many processes may save at the same time."""


class SQLStore(SuccessAccess, ResumeAccess, HistoryAccess, PruneAccess, QueueAccess):
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
        self._database: Database | None = None
        self._is_migrated = False
        self._is_kept = False  # whether connections stay open between uses
        self._lock = fork_safe(threading.Lock())
        self._recorded: dict[str, SessionRows] = {}  # of sessions that are being recorded, by id

    @collection_paused()  # as in `RunRecorder.record`
    def save(self, record: SessionRecord) -> None:
        """Keep a session; one that is already there by the same id is replaced.

        Args:
            record: the session.

        Raises:
            StoreError: it could not be written.
        """
        self._import_database()
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
        from treadle.observe.store.database_errors import retry_while_locked

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
        self._import_database()
        from treadle.observe.store.live_writer import BUSY_TIMEOUT, LiveWriter
        from treadle.observe.store.session_rows import SessionRows

        if self._get_database().is_in_memory:
            return None
        rows = self._recorded[session_id] = SessionRows(session_id)
        # With a shorter timeout, as the writer may try again later. An engine has one timeout, so it is not shared.
        store = SQLStore(self._given_url, project_path=self._project_path, busy_timeout=BUSY_TIMEOUT)
        store._is_migrated = self._is_migrated
        store._database = self._database if self._is_kept else None
        return LiveWriter(rows, store._connect, store.close)

    def _connect(self) -> StoreConnection:
        """Open a connection to the migrated database; the caller closes it."""
        from treadle.observe.store.database_errors import store_errors

        database = self._get_database()
        with store_errors("opened", database):
            return self._open(database)

    def keep_open(self) -> None:
        """Keep connections open between uses from now on, for a process that records many sessions."""
        self._import_database()
        self._is_kept = self._get_database().keep_open()

    def check_writable(self) -> None:
        """Check before a run that its record can be saved; imports no driver for the project's default file.

        Raises:
            StoreError: the database cannot be opened or written to.
        """
        if self._given_url is None:
            problem = writing_problem(default_file(self._project_path))
            if problem is not None:
                raise StoreError(problem, url=f"sqlite:///{default_file(self._project_path)}")
            return
        self._import_database()
        from treadle.observe.store.database_errors import store_errors

        database = self._get_database()
        with store_errors("written", database):
            database.check_writable()
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
        self._import_database()
        from treadle.observe.store import rows
        from treadle.observe.store.log_lines import LogBatch
        from treadle.observe.store.lookup import unknown_session, whole_id
        from treadle.observe.store.node_rows import node_from
        from treadle.observe.store.run_graph import RunGraph
        from treadle.observe.store.statements import listed

        if self._is_missing():
            raise unknown_session(session_id, [])
        of_session = "WHERE session_id = :session_id"
        with self._connected("read") as connection:
            values = {"session_id": whole_id(connection, session_id)}
            (session,) = connection.select_rows(f"SELECT * FROM treadle_sessions {of_session}", values)
            run_rows = connection.select_rows(f"SELECT * FROM treadle_runs {of_session} ORDER BY number", values)
            nodes = defaultdict(list)
            for row in connection.select_rows(f"SELECT * FROM treadle_nodes {of_session} ORDER BY position", values):
                nodes[row["run"]].append(node_from(row))
            workers = defaultdict(list)
            for row in connection.select_rows(f"SELECT * FROM treadle_workers {of_session} ORDER BY position", values):
                workers[row["run"]].append(rows.worker_from(row))
            logs = defaultdict(list)
            for row in connection.select_rows(f"SELECT run, lines FROM treadle_logs {of_session} ORDER BY position", values):
                logs[row["run"]].append(LogBatch(row["lines"]))
            graphs = {}
            if digests := sorted({row["graph"] for row in run_rows if row["graph"] is not None}):
                names, values = listed("digest", digests)
                found = connection.select(f"SELECT digest, graph FROM treadle_graphs WHERE digest IN ({names})", values)
                graphs = {digest: RunGraph.from_text(text) for digest, text in found}
            runs = [
                rows.run_from(row, nodes[row["number"]], workers[row["number"]], graphs.get(row["graph"])) for row in run_rows
            ]
            runs = [run._replace(log=tuple(logs[run.number])) for run in runs]
        return rows.session_from(session, runs)

    def list(self, limit: int = 20) -> tuple[SessionSummary, ...]:
        """Return the newest sessions.

        Args:
            limit: maximum number of sessions.

        Returns:
            Their summaries, newest first; empty if no session is recorded.

        Raises:
            StoreError: the database cannot be read.
        """
        return self._newest(limit, None)

    def sessions_of(self, package_name: str, limit: int = 20) -> tuple[SessionSummary, ...]:
        """Return the newest sessions of one package, as `list` does; a database may have those of several.

        Args:
            package_name: the package.
            limit: maximum number of sessions.
        """
        return self._newest(limit, package_name)

    def _newest(self, limit: int, package_name: str | None) -> tuple[SessionSummary, ...]:
        self._import_database()
        from treadle.observe.store import rows
        from treadle.observe.store.statements import listed

        if self._is_missing():
            return ()
        runs: defaultdict[str, list[Row]] = defaultdict(list)
        counts: dict[tuple[str, int], dict[str, int]] = defaultdict(dict)
        with self._connected("read") as connection:
            of_package = "WHERE package_name = :package_name " if package_name is not None else ""
            newest = f"SELECT * FROM treadle_sessions {of_package}ORDER BY session_id DESC LIMIT :limit"
            sessions = connection.select_rows(newest, {"limit": limit, "package_name": package_name})
            if not sessions:
                return ()
            ids, values = listed("id", [row["session_id"] for row in sessions])
            of_sessions = f"WHERE session_id IN ({ids})"
            columns = "session_id, number, pipelines, runner, start_method, node_count"  # not the samples of memory: many
            for row in connection.select_rows(
                f"SELECT {columns} FROM treadle_runs {of_sessions} ORDER BY session_id, number", values
            ):
                runs[row["session_id"]].append(row)
            for session_id, run, outcome, count in connection.select(
                f"SELECT session_id, run, outcome, COUNT(DISTINCT node) FROM treadle_nodes {of_sessions} "
                "AND (retried IS NULL OR NOT retried) GROUP BY session_id, run, outcome",
                values,
            ):
                counts[session_id, run][outcome] = count
        return tuple(
            rows.summary_from(row, runs[row["session_id"]], counts.get((row["session_id"], len(runs[row["session_id"]])), {}))
            for row in sessions
        )

    def close(self) -> None:
        """Close the database; the next use opens it again."""
        with self._lock:
            self._is_migrated = False
            if self._database is not None:
                self._database.close()

    @contextmanager
    def _connected(self, doing: str) -> Iterator[StoreConnection]:
        """Open a connection to the migrated database for the length of the block, which is one transaction if it reads."""
        from treadle.observe.store.database_errors import store_errors

        database = self._get_database()
        with store_errors("opened", database):
            connection = self._open(database, only_reads=doing == "read")
        with connection, store_errors(doing, database):
            if doing != "read":
                yield connection
                return
            with connection.transaction(writes=False):
                yield connection

    def _open(self, database: Database, *, only_reads: bool = False) -> StoreConnection:
        """Open a connection and migrate the database, retrying while it is locked."""
        from treadle.observe.store.database_errors import retry_while_locked
        from treadle.observe.store.migrations import migrate

        connection = retry_while_locked(self._busy_timeout, lambda: database.connect(self._busy_timeout, only_reads=only_reads))
        try:
            if not self._is_migrated or connection.has_new_file:  # the old file may have been removed meanwhile
                retry_while_locked(self._busy_timeout, lambda: migrate(connection))
                self._is_migrated = True
        except BaseException:
            connection.close()
            raise
        return connection

    def _get_database(self) -> Database:
        """Return the database, which is not opened yet.

        Raises:
            StoreError: its URL is invalid.
        """
        with self._lock:
            if self._database is None:
                from treadle.observe.store.choice import database_at

                self._database = database_at(self._given_url, self._project_path)
            return self._database

    def _is_missing(self) -> bool:
        database = self._get_database()
        try:
            return database.is_missing
        except OSError:  # for example the folder of another user, which may not be searched
            from treadle.observe.store.database_errors import store_errors

            with store_errors("read", database):
                raise

    def _import_database(self) -> None:
        """Import the driver with signals deferred: an interrupt would leave the import incomplete, and no record saved."""
        if _LAST_IMPORTED not in sys.modules or self._database is None:
            from treadle.execution.processes.interrupts import interrupts_deferred

            with interrupts_deferred():
                from treadle.observe.store import live_writer, migrations  # noqa: F401 - imported for the side effect

                self._get_database()


_LAST_IMPORTED = "treadle.observe.store.migrations"
