"""The main loop of a run: it connects the scheduler (which decides) to an executor (which runs), and notifies the observers.

It carries out the scheduler's instructions, waits for events, and handles each one: one small method for each kind, which makes
the module long. State: that of one run. Runs in the parent. Neighbours: `failure_handler.py` handles failures, `deadlines.py`
keeps the timers.
"""

from __future__ import annotations

import operator
import time
from contextlib import suppress
from itertools import islice, repeat
from typing import TYPE_CHECKING, Any, ClassVar

from treadle.errors import DatasetError, TreadleError
from treadle.events import DatasetReleased, NodeReused, NodeSkipped, Outcome, RunFinished, WorkerStarted
from treadle.execution.attempt.failure import record_failure
from treadle.execution.executors.events import Report, WorkerDown, WorkerLeaving, WorkerUp, separate
from treadle.execution.loop.deadlines import Deadlines, TimeoutCheck, Wake
from treadle.execution.loop.dispatches import Dispatches
from treadle.execution.loop.failure_handler import FailureHandler
from treadle.execution.loop.node_reports import NodeReports
from treadle.execution.loop.result import RunResult, gather_results
from treadle.execution.loop.stalls import Stalls
from treadle.execution.loop.stopping import Stopping
from treadle.execution.processes.safe_points import safe_point
from treadle.execution.protocol.messages import MAIN, Failed, Finished, FinishedNodes, JobsReturned, Started, Transferred
from treadle.execution.protocol.placement import SHARED
from treadle.execution.scheduling.instructions import (
    CancelJobs,
    DecideNode,
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
from treadle.planning.run_times import RunTimes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from treadle.events import WorkerStart
    from treadle.execution.executors.events import PoolEvent
    from treadle.execution.executors.executor import Executor
    from treadle.execution.loop.cancellation import Cancellation
    from treadle.execution.loop.observers import Observers
    from treadle.execution.packing.bundle import RunBundle

EVENTS_PER_ROUND = 32
"""Number of events of one `wait` after which workers get new jobs: handling many takes as long as many tiny nodes."""


class RunLoop:
    """Run a plan on an executor.

    Args:
        bundle: the run.
        executor: where it runs.
        observers: the observers of the run.
        durations: returns the seconds that each node took in earlier runs, by name; called once, before a worker gets a node.
        resource_limits: how much of each resource is available to nodes.
        on_failure: whether a failure stops the run, for nodes whose own policy does not set it.
        cancellation: by which another thread can stop the run.
    """

    def __init__(
        self,
        bundle: RunBundle,
        executor: Executor,
        observers: Observers,
        durations: Callable[[], Mapping[str, float]] = dict,
        *,
        resource_limits: Mapping[str, int] | None = None,
        on_failure: FailurePolicy = FailurePolicy.STOP,
        cancellation: Cancellation | None = None,
    ) -> None:
        self._bundle = bundle
        self._plan = bundle.plan
        self._executor = executor
        self._observers = observers
        self._durations = durations
        self.seconds: dict[str, float] = {}
        """How long each finished node took, by name."""
        self._first_started = 0.0  # when the node that finished first had started; 0 if none has finished
        self.worker_starts: list[WorkerStart] = []
        """How the workers started that became ready during the run."""
        capabilities = executor.capabilities
        self._scheduler = Scheduler(
            bundle.plan,
            separate_main=capabilities.processes,
            depth=None if capabilities.queues else 1,
            fuse=not capabilities.recycles,
            limits=resource_limits,
            policy=on_failure,
            reports_local=observers.need(DatasetReleased),
        )
        self._recycles = capabilities.recycles
        # Nodes that run in this process cannot be killed: their attempts check the time themselves.
        self._timeouts = bundle.plan.timeouts if capabilities.can_kill else {}
        self._deadlines = Deadlines()
        self._dispatches = Dispatches()
        self._reports_releases = observers.need(DatasetReleased)
        self._reports = NodeReports(self._plan, executor, self._scheduler, observers, self._dispatches)
        self._workers: dict[int, int] = {}  # worker -> process id, in the order in which they became ready
        self._failure_handler = FailureHandler(
            bundle,
            executor,
            self._scheduler,
            self._deadlines,
            observers,
            self._dispatches,
            timeouts=self._timeouts,
            workers=self._workers.keys(),
        )
        self._stopping = Stopping(cancellation, bundle, executor, self._scheduler, self._deadlines, self._workers.keys())
        # If nodes run inside `wait`, it does not return while a node is stuck, so stalls cannot be reported.
        self._stalls = Stalls(bundle.plan, executor, self._scheduler, self._workers) if capabilities.concurrent else None
        self._received: Sequence[PoolEvent] = ()  # by the last `wait`, from the last assignment of jobs on
        # Whether something since the last `assign` may have made nodes ready or workers free: anything but the start of a node,
        # which every other step of the serial executor is.
        self._may_assign = True

    def run(self) -> RunResult:
        """Run the plan to its end.

        Returns:
            The free outputs.

        Raises:
            NodeError: a node failed; it is raised once no node is running any more.
            WorkerSetupError: a worker could not be set up.
            RunCancelledError: the run was cancelled.
        """
        scheduler = self._scheduler
        if (follow := self._executor.capabilities.follow) is not None:
            follow(scheduler.waiting)
        with safe_point():
            # Before workers are forked: while a forked worker exists, this process copies each page of memory that it writes to.
            expected = expected_seconds(self._plan, self._durations())
            main_only = self._executor.begin(self._bundle, self._run_until)
            if self._bundle.decisions is None or not self._bundle.decisions.nothing_runs:
                self._observers.before_first_node()  # while the workers start
            fuse_tiny = self._executor.capabilities.returns_rest
            scheduler.prepare(expected, main_only, self._bundle.undecided_nodes(), fuse_tiny=fuse_tiny)
        self._run_until()
        failures = self._failure_handler.failures
        error = failures.combine_errors(scheduler.done()) if failures.names else None
        if self._stopping.has_begun:
            raise self._stopping.error() from error
        if error is not None:
            raise error
        bundle = self._bundle
        return gather_results(bundle.run_id, bundle.plan, bundle.catalog, self._executor.detach, decisions=bundle.decisions)

    def _run_until(self, condition: Callable[[], bool] | None = None) -> None:
        """Run the loop until the run has ended or a condition is true."""
        scheduler, failure_handler, deadlines = self._scheduler, self._failure_handler, self._deadlines.queue
        while not scheduler.is_finished() and (condition is None or not condition()):
            self._assign_jobs()
            if scheduler.is_finished():
                break
            if self._stopping.begin_if_requested():
                self._may_assign = True
                continue
            self._received = self._wait()
            self._handle_received()
            if deadlines:
                failure_handler.handle_due()
                self._carry_out()
                self._may_assign = True
            if self._recycles:
                self._replace_worn_workers()
                self._may_assign = True

    def _handle_received(self) -> None:
        """Handle the events of the last `wait`; nodes that one worker finished in succession are handled together."""
        received, handled, since_assigned = self._received, 0, 0
        while handled < len(received):
            event = received[handled]
            fact = event.fact if type(event) is Report else None
            if type(fact) is FinishedNodes:
                self._nodes_finished(event.worker, fact)
                handled += 1
                since_assigned += len(fact.nodes)
            elif type(fact) is Finished:
                facts = [fact]
                for other in islice(received, handled + 1, handled + EVENTS_PER_ROUND - since_assigned):
                    if type(other) is not Report or type(other.fact) is not Finished or other.worker != event.worker:
                        break
                    facts.append(other.fact)
                self._each_finished(event.worker, facts)
                handled += len(facts)
                since_assigned += len(facts)
            else:
                self._handle(event)
                handled += 1
                since_assigned += 1
            if type(fact) is not Started:
                self._may_assign = True
            if self._scheduler.has_instructions:  # after most events of tiny nodes there are none
                self._carry_out()
            if since_assigned >= EVENTS_PER_ROUND and handled < len(received):  # workers get jobs before the rest is handled
                self._received = received = received[handled:]
                handled = since_assigned = 0
                self._assign_jobs()
                self._executor.flush()
        self._received = ()

    def _assign_jobs(self) -> None:
        """Submit jobs for the workers that have room, until there are no more."""
        while self._may_assign:
            self._may_assign = False
            if self._scheduler.assign():
                self._carry_out()

    def _wait(self) -> Sequence[PoolEvent]:
        """Wait for events until the next deadline; report the running nodes when nothing has happened for a while."""
        timeout, stalls = self._deadlines.seconds_left() if self._deadlines.queue else None, self._stalls
        if stalls is None:
            return self._executor.wait(timeout)
        started = time.monotonic()
        left = stalls.seconds_left() if stalls.since is not None else stalls.patience
        received = self._executor.wait(left if timeout is None else min(timeout, left))
        if not received:
            stalls.note_silence(started)
        elif stalls.since is not None:
            stalls.end()
        return received

    def _replace_worn_workers(self) -> None:
        """Replace the workers that have reached a limit, once they are idle and hold no value that exists nowhere else."""
        for worker in self._executor.worn():
            if not self._scheduler.assigned(worker) and not self._scheduler.has_values(worker):
                self._executor.retire(worker)
                self._scheduler.lose_worker(worker, None)
                self._carry_out()

    # --- instructions ----------------------------------------------------------------------------------------------------

    def _carry_out(self) -> None:
        """Carry out the scheduler's instructions until none is left."""
        next_instruction, handlers = self._scheduler.next_instruction, self._handlers
        jobs: list[RunJob] = []  # successive ones are submitted together
        while (instruction := next_instruction()) is not None:
            if type(instruction) is RunJob:
                jobs.append(instruction)
                continue
            if jobs:
                self._submit(jobs)
                jobs = []
            handlers[type(instruction)](self, instruction)
        if jobs:
            self._submit(jobs)
        self._dispatches.sent_all()

    def _submit(self, jobs: Sequence[RunJob]) -> None:
        if self._observers.active:
            for job in jobs:
                self._dispatches.sent(job)
        self._executor.submit(*jobs)
        for job in jobs if self._timeouts else ():
            timeout = self._timeouts.get(job.nodes[0])
            if timeout is not None and job.worker != MAIN:  # a job of one node
                check = TimeoutCheck(job.nodes[0], job.worker, self._scheduler.attempt(job.nodes[0]), timeout)
                self._deadlines.add(timeout, check)

    def _delay(self, delay: DelayNode) -> None:
        self._dispatches.delayed(delay.node, delay.seconds)
        self._deadlines.add(delay.seconds, Wake(delay.node))

    def _transfer(self, transfer: TransferValue) -> None:
        self._dispatches.requested(transfer.dataset)
        self._executor.transfer(transfer.dataset, transfer.worker)

    def _load(self, load: LoadValue) -> None:
        """Load a free input from the catalog into the store."""
        self._may_assign = True  # nodes are queued again if the value cannot be loaded, or cannot be sent
        name = self._plan.datasets[load.dataset].name
        if self._observers.active:
            self._dispatches.requested(load.dataset)
        try:
            with safe_point():
                value = self._bundle.catalog.load(name)
            placement = self._executor.put(load.dataset, value)
        except TreadleError as exc:
            if isinstance(exc, DatasetError) and exc.node is None:
                exc.node = self._plan.nodes[load.node].name
            if self._scheduler.load_failed(load.dataset, load.node):
                self._failure_handler.fail_unassigned(load.node, exc, record_failure(exc, phase="load", dataset=name))
        else:
            self._dispatches.arrived(load.dataset)
            self._scheduler.value_arrived(load.dataset, placement)

    def _release(self, release: ReleaseValue) -> None:
        if not release.is_local:
            self._executor.release(release.dataset, release.workers)
        if self._reports_releases:
            self._observers.notify(DatasetReleased(self._plan.datasets[release.dataset].name, time.time()))

    def _restart(self, restart: RestartWorker) -> None:
        if not self._scheduler.is_finished() or self._stopping.has_begun:
            self._executor.restart(restart.worker)

    def _decide(self, question: DecideNode) -> None:
        """Find out whether a node is up to date, now that it is known what its parents have saved."""
        self._may_assign = True
        name, decisions = self._plan.nodes[question.node].name, self._bundle.decisions
        with safe_point():
            is_up_to_date = decisions is not None and decisions.is_up_to_date(name)
        if not is_up_to_date:
            self._scheduler.require(question.node)
            return
        self._scheduler.reuse(question.node)
        self._observers.notify(NodeReused(name, time.time()))

    # --- events ----------------------------------------------------------------------------------------------------------

    def _handle(self, event: PoolEvent) -> None:
        if isinstance(event, Report):
            fact = event.fact
            if isinstance(fact, Started):
                self._reports.started(event.worker, fact.node, fact.at)
            elif isinstance(fact, Failed):
                self._node_failed(event.worker, fact)
            elif isinstance(fact, Transferred):
                self._value_transferred(event.worker, fact)
            elif isinstance(fact, JobsReturned):
                self._scheduler.return_nodes(fact.nodes, event.worker)
        elif isinstance(event, WorkerUp):
            self._worker_up(event)
        elif isinstance(event, WorkerDown):
            self._worker_down(event)
        elif isinstance(event, WorkerLeaving):
            self._scheduler.leave_worker(event.worker, is_leaving=event.is_leaving)
        else:
            self._failure_handler.setup_failed(event)
            self._executor.restart(event.worker)

    def _worker_up(self, event: WorkerUp) -> None:
        self._workers[event.worker] = event.pid
        if event.start is not None:
            self.worker_starts.append(event.start)
        self._failure_handler.worker_up(event.worker)
        self._scheduler.add_worker(event.worker)
        if self._observers.active:
            self._observers.notify(WorkerStarted(self._executor.label(event.worker), event.pid, time.time(), event.start))

    def _nodes_finished(self, worker: int, report: FinishedNodes) -> None:
        """Handle a report of several nodes, column by column, because these nodes are tiny."""
        if self._observers.active:
            self._reports.add_finished(worker, report.separate())
        for dataset, placement in report.placements:
            self._scheduler.value_made(dataset, placement)
        planned, seconds = self._plan.nodes, list(map(operator.sub, report.at, report.started))
        names = [planned[node].name for node in report.nodes]
        self._first_started = self._first_started or report.started[0]
        self.seconds.update(zip(names, seconds, strict=True))
        if (decisions := self._bundle.decisions) is not None:
            for name, contents in zip(names, report.contents or repeat(()), strict=False):
                decisions.node_finished(name, contents)
        self._finish(report.nodes, worker, seconds)

    def _each_finished(self, worker: int, facts: Sequence[Finished]) -> None:
        """Handle reports of one worker, each about one node."""
        if self._observers.active:
            self._reports.add_finished(worker, facts)
        decisions, taken, planned = self._bundle.decisions, self.seconds, self._plan.nodes
        nodes, seconds = [], []
        self._first_started = self._first_started or facts[0].started
        for _run, node, started, at, _loaded, _ran, _saved, outputs, contents in facts:  # faster than by name
            for dataset, handle in outputs:
                if (placement := handle.placement) is not SHARED:
                    self._scheduler.value_made(dataset, placement)
            name = planned[node].name
            taken[name] = took = at - started
            nodes.append(node)
            seconds.append(took)
            if decisions is not None:
                decisions.node_finished(name, contents)
        self._finish(nodes, worker, seconds)

    def _finish(self, nodes: Sequence[int], worker: int, seconds: Sequence[float]) -> None:
        self._scheduler.finish_all(nodes, worker, seconds)
        self._reports.report_finished()  # last: observers take long, and an interrupt that comes meanwhile must not undo the rest

    def _value_transferred(self, worker: int, fact: Transferred) -> None:
        placement = fact.handle.placement
        if not placement.movable and placement.size:
            self._failure_handler.note_unmovable(fact.dataset, placement.reason)
        self._dispatches.arrived(fact.dataset)
        self._scheduler.value_arrived(fact.dataset, placement, worker)

    def _node_failed(self, worker: int, fact: Failed) -> None:
        self._reports.started(worker, fact.node, fact.started)
        self._reports.ended(fact.node)
        self._failure_handler.attempt_failed(worker, fact)

    def _worker_down(self, event: WorkerDown) -> None:
        if self._stopping.has_begun:
            self._scheduler.lose_worker(event.worker, None)
        else:
            self._report_loss(event)
        self._executor.forget_worker(event.worker)  # last: the sizes of a node's inputs are part of its error

    def _report_loss(self, event: WorkerDown) -> None:
        culprit, timed_out = self._failure_handler.attribute_loss(event)
        if culprit is not None:
            self._reports.started(event.worker, culprit, event.started or time.time())
            self._reports.ended(culprit)
        elif event.node is not None:
            self._reports.ended(event.node)  # it was running, is not at fault, and starts again
        self._failure_handler.worker_lost(event, culprit, timed_out=timed_out)

    # --- reports ---------------------------------------------------------------------------------------------------------

    def report_interrupted(self) -> None:
        """Report the nodes that had finished when the run was interrupted, and those that were running.

        Workers first return the nodes that are queued there: they would run until the workers are killed, and not be reported.
        A failure is not reported: a node that fails at this moment has probably failed because of the interrupt. Instructions are
        not carried out: nothing starts any more.
        """
        held = {worker: len(self._scheduler.assigned(worker)) for worker in self._workers if worker != MAIN}
        with suppress(TreadleError):  # the workers cannot be reached: the interrupt is what ends the run
            for worker in [worker for worker, count in held.items() if count]:  # the only node may not have started either
                self._executor.cancel(worker)
            self._executor.flush()
        self._reports.report_finished()
        running = self._executor.running()
        waiting = {worker: count - (worker in running) for worker, count in held.items()}
        events = list(self._received)
        with suppress(TreadleError):
            events += self._executor.last_events(waiting)
        for event in separate(events):  # an interrupt may have come after some of the nodes of a report were handled
            fact = event.fact if isinstance(event, Report) else None
            if isinstance(fact, Started):
                self._reports.started(event.worker, fact.node, fact.at)
            elif isinstance(fact, Finished) and self._scheduler.holds(event.worker, fact.node):
                self._each_finished(event.worker, [fact])
        # A node that has finished since the last events was running before them.
        for worker, started in [*running.items(), *self._executor.running().items()]:
            self._reports.started(worker, started.node, started.at)

    def run_times(self, runner: str, workers: int, seconds: float, started: float) -> RunTimes:
        """Return how long the run and its nodes took.

        Args:
            runner: the runner's name.
            workers: its number of workers.
            seconds: how long the run took.
            started: when it began, in seconds since the epoch.
        """
        return RunTimes(runner, workers, seconds, max(0.0, self._first_started - started), self.seconds)

    def finished_event(self, outcome: Outcome, at: float) -> RunFinished:
        """Return the last event of the run: how it ended, and when, in seconds since the epoch."""
        done = self._scheduler.done() if outcome is not Outcome.SUCCEEDED else ()
        resume_from = resume_nodes(self._plan, done) if done else ()
        return RunFinished(self._bundle.run_id, at, outcome, self._failure_handler.failures.names, resume_from)

    # Functions, not bound methods: a loop that refers to itself would stay in memory until a garbage collection, with its run.
    _handlers: ClassVar[Mapping[type, Callable[[RunLoop, Any], object]]] = {
        LoadValue: _load,
        TransferValue: _transfer,
        ReleaseValue: _release,
        SkipNode: lambda self, each: self._observers.notify(NodeSkipped(self._plan.nodes[each.node].name, time.time())),
        RejectNode: lambda self, each: self._failure_handler.reject_node(each.node),
        DecideNode: _decide,
        DelayNode: _delay,
        CancelJobs: lambda self, each: self._executor.cancel(each.worker),
        RestartWorker: _restart,
    }
    """How each instruction of the scheduler is carried out, but RunJob."""
