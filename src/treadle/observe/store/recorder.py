"""The observer that records a run: it collects events and creates a `RunRecord`.

Receiving an event only appends it to a list, because this happens in the run loop; the events are converted to records once, when
the run is over. State: the events of one run.

Neighbours: `treadle.events` defines the events, `records.py` the records; `treadle.session` creates one recorder per run.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from treadle.events import (
    Event,
    NodeFailed,
    NodeFinished,
    NodeSkipped,
    NodeStarted,
    Outcome,
    RunFinished,
    RunStarted,
    WorkerLost,
    WorkerStarted,
)
from treadle.observe.store.records import ErrorRecord, NodeRecord, RunRecord, WorkerRecord

if TYPE_CHECKING:
    from collections.abc import Mapping


class RunRecorder:
    """Collects the events of one run.

    Args:
        run_id: the id of the run.
        number: which run of its session it is, from 1.
        pipelines: names of the requested pipelines.
        runner: name of the runner, used if the run never starts.
        params: the given arguments of the run, by name; JSON-compatible values.
        started: when it began, seconds since the epoch.
    """

    def __init__(
        self,
        run_id: str,
        *,
        number: int,
        pipelines: tuple[str, ...],
        runner: str,
        params: Mapping[str, Any],
        started: float,
    ) -> None:
        self._record = RunRecord(
            number=number,
            run_id=run_id,
            pipelines=pipelines,
            runner=runner,
            start_method=None,
            worker_count=None,
            started=started,
            finished=started,
            outcome=Outcome.FAILED,
            params=params,
        )
        self._events: list[Event] = []
        self._take = self._events.append

    def __call__(self, event: Event, /) -> None:
        """Append one event.

        Args:
            event: any event of the run.
        """
        self._take(event)

    @property
    def resume_from(self) -> tuple[str, ...]:
        """The nodes from which an interrupted run can be resumed; empty for any other run."""
        return next((event.resume_from for event in reversed(self._events) if isinstance(event, RunFinished)), ())

    def note_versions(self, versions: Mapping[str, str]) -> None:
        """Record the dataset versions that the run loads, so that it can be repeated with them.

        Args:
            versions: version by dataset name.
        """
        if versions:
            self._record = replace(self._record, params={**self._record.params, "load_versions": dict(versions)})

    def record(self, outcome: Outcome, *, finished: float, error: ErrorRecord | None = None) -> RunRecord:
        """Create the record of the run from its events.

        Args:
            outcome: how the run ended, according to its caller.
            finished: when it ended, seconds since the epoch.
            error: the error that ended it, if any.

        Returns:
            The record. A node that started but did not end is interrupted; one that never started is skipped.
        """
        record = self._record
        for event in self._events:
            if isinstance(event, RunStarted):
                record = replace(
                    record, runner=event.runner, start_method=event.start_method, worker_count=event.workers, started=event.at
                )
        return replace(
            record, finished=finished, outcome=outcome, error=error, nodes=self._nodes(finished), workers=self._workers()
        )

    def _nodes(self, finished: float) -> tuple[NodeRecord, ...]:
        order: dict[str, int] = {}
        attempts: dict[tuple[str, int], NodeRecord] = {}
        skipped: set[str] = set()
        for event in self._events:
            if isinstance(event, RunStarted):
                order = {name: position for position, name in enumerate(event.nodes)}
            elif isinstance(event, NodeStarted):
                attempts[event.node, event.attempt] = NodeRecord(
                    event.node, event.attempt, Outcome.INTERRUPTED, event.worker, event.at, finished
                )
            elif isinstance(event, NodeFinished):
                attempts[event.node, event.attempt] = _finished(event)
            elif isinstance(event, NodeFailed):
                attempts[event.node, event.attempt] = _failed(event)
            elif isinstance(event, NodeSkipped):
                skipped.add(event.node)
        begun = {node for node, _ in attempts}
        skipped.update(name for name in order if name not in begun)
        rows = [*attempts.values(), *(NodeRecord(name, 0, Outcome.SKIPPED) for name in skipped - begun)]
        rows.sort(key=lambda row: (order.get(row.node, len(order)), row.node, row.attempt))
        return tuple(rows)

    def _workers(self) -> tuple[WorkerRecord, ...]:
        workers: dict[tuple[str, int], WorkerRecord] = {}
        for event in self._events:
            if isinstance(event, WorkerStarted):
                workers[event.worker, event.pid] = WorkerRecord(event.worker, event.pid, event.at)
            elif isinstance(event, WorkerLost):
                known = workers.get((event.worker, event.pid), WorkerRecord(event.worker, event.pid))
                workers[event.worker, event.pid] = replace(known, lost=event.at, exitcode=event.exitcode)
        return tuple(workers.values())


def _finished(event: NodeFinished) -> NodeRecord:
    return NodeRecord(
        node=event.node,
        attempt=event.attempt,
        outcome=Outcome.SUCCEEDED,
        worker=event.worker,
        started=event.started,
        finished=event.at,
        load_seconds=event.load_seconds,
        run_seconds=event.run_seconds,
        save_seconds=event.save_seconds,
        sizes=event.sizes,
    )


def _failed(event: NodeFailed) -> NodeRecord:
    return NodeRecord(
        node=event.node,
        attempt=event.attempt,
        outcome=Outcome.FAILED,
        worker=event.worker,
        started=event.started,
        finished=event.at,
        error=ErrorRecord.from_failure(event.failure, event.node),
    )
