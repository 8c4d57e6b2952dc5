"""The methods of the SQL store that return how long earlier runs and their nodes took, and the newest run of a package.

State: none besides the store's. Neighbours: `store.py`, whose class inherits from this one; `treadle.observe.report.history`
compares a run with what this returns.
"""

from __future__ import annotations

from collections import defaultdict
from operator import itemgetter
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from treadle.events import Outcome
from treadle.named_tuple import NamedTuple
from treadle.observe.store.database_access import DatabaseAccess

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from treadle.observe.store.connection import StoreConnection
    from treadle.observe.store.rows import Row
    from treadle.planning.run_times import RunTimes


class PastRun(NamedTuple):
    """An earlier run.

    Attributes:
        session_id: its session.
        started: when it started, seconds since the epoch.
        seconds: how long it took.
        outcome: how it ended.
        nodes: seconds of each node that succeeded, by name.
    """

    session_id: str
    started: float
    seconds: float
    outcome: Outcome
    nodes: Mapping[str, float] = MappingProxyType({})


class HistoryAccess(DatabaseAccess):
    """The durations of earlier runs, in a database."""

    def durations(self, sessions: int = 5, *, package_name: str | None = None) -> dict[str, float]:
        """Return the durations of nodes in the latest sessions.

        Args:
            sessions: number of sessions to consider.
            package_name: only the sessions of this package count, as a store may have those of many projects; None for all.

        Returns:
            The median seconds of each node's successful attempts, by node name; empty if no session is recorded.

        Raises:
            StoreError: the database cannot be read.
        """
        self._import_database()
        from treadle.planning.durations import median

        if self._is_missing():
            return {}
        of_package = "" if package_name is None else "package_name = :package_name AND "
        # Not a session that has just begun, such as the one that asks.
        query = (
            "SELECT node, started, finished FROM treadle_nodes WHERE outcome = :succeeded AND session_id IN ("
            f"SELECT session_id FROM treadle_sessions WHERE {of_package}EXISTS (SELECT 1 FROM treadle_nodes "
            "WHERE treadle_nodes.session_id = treadle_sessions.session_id AND treadle_nodes.outcome = :succeeded) "
            "ORDER BY session_id DESC LIMIT :sessions)"
        )
        seconds: defaultdict[str, list[float]] = defaultdict(list)
        with self._connected("read") as connection:
            values: dict[str, Any] = {"succeeded": Outcome.SUCCEEDED.value, "sessions": sessions}
            if package_name is not None:
                values["package_name"] = package_name
            for node, started, finished in connection.select(query, values):
                if started is not None and finished is not None:
                    seconds[node].append(finished - started)
        return {node: median(each) for node, each in seconds.items()}

    def run_times(self, package_name: str, *, runs: int = 200, most_nodes: int = 50_000) -> tuple[RunTimes, ...]:
        """Return how long the runs of a package took from which a runner is chosen, of those that succeeded.

        Args:
            package_name: the package.
            runs: number of its latest runs to consider.
            most_nodes: maximum number of nodes to read, of all runs together; fewer runs are returned if they have more.

        Returns:
            The times, those of the latest run first.

        Raises:
            StoreError: the database cannot be read.
        """
        if self._is_missing():
            return ()
        query = (
            "SELECT r.session_id, r.number, r.runner, r.worker_count, r.started, r.finished, r.node_count FROM treadle_runs r "
            "JOIN treadle_sessions s ON s.session_id = r.session_id "
            "WHERE s.package_name = :package_name AND r.outcome = :succeeded AND r.worker_count IS NOT NULL "
            "AND r.finished IS NOT NULL ORDER BY r.session_id DESC, r.number DESC LIMIT :runs"
        )
        values = {"package_name": package_name, "succeeded": Outcome.SUCCEEDED.value, "runs": runs}
        from treadle.planning.run_times import RunTimes, remembered

        found: list[RunTimes] = []
        with self._connected("read") as connection:
            rows = remembered(connection.select_rows(query, values), itemgetter("runner"))
            for row in _with_nodes(rows, most_nodes):
                spans = [
                    (node, started, finished - started)
                    for node, started, finished in self._succeeded(connection, row["session_id"], row["number"])
                ]
                begun = min((started for _node, started, _seconds in spans), default=row["started"])
                found.append(
                    RunTimes(
                        row["runner"],
                        row["worker_count"],
                        row["finished"] - row["started"],
                        max(0.0, begun - row["started"]),
                        {node: seconds for node, _started, seconds in spans},
                    )
                )
        return tuple(found)

    @staticmethod
    def _succeeded(connection: StoreConnection, session_id: str, run: int) -> Iterable[Sequence[Any]]:
        """Return the name, start and end of each node of a run that succeeded."""
        return connection.select(
            "SELECT node, started, finished FROM treadle_nodes WHERE session_id = :session_id AND run = :run "
            "AND outcome = :outcome AND started IS NOT NULL AND finished IS NOT NULL",
            {"session_id": session_id, "run": run, "outcome": Outcome.SUCCEEDED.value},
        )

    def history(self, session_id: str, *, runs: int = 50, most_nodes: int = 100_000) -> tuple[PastRun, ...]:
        """Return the runs of the same package and environment before a session.

        Args:
            session_id: the session.
            runs: maximum number of runs.
            most_nodes: maximum number of nodes to read, of all runs together; fewer runs are returned if they have more.

        Returns:
            The runs that have ended, the oldest first.

        Raises:
            StoreError: the database cannot be read.
        """
        if self._is_missing():
            return ()
        query = (
            "SELECT r.session_id, r.number, r.started, r.finished, r.outcome, r.node_count FROM treadle_runs r "
            "JOIN treadle_sessions s ON s.session_id = r.session_id "
            "JOIN treadle_sessions own ON own.session_id = :session_id "
            "WHERE s.package_name = own.package_name AND COALESCE(s.env, '') = COALESCE(own.env, '') "
            "AND r.session_id < :session_id AND r.finished IS NOT NULL AND r.outcome IS NOT NULL "
            "ORDER BY r.session_id DESC, r.number DESC LIMIT :runs"
        )
        with self._connected("read") as connection:
            found = list(_with_nodes(connection.select_rows(query, {"session_id": session_id, "runs": runs}), most_nodes))
            nodes: defaultdict[tuple[str, int], dict[str, float]] = defaultdict(dict)
            for row in found:
                times = self._succeeded(connection, row["session_id"], row["number"])
                nodes[row["session_id"], row["number"]] = {node: finished - started for node, started, finished in times}
        return tuple(
            PastRun(
                row["session_id"],
                row["started"],
                row["finished"] - row["started"],
                Outcome(row["outcome"]),
                nodes[row["session_id"], row["number"]],
            )
            for row in reversed(found)
        )


def _with_nodes(runs: Iterable[Row], most: int) -> Iterator[Row]:
    """Yield the first runs that have no more nodes together than may be read, and at least one."""
    total = 0
    for position, run in enumerate(runs):
        total += run["node_count"] or 0
        if position and total > most:
            return
        yield run
