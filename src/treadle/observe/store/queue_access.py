"""The methods of the SQL store for services and servers: the queue of a server, so that queued runs survive the server.

A queued run belongs to the process that accepted it. When that process is gone, another one may adopt the run.

State: none besides the store's. Neighbours: `store.py`, whose class inherits from this one; `queued_run.py` has the records;
`treadle.server.queue` uses them.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from treadle.observe.store.database_access import DatabaseAccess
from treadle.observe.store.liveness import SessionProcess, is_alive, this_process
from treadle.observe.store.queued_run import QUEUED, QueuedRun

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from treadle.observe.store.connection import StoreConnection
    from treadle.observe.store.rows import Row


class QueueAccess(DatabaseAccess):
    """The runs that servers have accepted, in a database."""

    def queue_run(self, run: QueuedRun) -> QueuedRun:
        """Add a run, unless there is one of the same package with the same key.

        Args:
            run: the run.

        Returns:
            The run with that key: the given one if it was added.

        Raises:
            StoreError: the database cannot be written.
        """
        from treadle.observe.store.statements import QUEUE, UPSERTS, insert

        def write(connection: StoreConnection) -> QueuedRun:
            row = _row_of(run)
            unless_known = " ON CONFLICT DO NOTHING" if connection.dialect in UPSERTS else ""
            if connection.execute(insert(QUEUE, row) + unless_known, [row]):
                return run
            query = "SELECT * FROM treadle_queue WHERE package_name = :package AND client_key = :key"
            (known,) = connection.select_rows(query, {"package": run.package_name, "key": run.key})
            return _run_from(known)

        return self._write_rows(write)

    def find_queued(self, run_id: str) -> QueuedRun | None:
        """Return a run that a server accepted; None if there is none with this id.

        Args:
            run_id: the whole id.

        Raises:
            StoreError: the database cannot be read.
        """
        found = self._queue_rows("run_id = :run_id", {"run_id": run_id})
        return found[0] if found else None

    def find_queued_by_key(self, package_name: str, key: str) -> QueuedRun | None:
        """Return the run that was accepted with a key; None if there is none.

        Args:
            package_name: the project's package.
            key: the client's key.

        Raises:
            StoreError: the database cannot be read.
        """
        found = self._queue_rows("package_name = :package AND client_key = :key", {"package": package_name, "key": key})
        return found[0] if found else None

    def newest_queued(self, package_name: str, limit: int) -> tuple[QueuedRun, ...]:
        """Return the newest runs of a package whose state is that in the queue: all but those whose end their session records.

        They wait, have started, were cancelled, or were lost before they started.

        Args:
            package_name: the project's package.
            limit: maximum number of runs.

        Returns:
            The runs, the newest first.

        Raises:
            StoreError: the database cannot be read.
        """
        where = "package_name = :package AND state IN ('queued', 'cancelled', 'lost') ORDER BY run_id DESC LIMIT :limit"
        return self._queue_rows(where, {"package": package_name, "limit": limit})

    def end_queued(self, run_ids: Sequence[str], state: str, *, keeps_request: bool) -> None:
        """Note that runs have ended.

        Args:
            run_ids: the runs.
            state: `CANCELLED`, `ENDED` or `LOST`.
            keeps_request: whether the requests are still needed, to resume the runs.

        Raises:
            StoreError: the database cannot be written.
        """
        change = "state = :state" if keeps_request else "state = :state, request = ''"
        statement = f"UPDATE treadle_queue SET {change} WHERE run_id = :run_id"
        rows = [{"run_id": run_id, "state": state} for run_id in run_ids]
        self._write_rows(lambda connection: connection.execute(statement, rows))

    def has_session(self, session_id: str) -> bool:
        """Return whether a session with exactly this id is recorded.

        Args:
            session_id: the whole id.

        Raises:
            StoreError: the database cannot be read.
        """
        query = "SELECT 1 FROM treadle_sessions WHERE session_id = :session_id"
        with self._connected("read") as connection:
            return bool(connection.select(query, {"session_id": session_id}))

    def goes_on(self, run_id: str) -> bool:
        """Return whether a run waits, or runs in any process that exists.

        Args:
            run_id: the whole id.

        Raises:
            StoreError: the database cannot be read.
        """
        from treadle.observe.store.records import SessionState
        from treadle.observe.store.rows import state_of

        columns = "finished, host, pid, process_started, boot_id, heartbeat"
        with self._connected("read") as connection:
            sessions = connection.select_rows(
                f"SELECT {columns} FROM treadle_sessions WHERE session_id = :run_id", {"run_id": run_id}
            )
        if sessions:
            return state_of(sessions[0]) is SessionState.RUNNING
        queued = self.find_queued(run_id)
        return queued is not None and queued.waits

    def adopt_queued(self, package_name: str) -> tuple[QueuedRun, ...]:
        """Take over the runs of a package that have not ended and whose process is gone.

        Args:
            package_name: the project's package.

        Returns:
            The runs, in the order in which they were accepted; they belong to this process now.

        Raises:
            StoreError: the database cannot be written.
        """
        query = "SELECT * FROM treadle_queue WHERE package_name = :package AND state = :state ORDER BY run_id"
        ours, now = this_process(), time.time()

        def write(connection: StoreConnection) -> tuple[QueuedRun, ...]:
            rows = connection.select_rows(query, {"package": package_name, "state": QUEUED})
            runs = [_run_from(row) for row in rows]
            found = tuple(run for run in runs if run.process != ours and not is_alive(run.process, run.heartbeat))
            owner = {"host": ours.host, "pid": ours.pid, "process_started": ours.started, "boot_id": ours.boot_id}
            statement = (
                "UPDATE treadle_queue SET host = :host, pid = :pid, process_started = :process_started, boot_id = :boot_id, "
                "heartbeat = :heartbeat "
                "WHERE run_id = :run_id AND state = :state AND pid = :old_pid AND heartbeat = :old_heartbeat"
            )  # unless another server, or the owner itself, has changed the row since it was read
            common = {**owner, "heartbeat": now, "state": QUEUED}
            olds = [{"run_id": run.run_id, "old_pid": run.process.pid, "old_heartbeat": run.heartbeat} for run in found]
            return tuple(run for run, old in zip(found, olds, strict=True) if connection.execute(statement, [{**common, **old}]))

        return self._write_rows(write)

    def keep_queue(self, package_name: str, *, forget_before: float) -> None:
        """Note that this process is alive, and forget runs that ended long ago.

        Args:
            package_name: the project's package.
            forget_before: forget the ended runs that were accepted before this time, in seconds since the epoch.

        Raises:
            StoreError: the database cannot be written.
        """
        ours = this_process()
        alive = (
            "UPDATE treadle_queue SET heartbeat = :now WHERE package_name = :package AND state = :state AND pid = :pid "
            "AND host = :host"
        )
        old = "DELETE FROM treadle_queue WHERE package_name = :package AND state <> :state AND submitted < :before"

        def write(connection: StoreConnection) -> None:
            common = {"package": package_name, "state": QUEUED}
            connection.execute(alive, [{**common, "now": time.time(), "pid": ours.pid, "host": ours.host}])
            connection.execute(old, [{**common, "before": forget_before}])

        self._write_rows(write)

    def _queue_rows(self, where: str, values: Mapping[str, object]) -> tuple[QueuedRun, ...]:
        if self._is_missing():
            return ()
        with self._connected("read") as connection:
            rows = connection.select_rows(f"SELECT * FROM treadle_queue WHERE {where}", values)
        return tuple(_run_from(row) for row in rows)


def _row_of(run: QueuedRun) -> Row:
    return {
        "run_id": run.run_id,
        "package_name": run.package_name,
        "submitted": run.submitted,
        "state": run.state,
        "request": run.request,
        "digest": run.digest,
        "has_secrets": run.has_secrets,
        "client_key": run.key,
        "host": run.process.host,
        "pid": run.process.pid,
        "process_started": run.process.started,
        "boot_id": run.process.boot_id,
        "heartbeat": run.heartbeat,
    }


def _run_from(row: Row) -> QueuedRun:
    return QueuedRun(
        run_id=row["run_id"],
        package_name=row["package_name"],
        submitted=row["submitted"],
        state=row["state"],
        request=row["request"],
        digest=row["digest"],
        has_secrets=bool(row["has_secrets"]),
        key=row["client_key"],
        process=SessionProcess(row["host"], row["pid"], row["process_started"], row["boot_id"]),
        heartbeat=row["heartbeat"],
    )
