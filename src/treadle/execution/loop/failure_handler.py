"""What becomes of what goes wrong in a run: the node has another attempt, or it has failed, with what that means for the rest.

An exception, a lost worker, a timeout and a value that nobody can have come to the same here. State: which values have to stay
where they are; the rest is that of its neighbours: `failures.py` keeps what failed, `losses.py` judges lost workers,
`deadlines.py` knows what is due when. `loop.py` says what happened, and forgets the values that nobody needs any more.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from treadle.errors import DatasetError, WorkerSetupError
from treadle.events import NodeFailed, WorkerLost
from treadle.execution.attempt.failure import record_failure, restore_exception
from treadle.execution.loop.deadlines import Wake
from treadle.execution.loop.failures import Failures
from treadle.execution.loop.losses import Losses
from treadle.execution.loop.verdict import describe_loss, describe_setup_failure
from treadle.execution.values.transfer import describe_no_room

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from treadle.errors import NodeError
    from treadle.events import Failure
    from treadle.execution.executors.events import SetupFailed, WorkerDown
    from treadle.execution.executors.executor import Executor
    from treadle.execution.loop.deadlines import Deadlines
    from treadle.execution.loop.observers import Observers
    from treadle.execution.packing.bundle import RunBundle
    from treadle.execution.protocol.messages import Failed
    from treadle.execution.scheduling.scheduler import Scheduler

_logger = logging.getLogger(__name__)

_EARLY_DEATHS = 3
"""Processes of one worker that may die in succession before they are set up; then the run ends with an error."""


class FailureHandler:
    """Sees to the nodes and workers of a run that fail.

    Args:
        material: the run.
        executor: where it runs.
        scheduler: decides who is tried again.
        deadlines: takes the next attempts that are due later.
        observers: the observers of the run.
        limits: seconds that an attempt may take in a worker process, by node.
        workers: those that there have been so far.
    """

    def __init__(
        self,
        material: RunBundle,
        executor: Executor,
        scheduler: Scheduler,
        deadlines: Deadlines,
        observers: Observers,
        *,
        limits: Mapping[int, float],
        workers: Collection[int],
    ) -> None:
        self._material = material
        self._plan = material.plan
        self._executor = executor
        self._scheduler = scheduler
        self._deadlines = deadlines
        self._observers = observers
        self._workers = workers
        self._losses = Losses(material, executor, limits)
        self._early_deaths: dict[int, int] = {}  # worker -> its processes that died in succession before they were set up
        self._no_room: dict[int, str] = {}  # values that had to stay where they are, and what was free where
        self.failures = Failures(material)
        """What failed for good."""

    def attempt_failed(self, worker: int, fact: Failed) -> None:
        """A worker reported that a node failed."""
        label, attempt = self._executor.label(worker), self._scheduler.attempt(fact.node)
        self._scheduler.give_back(fact.dropped, worker)
        if self._try_again(fact.node, worker, label, fact.started, fact.at, fact.failure):
            return
        error = self.failures.error_of(fact.node, fact.failure, fact.original, worker=label, attempt=attempt)
        self._fail(fact.node, worker, error)

    def judge(self, event: WorkerDown) -> tuple[int | None, bool]:
        """Say what a worker's end means: the node at fault, None where there is none; and whether it was ended for its time."""
        return self._losses.judge(event, self._scheduler.assigned(event.worker))

    def worker_lost(self, event: WorkerDown, culprit: int | None, *, too_slow: bool) -> None:
        """A worker is gone.

        Args:
            event: what is known of it.
            culprit: the node at fault, None where there is none.
            too_slow: the worker was ended for it.
        """
        label, now = self._executor.label(event.worker), time.time()
        if not too_slow:  # an end that was not asked for
            name = self._plan.nodes[culprit].name if culprit is not None else None
            self._observers.notify(WorkerLost(label, event.pid, now, event.exitcode, name))
            if culprit is None:
                _logger.warning("%s", describe_loss(label, event, None, ()))
        self._scheduler.lose_worker(event.worker, culprit)
        if culprit is None:
            return
        if event.started is not None and event.seconds is not None:
            now = event.started + event.seconds  # the wall clock may have been set meanwhile
        error, failure = self._losses.error(culprit, self._scheduler.attempt(culprit), event, too_slow=too_slow)
        self.failures.tell_hooks(culprit, error)
        if not self._try_again(culprit, None, label, event.started, now, failure):
            self._fail(culprit, None, error)

    def worker_up(self, worker: int) -> None:
        """A worker is set up: earlier deaths of its processes do not count any more."""
        self._early_deaths.pop(worker, None)

    def setup_failed(self, event: SetupFailed) -> None:
        """A worker was not set up. A process that died meanwhile is replaced, like any lost worker, a few times.

        Raises:
            WorkerSetupError: its set-up raised an exception, or one process after the other died.
        """
        label = self._executor.label(event.worker)
        deaths = self._early_deaths[event.worker] = self._early_deaths.get(event.worker, 0) + 1
        message = describe_setup_failure(label, event)
        if event.failure is None:
            self._observers.notify(WorkerLost(label, event.pid, time.time(), event.exitcode, None))
            if deaths < _EARLY_DEATHS:
                _logger.warning("%s Another worker takes its place.", message)
                return
            message += f" So did the {_EARLY_DEATHS - 1} processes before it."
        error = WorkerSetupError(message, run_id=self._material.run_id, worker=label, failure=event.failure)
        raise error from (restore_exception(event.failure) if event.failure is not None else None)

    def fail_here(self, node: int, exc: BaseException, failure: Failure) -> None:
        """A node failed before it could be assigned."""
        now, attempt = time.time(), self._scheduler.attempt(node) + 1
        self._observers.notify(NodeFailed(self._plan.nodes[node].name, "main", attempt, None, now, failure))
        self._fail(node, None, self.failures.error_of(node, failure, exc, worker=None, attempt=attempt))

    def cannot_run(self, node: int) -> None:
        """No worker can have all inputs of a node."""
        planned = self._plan.nodes[node]
        pinned = [self._plan.datasets[dataset].name for dataset in planned.inputs if self._plan.datasets[dataset].in_memory]
        msg = (
            f"Node '{planned.name}' needs values that cannot be pickled and were made in different processes "
            f"(among {', '.join(repr(name) for name in pinned)}), so no process has them all. Give one of them an entry in "
            "the catalog, make them in one node, or use a runner without worker processes (sequential or thread)."
        )
        culprit = pinned[0]
        for dataset in self._no_room.keys() & set(planned.inputs):
            culprit = self._plan.datasets[dataset].name
            msg = describe_no_room(culprit, planned.name, self._no_room[dataset])
        exc = DatasetError(msg, dataset=culprit, node=planned.name)
        self.fail_here(node, exc, record_failure(exc, phase="load", dataset=culprit))

    def note_no_room(self, dataset: int, reason: str) -> None:
        """A value has to stay where it is, because there is no room for it elsewhere."""
        self._no_room[dataset] = reason

    def keep_deadlines(self) -> None:
        """See to what is due: wake nodes for their next attempt, end workers whose node takes too long."""
        for due in self._deadlines.take_due():
            if isinstance(due, Wake):
                self._scheduler.wake(due.node)
            elif self._scheduler.holds(due.worker, due.node) and self._scheduler.attempt(due.node) == due.attempt:
                running = self._executor.running().get(due.worker)
                seconds = time.monotonic() - running.since if running is not None and running.node == due.node else None
                # One that has not started, behind another job of its worker, cannot be late before another whole limit.
                left = due.limit if seconds is None else due.limit - seconds
                if left > 0:
                    self._deadlines.add(left, due)
                else:
                    self._losses.end(due.worker, due.node)

    def _try_again(self, node: int, worker: int | None, label: str, started: float | None, at: float, failure: Failure) -> bool:
        """An attempt failed: report it; return True where the node has another one."""
        attempt = self._scheduler.attempt(node)
        # A node that calls sys.exit has decided how the run ends.
        again = failure.type_name != "SystemExit" and self._scheduler.retry(node, worker)
        self._observers.notify(NodeFailed(self._plan.nodes[node].name, label, attempt, started, at, failure, final=not again))
        return again

    def _fail(self, node: int, worker: int | None, error: NodeError) -> None:
        """A node failed and has no other attempt."""
        self.failures.note(error)
        self._scheduler.fail(node, worker)
        if not self._scheduler.is_stopped():
            return
        running = [self._plan.nodes[node].name for each in self._workers for node in self._scheduler.assigned(each)[:1]]
        if running:
            _logger.info("A node failed. Waiting for what is running to finish (Ctrl-C stops it): %s", ", ".join(running))
