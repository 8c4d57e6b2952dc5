"""The loop of a run: it joins the scheduler (which decides) to an executor (which runs), and tells the observers.

It reads aloud: hand out what is ready, wait, apply what happened, one small method an event. State: that of one run.
Neighbours: `setbacks.py` sees to what goes wrong, `deadlines.py` knows what is due when.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

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
from treadle.execution.exchange import size_of
from treadle.execution.executor import Report, WorkerDown, WorkerUp
from treadle.execution.failure import record_failure
from treadle.execution.handles import Kept, Resident
from treadle.execution.job import MAIN, Dropped, Failed, Finished, Published, Started
from treadle.execution.loop.deadlines import Deadlines, Late
from treadle.execution.loop.setbacks import Setbacks
from treadle.execution.result import RunResult, gather_results
from treadle.execution.scheduling.scheduler import FailurePolicy, Scheduler
from treadle.planning.durations import expected_seconds
from treadle.planning.resume import resume_nodes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from treadle.execution.executor import Executor, ExecutorEvent
    from treadle.execution.loop.observers import Observers
    from treadle.execution.material import RunMaterial
    from treadle.execution.scheduling.scheduler import Assignment


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
        material: RunMaterial,
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
            material.plan, separate_main=can.processes, depth=None if can.queues else 1, limits=limits, policy=on_failure
        )
        # A node that runs in this process cannot be ended: its attempt looks at the time itself.
        self._limits = material.plan.timeouts if can.cancels_running else {}
        self._deadlines = Deadlines()
        self._put: set[int] = set()
        self._pids: dict[int, int] = {}
        self._setbacks = Setbacks(
            material,
            executor,
            self._scheduler,
            self._deadlines,
            observers,
            limits=self._limits,
            workers=self._pids.keys(),
        )
        self._heard: Sequence[ExecutorEvent] = ()  # what is being applied
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
        main_only = self._executor.begin(self._material)
        scheduler.expect(expected_seconds(self._plan, self._durations()), main_only)
        self._executor.keep_turning(self._turn_until)
        self._turn_until(lambda: False)
        self._tell_skipped()
        if (error := self._setbacks.failures.final(scheduler.done())) is not None:
            raise error
        return gather_results(self._material, self._executor)

    def _turn_until(self, over: Callable[[], bool]) -> None:
        """Turn until the run has come to its end, or until something else is over."""
        scheduler, setbacks, to_come = self._scheduler, self._setbacks, self._deadlines.queue
        while not scheduler.is_finished() and not over():
            while jobs := scheduler.assign():  # again, because a job whose values cannot be had comes back at once
                for job in jobs:
                    self._submit(job)
            while (node := scheduler.take_torn()) is not None:
                self._release(setbacks.cannot_run(node))
            self._tell_skipped()
            if scheduler.is_finished():
                break
            self._heard = self._executor.wait(self._deadlines.seconds_left() if to_come else None)
            for event in self._heard:
                self._apply(event)
            if to_come:
                setbacks.keep_deadlines()

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
                holder = self._executor.put(dataset, self._material.catalog.load(name))
            except TreadleError as exc:
                if taker != job.nodes[0]:  # what goes before it runs first, as it would by itself
                    self._scheduler.keep_apart(taker)
                    self._scheduler.give_back(job.nodes, job.worker)
                    return
                if isinstance(exc, DatasetError) and exc.node is None:
                    exc.node = self._plan.nodes[taker].name
                self._scheduler.give_back(job.nodes, job.worker)
                self._release(self._setbacks.fail_here(taker, exc, record_failure(exc, phase="load", dataset=name)))
                return
            self._put.add(dataset)
            if holder is not None:
                self._scheduler.pin(dataset, holder)
        if job.inputs and any(self._scheduler.holder(dataset) not in (None, job.worker) for dataset in job.inputs):
            self._scheduler.give_back(job.nodes, job.worker)
            return
        self._executor.submit(job)
        if (
            self._limits and (limit := self._limits.get(job.nodes[0])) is not None and job.worker != MAIN
        ):  # it is alone in its job
            self._deadlines.add(limit, Late(job.nodes[0], job.worker, self._scheduler.attempt(job.nodes[0]), limit))

    # --- what happened ---------------------------------------------------------------------------------------------------

    def _apply(self, event: ExecutorEvent) -> None:
        if isinstance(event, Report):
            fact = event.fact
            if isinstance(fact, Finished):
                self._node_finished(event.worker, fact)
            elif isinstance(fact, Started):
                self._node_started(event.worker, fact)
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
            self._setbacks.setup_failed(event)
            self._executor.replace(event.worker)

    def _worker_up(self, event: WorkerUp) -> None:
        self._pids[event.worker] = event.pid
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
        if self._observers:  # most of what a tiny node costs here is telling of it
            self._node_started(worker, Started(fact.run, fact.node, fact.started))
            self._announced.discard(fact.node)
        for dataset, handle in fact.outputs:
            if isinstance(handle, Kept):
                self._scheduler.pin(dataset, handle.worker)
            elif isinstance(handle, Resident):
                self._scheduler.reside(dataset, handle.worker, handle.size)
        seconds = fact.at - fact.started
        name = self._plan.nodes[fact.node].name
        self.seconds[name] = seconds
        attempt = self._scheduler.attempt(fact.node)
        released = self._scheduler.finish(fact.node, worker, seconds)
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
                        if names[dataset].in_memory and (size := size_of(handle))
                    ),
                )
            )
        if released:
            self._release(released)

    def _published(self, fact: Published) -> None:
        self._scheduler.leave_home(fact.dataset)
        if isinstance(fact.handle, Kept):
            self._scheduler.pin(fact.dataset, fact.handle.worker)
            if fact.handle.size:
                self._setbacks.note_no_room(fact.dataset, fact.handle)

    def _node_failed(self, worker: int, fact: Failed) -> None:
        self._node_started(worker, Started(fact.run, fact.node, fact.started))
        self._announced.discard(fact.node)
        self._release(self._setbacks.attempt_failed(worker, fact))

    def _worker_down(self, event: WorkerDown) -> None:
        culprit, too_slow = self._setbacks.judge(event)
        if culprit is not None:
            self._node_started(event.worker, Started(0, culprit, event.started or time.time()))
            self._announced.discard(culprit)
        self._release(self._setbacks.worker_lost(event, culprit, too_slow=too_slow))
        if not self._scheduler.is_finished():
            self._executor.replace(event.worker)

    def _release(self, datasets: Sequence[int]) -> None:
        for dataset in datasets:
            self._executor.release(dataset)
            self._put.discard(dataset)
            if self._observers:
                self._observers.notify(DatasetReleased(self._plan.datasets[dataset].name, time.time()))

    # --- telling --------------------------------------------------------------------------------------------------------

    def _tell_skipped(self) -> None:
        for node in self._scheduler.take_skipped():
            self._observers.notify(NodeSkipped(self._plan.nodes[node].name, time.time()))

    def tell_under_way(self) -> None:
        """Tell of the nodes that had just begun when the run was interrupted."""
        for event in [*self._heard, *self._executor.under_way()]:
            if isinstance(event, Report) and isinstance(event.fact, Started):
                self._node_started(event.worker, event.fact)

    def finished_event(self, outcome: Outcome) -> RunFinished:
        """Return the last event of the run."""
        done = self._scheduler.done() if outcome is not Outcome.SUCCEEDED else ()
        resume_from = resume_nodes(self._plan, done) if done else ()
        return RunFinished(self._material.run_id, time.time(), outcome, self._setbacks.failures.names, resume_from)
