"""The parts of a session's record, one for each row in the database.

A record is written in parts while the session runs, and as a whole when it closes. State: none. Neighbours: `live.py` collects
parts during a run, `session_rows.py` writes them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.observe.store.positions import position, positions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from treadle.observe.store.log_lines import LogBatch
    from treadle.observe.store.recorder import RunChanges
    from treadle.observe.store.records import NodeRecord, RunRecord, SessionRecord, WorkerRecord


class RecordParts:
    """Parts of the record of one session.

    Attributes:
        session: the session without its runs; empty if it is not a part.
        runs: runs without their nodes, workers and logs, by number.
        nodes: attempts at nodes, by number of the run and position.
        workers: workers, by number of the run and position.
        logs: batches of log lines, by number of the run and position.
    """

    __slots__ = ("logs", "nodes", "runs", "session", "workers")

    def __init__(self) -> None:
        self.session: dict[tuple[()], SessionRecord] = {}
        self.runs: dict[tuple[int], RunRecord] = {}
        self.nodes: dict[tuple[int, int], NodeRecord] = {}
        self.workers: dict[tuple[int, int], WorkerRecord] = {}
        self.logs: dict[tuple[int, int], LogBatch] = {}

    def add_session(self, record: SessionRecord) -> None:
        """Add a session with its runs, each of which is complete."""
        self.session[()] = record._replace(runs=())
        for run in record.runs:
            self.add_run(run)

    def add_run(self, run: RunRecord) -> None:
        """Add a complete run: its nodes include those that never started."""
        self._add(run, positions(run.nodes), range(len(run.workers)), range(len(run.log)))

    def add_changes(self, changes: RunChanges) -> None:
        """Add what has changed in a run that may not have ended."""
        run = changes.run
        count = run.node_count or 0
        places = [position(place, node.attempt - 1, count) for place, node in zip(changes.places, run.nodes, strict=True)]
        self._add(run, places, changes.worker_places, changes.log_places)

    def update(self, other: RecordParts) -> None:
        """Add all parts of another record of the same session; they replace those with the same key."""
        self.session.update(other.session)
        self.runs.update(other.runs)
        self.nodes.update(other.nodes)
        self.workers.update(other.workers)
        self.logs.update(other.logs)

    def _add(
        self, run: RunRecord, node_positions: Sequence[int], worker_positions: Sequence[int], log_positions: Sequence[int]
    ) -> None:
        self.runs[run.number,] = run._replace(nodes=(), workers=(), log=())
        for place, node in zip(node_positions, run.nodes, strict=True):
            self.nodes[run.number, place] = node
        for place, worker in zip(worker_positions, run.workers, strict=True):
            self.workers[run.number, place] = worker
        for place, batch in zip(log_positions, run.log, strict=True):
            self.logs[run.number, place] = batch
