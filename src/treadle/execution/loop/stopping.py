"""Stop a run that is cancelled: start no more nodes, and end those that are still running after a moment.

State: whether the run is being stopped. Runs in the parent. Neighbours: `cancellation.py` has the request, `loop.py` checks for
it before each wait, `failure_handler.py` ends the running nodes when that is due.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.execution.loop.cancellation import GRACE_SECONDS, cancelled_error
from treadle.execution.loop.deadlines import EndRunning
from treadle.execution.protocol.messages import MAIN

if TYPE_CHECKING:
    from collections.abc import Collection

    from treadle.errors import RunCancelledError
    from treadle.execution.executors.executor import Executor
    from treadle.execution.loop.cancellation import Cancellation
    from treadle.execution.loop.deadlines import Deadlines
    from treadle.execution.packing.bundle import RunBundle
    from treadle.execution.scheduling.scheduler import Scheduler


class Stopping:
    """Stop one run when it is cancelled.

    Args:
        cancellation: the request; None if the run cannot be cancelled.
        bundle: the run.
        executor: where it runs.
        scheduler: has the nodes of each worker.
        deadlines: get the time at which the running nodes are ended.
        workers: all workers that have been ready so far; a live view.
    """

    def __init__(
        self,
        cancellation: Cancellation | None,
        bundle: RunBundle,
        executor: Executor,
        scheduler: Scheduler,
        deadlines: Deadlines,
        workers: Collection[int],
    ) -> None:
        self.has_begun = False
        """Whether the run is being stopped."""
        self._cancellation = cancellation
        self._bundle = bundle
        self._executor = executor
        self._scheduler = scheduler
        self._deadlines = deadlines
        self._workers = workers

    def begin_if_requested(self) -> bool:
        """Stop the run if that was requested since the last call; return whether there are new instructions."""
        if self._cancellation is None or self.has_begun or not self._cancellation.is_requested:
            return False
        self.has_begun = True
        self._scheduler.stop()
        self._deadlines.add(GRACE_SECONDS, EndRunning(self._end_running))
        return True

    def _end_running(self) -> None:
        """Kill the workers that are still running nodes.

        Raises:
            RunCancelledError: they are threads, which cannot be killed.
        """
        busy = [worker for worker in self._workers if self._scheduler.assigned(worker)]
        capabilities = self._executor.capabilities
        if capabilities.can_kill:
            for worker in busy:
                if worker != MAIN:  # a node of the main process ends by itself
                    self._executor.kill(worker)
        elif capabilities.concurrent and busy:
            nodes = self._bundle.plan.nodes
            raise self.error(tuple(nodes[self._scheduler.assigned(worker)[0]].name for worker in busy))

    def error(self, abandoned: tuple[str, ...] = ()) -> RunCancelledError:
        """Make the error of the cancelled run.

        Args:
            abandoned: the nodes that are still running.
        """
        return cancelled_error(self._bundle.run_id, abandoned)
