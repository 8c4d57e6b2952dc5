"""The observer that records a run: it collects events and creates a `RunRecord`, at the end or while the run goes on.

Receiving an event only appends it to a queue, because this happens in the run loop. The events are converted to records by the
thread that reads them: the one that writes the record while the run goes on, and the run's own thread when it is over.
The module is long because each kind of event has a small method. State: the records of one run, and the events that are not
converted yet.

Neighbours: `treadle.events` defines the events, `records.py` the records; `treadle.session` creates one recorder per run,
`live.py` reads what has changed.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Any

from treadle.collector import collection_paused
from treadle.events import (
    DatasetReleased,
    Event,
    NodeFailed,
    NodeFinished,
    NodeReused,
    NodeSkipped,
    NodeStarted,
    Outcome,
    RunFinished,
    RunStarted,
    WorkerLost,
    WorkerStarted,
)
from treadle.forks import fork_safe
from treadle.named_tuple import NamedTuple
from treadle.observe.store.memory_samples import MemorySamples
from treadle.observe.store.records import NodeRecord, RunRecord, WorkerRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from treadle.observe.store.log_lines import RunLog
    from treadle.observe.store.records import ErrorRecord
    from treadle.planning import Plan
    from treadle.planning.reuse.facts import LastSuccess


class RunChanges(NamedTuple):
    """What has changed in a run since some moment.

    Attributes:
        run: the run as it is; its `nodes`, `workers` and `log` are only those that have changed.
        places: for each of the nodes, its place in the plan.
        worker_places: for each of the workers, its place among all workers of the run.
        log_places: for each batch of log lines, its place among all batches of the run.
    """

    run: RunRecord
    places: tuple[int, ...]
    worker_places: tuple[int, ...]
    log_places: tuple[int, ...] = ()


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

    ignored_events = (DatasetReleased,)

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
            finished=None,
            outcome=None,
            params=params,
        )
        self.records_outputs = True
        """Whether the run records the contents of its persistent outputs."""
        self.on_first_node: Callable[[], None] = lambda: None
        """Called once, before the first node starts; the run waits for it."""
        self.success_of: Callable[[NodeRecord], LastSuccess | None] = lambda _record: None
        """Returns what the outputs of a node that succeeded depend on. It is called in any thread, in the order of the events."""
        self.on_worker: Callable[[WorkerStarted], None] = lambda _event: None
        """Called as soon as a worker is ready."""
        self.log: RunLog | None = None
        """Has the log lines of the run; None if they are not recorded."""
        self._events: deque[Event] = deque()
        self._take: Callable[[Event], None] = self._take_before_first_node
        self._lock = fork_safe(threading.Lock())  # of everything below: two threads convert events
        self._places: dict[str, int] = {}
        self._attempts: dict[tuple[str, int], NodeRecord] = {}
        self._started: dict[tuple[str, int], NodeStarted] = {}  # while events are converted: attempts that have not ended
        self._skipped: dict[str, None] = {}
        self._reused: dict[str, None] = {}
        self._workers: dict[tuple[str, int], WorkerRecord] = {}
        self._resume_from: tuple[str, ...] = ()
        self._parameters: Mapping[str, Any] = {}
        self._plan: tuple[Plan, Mapping[str, int]] | None = None  # until it is described
        self._memory = MemorySamples()
        self._changed: dict[tuple[str, int], None] = {}  # keys of attempts
        self._reported_batches = 0  # of log lines, by `changes`
        self._changed_workers: dict[tuple[str, int], None] = {}
        self._handlers: dict[type, Callable[[Any], None]] = {
            RunStarted: self._run_started,
            RunFinished: self._run_finished,
            NodeStarted: self._node_started,
            NodeFinished: self._node_finished,
            NodeFailed: self._node_failed,
            NodeSkipped: self._node_skipped,
            NodeReused: self._node_reused,
            WorkerStarted: self._worker_started,
            WorkerLost: self._worker_lost,
        }

    def __call__(self, event: Event, /) -> None:
        """Append one event.

        Args:
            event: any event of the run.
        """
        if type(event) is WorkerStarted:  # now, because later the project's files may be others
            self.on_worker(event)
        if self.log is not None:  # now, because the next attempt may log before the event is converted
            if type(event) is NodeFinished:
                self.log.end_attempt(event.node)
            elif type(event) is NodeFailed:
                self.log.end_attempt(event.node, next_attempt=event.attempt + 1)
        self._take(event)

    def plan_ready(self, plan: Plan, limits: Mapping[str, int]) -> None:
        """Take the plan of the run; it is described later, in the thread that writes the record.

        Args:
            plan: the plan.
            limits: how much of each resource is available, by name.
        """
        self._plan = (plan, limits)

    def before_first_node(self) -> None:
        """Call `on_first_node`, once. Treadle's runners call this while their workers start."""
        if self._take == self._take_before_first_node:
            self._take = self._events.append
            self.on_first_node()

    @property
    def resume_from(self) -> tuple[str, ...]:
        """The nodes from which an interrupted run can be resumed; empty for any other run."""
        with self._lock:
            self._convert()
            return self._resume_from

    def note_versions(self, versions: Mapping[str, str]) -> None:
        """Record the dataset versions that the run loads, so that it can be repeated with them.

        Args:
            versions: version by dataset name.
        """
        if versions:
            with self._lock:
                self._record = self._record._replace(params={**self._record.params, "load_versions": dict(versions)})

    def sample_memory(self) -> None:
        """Take a sample of the memory of the run's processes."""
        with self._lock:
            self._convert()
            alive = {worker.worker: worker.pid for worker in self._workers.values() if worker.lost is None}
            launched = self._memory.sample(alive)
            if launched:
                for key, worker in self._workers.items():
                    if (at := launched.get(worker.pid)) is not None and worker.launched is None:
                        self._workers[key] = worker._replace(launched=at)
                        self._changed_workers[key] = None

    def publish_memory(self) -> None:
        """Make the samples of memory that were taken a part of the record."""
        with self._lock:
            self._record = self._record._replace(memory=self._memory.record())

    def note_parameters(self, params: Mapping[str, Any]) -> None:
        """Take the params of the run, of which those that nodes load are recorded.

        Args:
            params: all params, nested, with secrets masked.
        """
        self._parameters = params

    def changes(self, *, everything: bool = False) -> RunChanges:
        """Return what has changed since the last call.

        Args:
            everything: return the whole run as it is; nodes that have not started are not included.

        Returns:
            The run, which may not have ended. The outcome of a node that is running is None.
        """
        with self._lock:
            self._convert()
            if not everything:  # the first write is of everything, and the first node waits for it
                self._describe_plan()
            keys = list(self._attempts if everything else self._changed)
            workers = list(self._workers if everything else self._changed_workers)
            self._changed.clear()
            self._changed_workers.clear()
            worker_places = {key: place for place, key in enumerate(self._workers)} if workers else {}
            log_places = self._take_log(everything=everything)
            run = self._record._replace(
                nodes=tuple(self._attempts[key] for key in keys),
                workers=tuple(self._workers[key] for key in workers),
                log=tuple(self.log.batches[place] for place in log_places) if self.log is not None else (),
            )
            return RunChanges(
                run,
                tuple(self._place(node) for node, _ in keys),
                tuple(worker_places[worker] for worker in workers),
                tuple(log_places),
            )

    @collection_paused()  # the records of ten thousand nodes would be traversed, a sixth of what recording them takes
    def record(self, outcome: Outcome, *, finished: float, error: ErrorRecord | None = None) -> RunRecord:
        """Create the record of the run from its events.

        Args:
            outcome: how the run ended, according to its caller.
            finished: when it ended, seconds since the epoch.
            error: the error that ended it, if any.

        Returns:
            The record. A node that started but did not end is interrupted; one that never started is skipped.
        """
        with self._lock:
            self._convert()
            self._describe_plan()
            return self._record._replace(
                memory=self._memory.record(),
                finished=finished,
                outcome=outcome,
                error=error,
                nodes=self._nodes(finished),
                workers=tuple(self._workers.values()),
                log=self.log.finish() if self.log is not None else (),
            )

    def _take_log(self, *, everything: bool) -> range:
        """Return the places of the batches of log lines that `changes` has not returned yet."""
        if self.log is None:
            return range(0)
        first, self._reported_batches = 0 if everything else self._reported_batches, self.log.take()
        return range(first, self._reported_batches)

    def _take_before_first_node(self, event: Event) -> None:
        self._events.append(event)
        if isinstance(event, (NodeStarted, NodeFinished, NodeFailed)):  # another runner, which does not call `before_first_node`
            self.before_first_node()

    def _describe_plan(self) -> None:
        if self._plan is not None:
            from treadle.observe.store.run_graph import graph_of, used_parameters

            (plan, limits), self._plan = self._plan, None
            graph = graph_of(plan, limits)
            self._record = self._record._replace(graph=graph, parameters=used_parameters(graph, self._parameters))

    def _convert(self) -> None:
        """Convert the events that have arrived; the caller holds the lock."""
        events, handlers = self._events, self._handlers
        while events:
            event = events.popleft()
            handler = handlers.get(type(event))
            if handler is not None:
                handler(event)
        for started in list(self._started.values()):  # most attempts have ended by now, and need no record of their start
            self._keep(NodeRecord.from_started(started))

    def _run_started(self, event: RunStarted) -> None:
        self._places = {name: place for place, name in enumerate(event.nodes)}
        reasons = {"runner_reason": event.reason, "start_method_reason": event.start_method_reason}
        self._record = self._record._replace(
            runner=event.runner,
            start_method=event.start_method,
            worker_count=event.workers,
            started=event.at,
            node_count=len(event.nodes),
            params={**self._record.params, **{name: reason for name, reason in reasons.items() if reason}},
        )

    def _run_finished(self, event: RunFinished) -> None:
        self._resume_from = event.resume_from

    def _node_started(self, event: NodeStarted) -> None:
        self._started[event.node, event.attempt] = event

    def _node_finished(self, event: NodeFinished) -> None:
        record = NodeRecord.from_finished(event)
        success = self.success_of(record)
        if success is not None:
            record = record._replace(success=success)
        key = (event.node, event.attempt)  # `_keep`, without a call: most events are of this kind
        self._started.pop(key, None)
        self._attempts[key] = record
        self._changed[key] = None

    def _node_failed(self, event: NodeFailed) -> None:
        self._keep(NodeRecord.from_failed(event))

    def _node_skipped(self, event: NodeSkipped) -> None:
        self._skipped[event.node] = None

    def _node_reused(self, event: NodeReused) -> None:
        self._reused[event.node] = None

    def _worker_started(self, event: WorkerStarted) -> None:
        self._workers[event.worker, event.pid] = WorkerRecord(
            event.worker, event.pid, event.at, launched=event.start.launched if event.start is not None else None
        )
        self._changed_workers[event.worker, event.pid] = None

    def _worker_lost(self, event: WorkerLost) -> None:
        known = self._workers.get((event.worker, event.pid), WorkerRecord(event.worker, event.pid))
        self._workers[event.worker, event.pid] = known._replace(lost=event.at, exitcode=event.exitcode)
        self._changed_workers[event.worker, event.pid] = None

    def _keep(self, record: NodeRecord) -> None:
        key = (record.node, record.attempt)
        self._started.pop(key, None)
        self._attempts[key] = record
        self._changed[key] = None

    def _place(self, node: str) -> int:
        return self._places.setdefault(node, len(self._places))

    def _nodes(self, finished: float) -> tuple[NodeRecord, ...]:
        ended = [
            node._replace(outcome=Outcome.INTERRUPTED, finished=finished) if node.outcome is None else node
            for node in self._attempts.values()
        ]
        begun = {node for node, _ in self._attempts}
        not_begun = dict.fromkeys(name for name in (*self._places, *self._skipped) if name not in begun)
        reused = self._reused  # of these, a node that had to run after all has begun
        outcomes = {name: Outcome.REUSED if name in reused else Outcome.SKIPPED for name in not_begun}
        records = [*ended, *(NodeRecord(name, 0, outcome) for name, outcome in outcomes.items())]
        places = self._places
        by_name = {record.node: record for record in records}
        if len(by_name) == len(records) and by_name.keys() == places.keys():  # as in most runs: each node has one attempt
            return tuple(map(by_name.__getitem__, places))
        records.sort(key=lambda record: (places.get(record.node, len(places)), record.node, record.attempt))
        return tuple(records)
