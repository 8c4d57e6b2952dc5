"""Handle the failures of a run: the node is attempted again, or it has failed, and its policy decides about the rest.

Exceptions, lost workers, timeouts and inputs that no worker can get are all handled here. State: the values that cannot be moved
to another process, and how often a worker died during its set-up. Runs in the parent. Neighbours: `loop.py` calls it,
`failures.py` collects the failed nodes, `losses.py` finds the node that is at fault for a lost worker, `deadlines.py` keeps the
timers.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from treadle.errors import DatasetError, WorkerSetupError
from treadle.events import NodeFailed, WorkerLost
from treadle.execution.attempt.failure import record_failure, restore_exception
from treadle.execution.loop.deadlines import EndRunning, Wake
from treadle.execution.loop.failures import Failures
from treadle.execution.loop.losses import Losses
from treadle.execution.loop.verdict import describe_loss, describe_setup_failure
from treadle.execution.values.transfer import describe_no_room
from treadle.exits import describe_exit

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from treadle.errors import NodeError
    from treadle.events import Failure
    from treadle.execution.executors.events import SetupFailed, WorkerDown
    from treadle.execution.executors.executor import Executor
    from treadle.execution.loop.deadlines import Deadlines
    from treadle.execution.loop.dispatches import Dispatches
    from treadle.execution.loop.observers import Observers
    from treadle.execution.packing.bundle import RunBundle
    from treadle.execution.protocol.messages import Failed
    from treadle.execution.scheduling.scheduler import Scheduler

_logger = logging.getLogger(__name__)

_EARLY_DEATHS = 3
"""After this many processes of one worker have died in a row before they were set up, the run ends with an error."""

_IDLE_DEATHS = 10
"""After this many processes of one worker have died in a row before they got a node, while no worker had one, the run ends."""


class FailureHandler:
    """Handle the nodes and workers of a run that fail.

    Args:
        bundle: the run.
        executor: where it runs.
        scheduler: decides which nodes are attempted again.
        deadlines: keeps the attempts that are due later.
        observers: the observers of the run.
        dispatches: when each attempt was sent to its worker.
        timeouts: seconds that an attempt may take in a worker process, by node.
        workers: all workers that have been ready so far; a live view.
    """

    def __init__(
        self,
        bundle: RunBundle,
        executor: Executor,
        scheduler: Scheduler,
        deadlines: Deadlines,
        observers: Observers,
        dispatches: Dispatches,
        *,
        timeouts: Mapping[int, float],
        workers: Collection[int],
    ) -> None:
        self._bundle = bundle
        self._plan = bundle.plan
        self._executor = executor
        self._scheduler = scheduler
        self._deadlines = deadlines
        self._observers = observers
        self._dispatches = dispatches
        self._workers = workers
        self._losses = Losses(bundle, executor, timeouts)
        self._early_deaths: dict[int, int] = {}  # worker -> how many of its processes died in a row before set-up
        self._idle_deaths: dict[int, tuple[int, int]] = {}  # how many died after that, and the number of unfinished nodes then
        self._unmovable: dict[int, str] = {}  # large values that did not fit anywhere else, with the free space as text
        self.failures = Failures(bundle)
        """The nodes that failed and are not attempted again."""

    def attempt_failed(self, worker: int, fact: Failed) -> None:
        """Handle a failed attempt that a worker reported."""
        label, attempt = self._executor.label(worker), self._scheduler.attempt(fact.node)
        self._scheduler.return_nodes(fact.dropped, worker)
        if self._retry(fact.node, worker, label, fact.started, fact.at, fact.failure):
            return
        error = self.failures.make_error(fact.node, fact.failure, fact.original, worker=label, attempt=attempt)
        self._fail(fact.node, worker, error)

    def attribute_loss(self, event: WorkerDown) -> tuple[int | None, bool]:
        """Find the node at fault for a lost worker, None if there is none; and whether the run killed the worker itself."""
        return self._losses.attribute(event, self._scheduler.assigned(event.worker))

    def worker_lost(self, event: WorkerDown, culprit: int | None, *, timed_out: bool) -> None:
        """Handle a lost worker.

        Args:
            event: how it ended.
            culprit: the node at fault, None if there is none.
            timed_out: True if the run killed the worker, because its node reached its timeout.
        """
        label, now = self._executor.label(event.worker), time.time()
        if event.left and not timed_out:
            self._report_left(label, event, now)
        elif not timed_out:  # the worker was not killed by the run
            name = self._plan.nodes[culprit].name if culprit is not None else None
            self._observers.notify(WorkerLost(label, event.pid, now, event.exitcode, name))
            if culprit is None:
                _logger.warning("%s", describe_loss(label, event, None, ()))
                if event.node is None and not self._scheduler.assigned(event.worker):
                    self._count_idle_death(event, label)
        self._scheduler.lose_worker(event.worker, culprit)
        if culprit is None:
            return
        if event.started is not None and event.seconds is not None:
            now = event.started + event.seconds  # the wall clock may have been changed meanwhile
        error, failure = self._losses.error(culprit, self._scheduler.attempt(culprit), event, timed_out=timed_out)
        self.failures.call_error_hooks(culprit, error)
        if not self._retry(culprit, None, label, event.started, now, failure):
            self._fail(culprit, None, error)

    def _count_idle_death(self, event: WorkerDown, label: str) -> None:
        """Note that a worker died before it got a node.

        Raises:
            WorkerSetupError: as those before it did, and no worker has a node, so that the run would go on like this for ever.
        """
        unfinished = self._scheduler.unfinished
        deaths, unfinished_before = self._idle_deaths.get(event.worker, (0, unfinished))
        deaths = deaths + 1 if unfinished == unfinished_before else 1
        self._idle_deaths[event.worker] = (deaths, unfinished)
        if deaths >= _IDLE_DEATHS and not any(map(self._scheduler.assigned, self._workers)):
            msg = (
                f"{label} (pid {event.pid}) {describe_exit(event.exitcode)} after it had been set up, before it got a node. So "
                f"did the {deaths - 1} processes before it, so the run ends. Probably code that the project imports ends the "
                "process, such as a thread that it starts, or memory has run out."
            )
            raise WorkerSetupError(msg, run_id=self._bundle.run_id, worker=label, failure=event.failure)

    def _report_left(self, label: str, event: WorkerDown, now: float) -> None:
        """Report a worker that was shut down from outside; a node that it was running runs again."""
        if event.node is None:
            _logger.info("%s (pid %d) has left the cluster.", label, event.pid)
            return
        name = self._plan.nodes[event.node].name
        self._observers.notify(WorkerLost(label, event.pid, now, event.exitcode, name))
        _logger.warning("%s (pid %d) was shut down while it ran node '%s', which runs again elsewhere.", label, event.pid, name)

    def worker_up(self, worker: int) -> None:
        """Note that a worker is set up: earlier deaths of its processes no longer count."""
        self._early_deaths.pop(worker, None)

    def setup_failed(self, event: SetupFailed) -> None:
        """Handle a worker that was not set up. A process that died during its set-up is replaced a few times.

        Raises:
            WorkerSetupError: its set-up raised an exception, or several processes in a row died.
        """
        label = self._executor.label(event.worker)
        deaths = self._early_deaths[event.worker] = self._early_deaths.get(event.worker, 0) + 1
        message = describe_setup_failure(label, event)
        if event.failure is None:
            self._observers.notify(WorkerLost(label, event.pid, time.time(), event.exitcode, None))
            if deaths < _EARLY_DEATHS:
                _logger.warning("%s A new process replaces it.", message)
                return
            message += f" The {_EARLY_DEATHS - 1} processes before it died too, so the run ends."
        error = WorkerSetupError(message, run_id=self._bundle.run_id, worker=label, failure=event.failure)
        raise error from (restore_exception(event.failure) if event.failure is not None else None)

    def fail_unassigned(self, node: int, exc: BaseException, failure: Failure) -> None:
        """Fail a node that could not be assigned to a worker."""
        now, attempt = time.time(), self._scheduler.attempt(node) + 1
        self._observers.notify(NodeFailed(self._plan.nodes[node].name, "main", attempt, None, now, failure))
        self._fail(node, None, self.failures.make_error(node, failure, exc, worker=None, attempt=attempt))

    def reject_node(self, node: int) -> None:
        """Fail a node because no single worker can get all of its inputs."""
        planned = self._plan.nodes[node]
        pinned = [self._plan.datasets[dataset].name for dataset in planned.inputs if self._plan.datasets[dataset].in_memory]
        msg = (
            f"Node '{planned.name}' needs inputs that cannot be pickled and were made in different processes "
            f"(among {', '.join(repr(name) for name in pinned)}), so no process can have all of them. Give one of them an entry "
            "in the catalog, return them from one node, or use a runner without worker processes (sequential or thread)."
        )
        culprit = pinned[0]
        for dataset in self._unmovable.keys() & set(planned.inputs):
            culprit = self._plan.datasets[dataset].name
            msg = describe_no_room(culprit, planned.name, self._unmovable[dataset])
        exc = DatasetError(msg, dataset=culprit, node=planned.name)
        self.fail_unassigned(node, exc, record_failure(exc, phase="load", dataset=culprit))

    def note_unmovable(self, dataset: int, reason: str) -> None:
        """Note that a value cannot be moved to another process, because there is no room for it."""
        self._unmovable[dataset] = reason

    def handle_due(self) -> None:
        """Act on the deadlines that are due: wake nodes for their next attempt, kill workers whose node reached its timeout.

        Raises:
            RunCancelledError: nodes of a cancelled run cannot be ended.
        """
        for due in self._deadlines.pop_due():
            if isinstance(due, Wake):
                self._scheduler.wake(due.node)
            elif isinstance(due, EndRunning):
                due.end()
            elif self._scheduler.holds(due.worker, due.node) and self._scheduler.attempt(due.node) == due.attempt:
                running = self._executor.running().get(due.worker)
                seconds = time.monotonic() - running.since if running is not None and running.node == due.node else None
                # A node that still waits behind another job of its worker has its whole timeout left.
                left = due.timeout if seconds is None else due.timeout - seconds
                if left > 0:
                    self._deadlines.add(left, due)
                else:
                    self._losses.kill_worker(due.worker, due.node)

    def _retry(self, node: int, worker: int | None, label: str, started: float | None, at: float, failure: Failure) -> bool:
        """Report a failed attempt; return True if the node gets another one."""
        attempt = self._scheduler.attempt(node)
        # A node that calls sys.exit() ends the run on purpose.
        retried = failure.type_name != "SystemExit" and self._scheduler.retry(node, worker)
        dispatch = self._dispatches.take(node)
        name = self._plan.nodes[node].name
        self._observers.notify(NodeFailed(name, label, attempt, started, at, failure, final=not retried, dispatch=dispatch))
        return retried

    def _fail(self, node: int, worker: int | None, error: NodeError) -> None:
        """Mark a node as failed; it gets no other attempt."""
        self.failures.add(error)
        self._scheduler.fail(node, worker)
        if not self._scheduler.is_stopped():
            return
        running = [self._plan.nodes[node].name for each in self._workers for node in self._scheduler.assigned(each)[:1]]
        if running:
            _logger.info("A node failed. Waiting for the running nodes to finish (Ctrl-C stops them): %s", ", ".join(running))
