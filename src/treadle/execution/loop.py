"""The loop of a run: it joins the scheduler (which decides) to an executor (which runs), and tells the observers.

It reads aloud: hand out what is ready, wait, apply what happened, one small method an event. State: that of one run.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from treadle.errors import DatasetError, NodeError, TreadleError, WorkerLostError, WorkerSetupError
from treadle.events import (
    DatasetReleased,
    Failure,
    NodeFailed,
    NodeFinished,
    NodeSkipped,
    NodeStarted,
    Outcome,
    RunFinished,
    WorkerLost,
    WorkerStarted,
)
from treadle.execution.executor import Report, SetupFailed, WorkerDown, WorkerUp
from treadle.execution.failure import record_failure, restore_exception
from treadle.execution.job import Dropped, Failed, Finished, Kept, Published, Resident, Started
from treadle.execution.result import RunResult
from treadle.execution.scheduler import Scheduler
from treadle.execution.verdict import describe_loss, describe_setup_failure
from treadle.hooks import implemented
from treadle.planning.durations import expected_seconds
from treadle.planning.resume import resume_nodes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from treadle.events import Event, Observer
    from treadle.execution.executor import Executor, ExecutorEvent
    from treadle.execution.job import Handle
    from treadle.execution.material import RunMaterial
    from treadle.execution.scheduler import Assignment

_logger = logging.getLogger(__name__)


_LOSSES_TO_BLAME = 2
"""So many workers that die on their way to the same node make it the culprit: unpickling its parts may be what kills."""


class RunLoop:
    """Run a plan on an executor.

    Args:
        material: the run.
        executor: where it runs.
        observers: who is told.
        durations: gives the seconds that nodes took before, by name; asked once, while the workers start.
    """

    def __init__(
        self,
        material: RunMaterial,
        executor: Executor,
        observers: Sequence[Observer],
        durations: Callable[[], Mapping[str, float]] = dict,
    ) -> None:
        self._material = material
        self._plan = material.plan
        self._executor = executor
        self._observers = observers
        self._durations = durations
        self.seconds: dict[str, float] = {}
        """What each node took, by name."""
        can = executor.capabilities
        self._scheduler = Scheduler(material.plan, separate_main=can.processes, depth=None if can.queues else 1)
        self._put: set[int] = set()
        self._error: NodeError | None = None
        self._failed: list[int] = []
        self._pids: dict[int, int] = {}
        self._lost_before: dict[int, int] = {}  # how often a worker died on its way to a node
        self._announced: set[int] = set()  # nodes whose start the observers know of

    def run(self) -> RunResult:
        """Run to the end.

        Returns:
            The free outputs.

        Raises:
            NodeError: a node failed; all that was running has ended by then.
            WorkerSetupError: a worker could not be set up.
        """
        scheduler = self._scheduler
        scheduler.add_main_only(self._executor.begin(self._material))
        weights = expected_seconds(self._plan, self._durations())
        if weights is not None:
            scheduler.expect(weights)
        while not scheduler.is_finished():
            while jobs := scheduler.assign():  # again, because a job whose values cannot be had comes back at once
                for job in jobs:
                    self._submit(job)
            self._fail_torn()
            self._tell_skipped()
            if scheduler.is_finished():
                break
            for event in self._executor.wait():
                self._apply(event)
        self._tell_skipped()
        self._finish()
        return self._result()

    # --- handing out -----------------------------------------------------------------------------------------------------

    def _submit(self, job: Assignment) -> None:
        """Hand a job out, and before it the values that the catalog has for it."""
        if self._scheduler.is_stopped():  # by a job that was to be handed out just before this one
            self._scheduler.give_back(job.nodes, job.worker)
            return
        for dataset in job.inputs:
            if dataset in self._put or self._plan.datasets[dataset].producer is not None:
                continue
            name = self._plan.datasets[dataset].name
            taker = next(node for node in job.nodes if dataset in self._plan.nodes[node].inputs)
            try:
                value = self._material.catalog.load(name)
            except TreadleError as exc:
                if taker != job.nodes[0]:  # what goes before it runs first, as it would by itself
                    self._scheduler.keep_apart(taker)
                    self._scheduler.give_back(job.nodes, job.worker)
                    return
                if isinstance(exc, DatasetError) and exc.node is None:
                    exc.node = self._plan.nodes[taker].name
                self._scheduler.give_back(job.nodes, job.worker)
                self._fail_here(taker, exc, record_failure(exc, phase="load", dataset=name))
                return
            self._put.add(dataset)
            holder = self._executor.put(dataset, value)
            if holder is not None:
                self._scheduler.pin(dataset, holder)
        if any(self._scheduler.holder(dataset) not in (None, job.worker) for dataset in job.inputs):
            self._scheduler.give_back(job.nodes, job.worker)
            return
        self._executor.submit(job)

    def _fail_torn(self) -> None:
        """Fail the nodes that no worker can run."""
        while (node := self._scheduler.take_torn()) is not None:
            planned = self._plan.nodes[node]
            pinned = [self._plan.datasets[dataset].name for dataset in planned.inputs if self._plan.datasets[dataset].in_memory]
            msg = (
                f"Node '{planned.name}' needs values that cannot be pickled and were made in different processes "
                f"(among {', '.join(repr(name) for name in pinned)}), so no process has them all. Give one of them an entry in "
                "the catalog, make them in one node, or run with runner='sequential' or 'thread'."
            )
            exc = DatasetError(msg, dataset=pinned[0], node=planned.name)
            self._fail_here(node, exc, record_failure(exc, phase="load"))

    def _fail_here(self, node: int, exc: BaseException, failure: Failure) -> None:
        """A node failed before it could be handed out."""
        now = time.time()
        self._tell(NodeFailed(self._plan.nodes[node].name, "main", 1, None, now, failure))
        self._note_failure(node, NodeError, failure, exc, worker=None, attempt=1)
        self._release(self._scheduler.fail(node, None))
        self._stop_waiting_jobs()

    # --- what happened ---------------------------------------------------------------------------------------------------

    def _apply(self, event: ExecutorEvent) -> None:
        if isinstance(event, Report):
            fact = event.fact
            if isinstance(fact, Started):
                self._node_started(event.worker, fact)
            elif isinstance(fact, Finished):
                self._node_finished(event.worker, fact)
            elif isinstance(fact, Failed):
                self._node_failed(event.worker, fact)
            elif isinstance(fact, Published):
                self._published(fact)
            elif isinstance(fact, Dropped):
                self._scheduler.give_back(fact.nodes, event.worker)
        elif isinstance(event, WorkerUp):
            self._worker_up(event)
        elif isinstance(event, WorkerDown):
            self._worker_down(event)
        else:
            self._setup_failed(event)

    def _worker_up(self, event: WorkerUp) -> None:
        self._pids[event.worker] = event.pid
        self._scheduler.add_worker(event.worker)
        self._tell(WorkerStarted(self._executor.label(event.worker), event.pid, time.time()))

    def _node_started(self, worker: int, fact: Started) -> None:
        if not self._observers or fact.node in self._announced or not self._scheduler.holds(worker, fact.node):
            return  # told already, or it ended while this was on its way
        self._announced.add(fact.node)
        node = self._plan.nodes[fact.node]
        self._tell(NodeStarted(node.name, self._executor.label(worker), self._scheduler.attempt(fact.node), fact.at))

    def _node_finished(self, worker: int, fact: Finished) -> None:
        self._node_started(worker, Started(fact.run, fact.node, fact.started))
        self._announced.discard(fact.node)
        for dataset, handle in fact.outputs:
            if isinstance(handle, Kept):
                self._scheduler.pin(dataset, handle.worker)
            elif isinstance(handle, Resident):
                self._scheduler.reside(dataset, handle.worker, handle.size)
        attempt = self._scheduler.attempt(fact.node)
        self.seconds[self._plan.nodes[fact.node].name] = fact.at - fact.started
        released = self._scheduler.finish(fact.node, worker, fact.at - fact.started)
        if self._observers:
            names = self._plan.datasets
            self._tell(
                NodeFinished(
                    node=self._plan.nodes[fact.node].name,
                    worker=self._executor.label(worker),
                    attempt=attempt,
                    started=fact.started,
                    at=fact.at,
                    load_seconds=fact.load_seconds,
                    run_seconds=fact.run_seconds,
                    save_seconds=fact.save_seconds,
                    sizes=tuple((names[dataset].name, size) for dataset, size in fact.sizes),
                )
            )
        self._release(released)

    def _published(self, fact: Published) -> None:
        self._scheduler.leave_home(fact.dataset)
        if isinstance(fact.handle, Kept):
            self._scheduler.pin(fact.dataset, fact.handle.worker)

    def _node_failed(self, worker: int, fact: Failed) -> None:
        self._node_started(worker, Started(fact.run, fact.node, fact.started))
        self._announced.discard(fact.node)
        node, label = self._plan.nodes[fact.node], self._executor.label(worker)
        attempt = self._scheduler.attempt(fact.node)
        self._tell(NodeFailed(node.name, label, attempt, fact.started, fact.at, fact.failure))
        original = fact.original if fact.original is not None else restore_exception(fact.failure)
        self._note_failure(fact.node, NodeError, fact.failure, original, worker=label, attempt=attempt)
        self._scheduler.give_back(fact.dropped, worker)
        self._release(self._scheduler.fail(fact.node, worker))
        self._stop_waiting_jobs()

    def _worker_down(self, event: WorkerDown) -> None:
        label = self._executor.label(event.worker)
        held = self._scheduler.assigned(event.worker)
        # A worker that dies between two nodes takes none along; one that dies before it wrote the board had its first.
        culprit = event.node if event.node in held else None
        if culprit is None and held:
            self._lost_before[held[0]] = self._lost_before.get(held[0], 0) + 1
            if self._lost_before[held[0]] == _LOSSES_TO_BLAME:
                culprit = held[0]
        name = self._plan.nodes[culprit].name if culprit is not None else None
        now = time.time()
        if culprit is not None:
            self._node_started(event.worker, Started(0, culprit, event.started or now))
            self._announced.discard(culprit)
        self._tell(WorkerLost(label, event.pid, now, event.exitcode, name))
        attempt = self._scheduler.attempt(culprit) if culprit is not None else None
        self._scheduler.lose_worker(event.worker, culprit)
        if culprit is None:
            _logger.warning("%s", describe_loss(label, event, None, ()))
        else:
            planned = self._plan.nodes[culprit]
            failure = Failure("WorkerLostError", describe_loss(label, event, planned.name, self._sizes(culprit)), "")
            error = WorkerLostError(failure.message, exitcode=event.exitcode, peak_memory=event.peak_memory or None)
            self._report_lost_node(culprit, error)
            self._tell(NodeFailed(planned.name, label, attempt or 1, event.started, now, failure))
            self._note_failure(
                culprit,
                WorkerLostError,
                failure,
                None,
                worker=label,
                attempt=attempt,
                exitcode=event.exitcode,
                peak_memory=event.peak_memory or None,
            )
            self._release(self._scheduler.fail(culprit, None))
            self._stop_waiting_jobs()
        if not self._scheduler.is_finished():
            self._executor.replace(event.worker)

    def _setup_failed(self, event: SetupFailed) -> None:
        label = self._executor.label(event.worker)
        error = WorkerSetupError(
            describe_setup_failure(label, event),
            run_id=self._material.run_id,
            worker=label,
            failure=event.failure,
        )
        raise error from (restore_exception(event.failure) if event.failure is not None else None)

    # --- consequences ----------------------------------------------------------------------------------------------------

    def _release(self, datasets: Sequence[int]) -> None:
        for dataset in datasets:
            self._executor.release(dataset)
            self._put.discard(dataset)
            self._tell(DatasetReleased(self._plan.datasets[dataset].name, time.time()))

    def _stop_waiting_jobs(self) -> None:
        """After a failure, ask the workers for the jobs that they have not begun."""
        for worker in self._pids:
            if self._scheduler.assigned(worker):
                self._executor.cancel(worker)
        running = [self._plan.nodes[node].name for worker in self._pids for node in self._scheduler.assigned(worker)[:1]]
        if running:
            _logger.info("A node failed. Waiting for what is running to finish (Ctrl-C stops it): %s", ", ".join(running))

    def _note_failure(
        self,
        node: int,
        kind: type[NodeError],
        failure: Failure,
        original: BaseException | None,
        *,
        worker: str | None,
        attempt: int | None,
        **fields: object,
    ) -> None:
        """Keep the first failure: it is what `run` raises."""
        self._failed.append(node)
        if self._error is not None:
            return
        name = self._plan.nodes[node].name
        message = failure.message if kind is WorkerLostError else _describe_failure(name, worker, attempt, failure)
        self._error = kind(
            message, run_id=self._material.run_id, node=name, worker=worker, attempt=attempt, failure=failure, **fields
        )
        self._error.__cause__ = original

    def _report_lost_node(self, node: int, error: WorkerLostError) -> None:
        """A lost worker cannot call `on_node_error` any more: it is called here."""
        hooks = self._material.hooks
        if hooks is None or not implemented(hooks, "on_node_error"):
            return
        try:
            hooks.hook.on_node_error(
                error=error,
                node=self._plan.nodes[node].node,
                catalog=self._material.catalog,
                inputs={},
                is_async=self._material.is_async,
                run_id=self._material.run_id,
            )
        except Exception:  # the loss is what the caller must see; the hook's error is logged, not lost
            _logger.exception("The on_node_error hook itself failed for node '%s'", self._plan.nodes[node].name)

    def _sizes(self, node: int) -> tuple[tuple[str, int], ...]:
        datasets = self._plan.datasets
        sizes = [(datasets[dataset].name, self._executor.size(dataset)) for dataset in self._plan.nodes[node].inputs]
        return tuple((name, size) for name, size in sizes if size)

    # --- the end ---------------------------------------------------------------------------------------------------------

    def _finish(self) -> None:
        if self._error is None:
            return
        self._error.resume_from = resume_nodes(self._plan, self._scheduler.done())
        raise self._error

    @property
    def failed(self) -> tuple[str, ...]:
        """Names of the nodes that failed, in the order in which they did."""
        return tuple(self._plan.nodes[node].name for node in self._failed)

    def _result(self) -> RunResult:
        """Hand the free outputs over; a memory dataset that the catalog declares gets its value too."""
        names: list[str] = []
        handles: dict[str, Handle] = {}
        for dataset in self._plan.results:
            planned = self._plan.datasets[dataset]
            names.append(planned.name)
            if planned.in_memory and (handle := self._executor.detach(dataset)) is not None:
                handles[planned.name] = handle
        result = RunResult(self._material.run_id, self._material.catalog, tuple(names), handles)
        for dataset in self._plan.results:
            planned = self._plan.datasets[dataset]
            if planned.in_memory and planned.declared:
                self._material.catalog.save(planned.name, result[planned.name])
        return result

    def _tell_skipped(self) -> None:
        for node in self._scheduler.take_skipped():
            self._tell(NodeSkipped(self._plan.nodes[node].name, time.time()))

    def _tell(self, event: Event) -> None:
        for observer in self._observers:
            observer(event)

    def finished_event(self, outcome: Outcome) -> RunFinished:
        """Return the last event of the run."""
        return RunFinished(self._material.run_id, time.time(), outcome, self.failed)


def _describe_failure(node: str, worker: str | None, attempt: int | None, failure: Failure) -> str:
    where = f" on {worker}" if worker not in (None, "main") else ""
    again = f", attempt {attempt}" if attempt is not None and attempt > 1 else ""
    doing = {
        "load": f"could not load '{failure.dataset}'",
        "save": f"could not save '{failure.dataset}'",
        "confirm": f"could not confirm '{failure.dataset}'",
        "setup": "could not be prepared",
        "hook": "failed in a hook",
    }.get(failure.phase, "failed")
    return f"Node '{node}' {doing}{where}{again}: {failure.type_name}: {failure.message}"
