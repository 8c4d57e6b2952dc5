"""The loop of a run: it joins the scheduler (which decides) to an executor (which runs), and notifies the observers.

It carries out the scheduler's instructions, waits for events, and applies each: one small method for each kind. State: that of
one run. Neighbours: `setbacks.py` sees to what goes wrong, `deadlines.py` knows what is due when.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from treadle.errors import DatasetError, TreadleError
from treadle.events import (
    DatasetReleased,
    NodeFinished,
    NodeSkipped,
    NodeStarted,
    Outcome,
    RunFinished,
    WorkerStarted,
)
from treadle.execution.attempt.failure import record_failure
from treadle.execution.executors.events import Report, WorkerDown, WorkerUp
from treadle.execution.loop.deadlines import Deadlines, Late, Wake
from treadle.execution.loop.failure_handler import FailureHandler
from treadle.execution.loop.result import RunResult, gather_results
from treadle.execution.protocol.messages import MAIN, Failed, Finished, JobsReturned, Started, Transferred
from treadle.execution.protocol.placement import SHARED
from treadle.execution.scheduling.instructions import (
    CancelJobs,
    DelayNode,
    LoadValue,
    RejectNode,
    ReleaseValue,
    RestartWorker,
    RunJob,
    SkipNode,
    TransferValue,
)
from treadle.execution.scheduling.scheduler import FailurePolicy, Scheduler
from treadle.planning.durations import expected_seconds
from treadle.planning.resume import resume_nodes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from treadle.execution.executors.events import PoolEvent
    from treadle.execution.executors.executor import Executor
    from treadle.execution.loop.observers import Observers
    from treadle.execution.packing.bundle import RunBundle


class RunLoop:
    """Run a plan on an executor.

    Args:
        material: the run.
        executor: where it runs.
        observers: the observers of the run.
        durations: gives the seconds that nodes took before, by name; asked once, while the workers start.
        limits: how much there is of each resource that nodes need.
        on_failure: what a failure means for the rest, where a node's policy does not say.
    """

    def __init__(
        self,
        material: RunBundle,
        executor: Executor,
        observers: Observers,
        durations: Callable[[], Mapping[str, float]] = dict,
        *,
        limits: Mapping[str, int] | None = None,
        on_failure: FailurePolicy = FailurePolicy.STOP,
    ) -> None:
        self._material = material
        self._plan = material.plan
        self._executor = executor
        self._observers = observers
        self._durations = durations
        self.seconds: dict[str, float] = {}
        """What each node took, by name."""
        can = executor.capabilities
        self._scheduler = Scheduler(
            material.plan,
            separate_main=can.processes,
            depth=None if can.queues else 1,
            fuse=not can.recycles,
            limits=limits,
            policy=on_failure,
        )
        self._recycles = can.recycles
        # A node that runs in this process cannot be ended: its attempt looks at the time itself.
        self._limits = material.plan.timeouts if can.can_kill else {}
        self._deadlines = Deadlines()
        self._workers: dict[int, None] = {}  # in the order in which they were ready
        self._setbacks = FailureHandler(
            material,
            executor,
            self._scheduler,
            self._deadlines,
            observers,
            limits=self._limits,
            workers=self._workers.keys(),
        )
        self._received: Sequence[PoolEvent] = ()  # what is being applied
        self._announced: set[int] = set()  # nodes whose start was reported to the observers
        self._handlers: dict[type, Callable[[Any], None]] = {
            RunJob: self._submit,
            LoadValue: self._load,
            TransferValue: lambda each: executor.transfer(each.dataset, each.worker),
            ReleaseValue: self._release,
            SkipNode: self._report_skipped,
            RejectNode: lambda each: self._setbacks.cannot_run(each.node),
            DelayNode: lambda each: self._deadlines.add(each.seconds, Wake(each.node)),
            CancelJobs: lambda each: executor.cancel(each.worker),
            RestartWorker: self._restart,
        }

    def run(self) -> RunResult:
        """Run to the end.

        Returns:
            The free outputs.

        Raises:
            NodeError: a node failed; all that was running has ended by then.
            WorkerSetupError: a worker could not be set up.
        """
        scheduler = self._scheduler
        main_only = self._executor.begin(self._material, self._turn_until)
        scheduler.expect(expected_seconds(self._plan, self._durations()), main_only)
        self._turn_until(lambda: False)
        if (error := self._setbacks.failures.final(scheduler.done())) is not None:
            raise error
        return gather_results(self._material, self._executor)

    def _turn_until(self, over: Callable[[], bool]) -> None:
        """Run the loop until the run has ended, or until a condition holds."""
        scheduler, setbacks, to_come = self._scheduler, self._setbacks, self._deadlines.queue
        while not scheduler.is_finished() and not over():
            while scheduler.assign():  # again, because a job whose values cannot be had is queued again at once
                self._carry_out()
            if scheduler.is_finished():
                break
            self._received = self._executor.wait(self._deadlines.seconds_left() if to_come else None)
            for event in self._received:
                self._apply(event)
                self._carry_out()
            if to_come:
                setbacks.keep_deadlines()
                self._carry_out()
            if self._recycles:
                self._replace_worn()

    def _replace_worn(self) -> None:
        """Replace the idle workers that have reached a limit, and that hold no value which cannot leave them."""
        for worker in self._executor.worn():
            if not self._scheduler.assigned(worker) and not self._scheduler.has_values(worker):
                self._executor.retire(worker)
                self._scheduler.lose_worker(worker, None)
                self._carry_out()

    # --- instructions ----------------------------------------------------------------------------------------------------

    def _carry_out(self) -> None:
        """Do what the scheduler says, until it says nothing more."""
        next_instruction, handlers = self._scheduler.next_instruction, self._handlers
        while (instruction := next_instruction()) is not None:
            handlers[type(instruction)](instruction)

    def _submit(self, job: RunJob) -> None:
        self._executor.submit(job)
        if self._limits and (limit := self._limits.get(job.nodes[0])) is not None and job.worker != MAIN:  # it is a job by itself
            self._deadlines.add(limit, Late(job.nodes[0], job.worker, self._scheduler.attempt(job.nodes[0]), limit))

    def _load(self, load: LoadValue) -> None:
        """Load a free input from the catalog into the store."""
        name = self._plan.datasets[load.dataset].name
        try:
            placement = self._executor.put(load.dataset, self._material.catalog.load(name))
        except TreadleError as exc:
            if isinstance(exc, DatasetError) and exc.node is None:
                exc.node = self._plan.nodes[load.node].name
            if self._scheduler.load_failed(load.dataset, load.node):
                self._setbacks.fail_here(load.node, exc, record_failure(exc, phase="load", dataset=name))
        else:
            self._scheduler.value_arrived(load.dataset, placement)

    def _release(self, release: ReleaseValue) -> None:
        self._executor.release(release.dataset, release.workers)
        if self._observers:
            self._observers.notify(DatasetReleased(self._plan.datasets[release.dataset].name, time.time()))

    def _restart(self, restart: RestartWorker) -> None:
        if not self._scheduler.is_finished():
            self._executor.restart(restart.worker)

    def _report_skipped(self, skip: SkipNode) -> None:
        self._observers.notify(NodeSkipped(self._plan.nodes[skip.node].name, time.time()))

    # --- events ----------------------------------------------------------------------------------------------------------

    def _apply(self, event: PoolEvent) -> None:
        if isinstance(event, Report):
            fact = event.fact
            if isinstance(fact, Finished):
                self._node_finished(event.worker, fact)
            elif isinstance(fact, Started):
                self._node_started(event.worker, fact)
            elif isinstance(fact, Failed):
                self._node_failed(event.worker, fact)
            elif isinstance(fact, Transferred):
                self._published(event.worker, fact)
            elif isinstance(fact, JobsReturned):
                self._scheduler.give_back(fact.nodes, event.worker)
        elif isinstance(event, WorkerUp):
            self._worker_up(event)
        elif isinstance(event, WorkerDown):
            self._worker_down(event)
        else:
            self._setbacks.setup_failed(event)
            self._executor.restart(event.worker)

    def _worker_up(self, event: WorkerUp) -> None:
        self._workers[event.worker] = None
        self._setbacks.worker_up(event.worker)
        self._scheduler.add_worker(event.worker)
        self._observers.notify(WorkerStarted(self._executor.label(event.worker), event.pid, time.time()))

    def _node_started(self, worker: int, fact: Started) -> None:
        if fact.node in self._announced or not self._scheduler.holds(worker, fact.node):
            return  # told already, or it ended while this was on its way
        self._announced.add(fact.node)
        node = self._plan.nodes[fact.node]
        self._observers.notify(NodeStarted(node.name, self._executor.label(worker), self._scheduler.attempt(fact.node), fact.at))

    def _node_finished(self, worker: int, fact: Finished) -> None:
        if self._observers:  # most of what a tiny node costs here is reporting it
            self._node_started(worker, Started(fact.run, fact.node, fact.started))
            self._announced.discard(fact.node)
        for dataset, handle in fact.outputs:
            if (placement := handle.placement) is not SHARED:
                self._scheduler.value_made(dataset, placement)
        seconds = fact.at - fact.started
        name = self._plan.nodes[fact.node].name
        self.seconds[name] = seconds
        attempt = self._scheduler.attempt(fact.node)
        self._scheduler.finish(fact.node, worker, seconds)
        if self._observers:
            names = self._plan.datasets
            self._observers.notify(
                NodeFinished(
                    node=name,
                    worker=self._executor.label(worker),
                    attempt=attempt,
                    started=fact.started,
                    at=fact.at,
                    load_seconds=fact.load_seconds,
                    run_seconds=fact.run_seconds,
                    save_seconds=fact.save_seconds,
                    sizes=tuple(
                        (names[dataset].name, size)
                        for dataset, handle in fact.outputs
                        if names[dataset].in_memory and (size := handle.size)
                    ),
                )
            )

    def _published(self, worker: int, fact: Transferred) -> None:
        placement = fact.handle.placement
        if not placement.movable and placement.size:
            self._setbacks.note_no_room(fact.dataset, placement.reason)
        self._scheduler.value_arrived(fact.dataset, placement, worker)

    def _node_failed(self, worker: int, fact: Failed) -> None:
        self._node_started(worker, Started(fact.run, fact.node, fact.started))
        self._announced.discard(fact.node)
        self._setbacks.attempt_failed(worker, fact)

    def _worker_down(self, event: WorkerDown) -> None:
        culprit, too_slow = self._setbacks.judge(event)
        if culprit is not None:
            self._node_started(event.worker, Started(0, culprit, event.started or time.time()))
            self._announced.discard(culprit)
        self._setbacks.worker_lost(event, culprit, too_slow=too_slow)

    # --- reports ---------------------------------------------------------------------------------------------------------

    def report_running(self) -> None:
        """Report the nodes that had just started when the run was interrupted."""
        for event in self._received:
            if isinstance(event, Report) and isinstance(event.fact, Started):
                self._node_started(event.worker, event.fact)
        for worker, started in self._executor.running().items():
            self._node_started(worker, started)

    def finished_event(self, outcome: Outcome, at: float) -> RunFinished:
        """Return the last event of the run.

        Args:
            outcome: how it ended.
            at: when, in seconds since the epoch.
        """
        done = self._scheduler.done() if outcome is not Outcome.SUCCEEDED else ()
        resume_from = resume_nodes(self._plan, done) if done else ()
        return RunFinished(self._material.run_id, at, outcome, self._setbacks.failures.names, resume_from)
