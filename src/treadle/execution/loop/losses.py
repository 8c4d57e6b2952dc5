"""Lost workers: which node is at fault, whether the run killed the worker itself, and the error that results.

State: which workers the run killed, and how often one died before it started a node. Runs in the parent. Neighbours:
`failure_handler.py` calls it, `verdict.py` words the messages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.errors import NodeError, NodeTimeoutError, WorkerLostError
from treadle.events import Failure
from treadle.execution.attempt.verdict import describe_timeout
from treadle.execution.loop.verdict import describe_loss

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from treadle.execution.executors.events import WorkerDown
    from treadle.execution.executors.executor import Executor
    from treadle.execution.packing.bundle import RunBundle

_LOSSES_UNTIL_BLAMED = 2
"""A node is at fault once this many workers died just before it started: unpickling its function or inputs may kill them."""


class Losses:
    """Attribute lost workers to nodes.

    Args:
        bundle: the run.
        executor: the executor, which has the workers.
        timeouts: seconds that an attempt may take, by node.
    """

    def __init__(self, bundle: RunBundle, executor: Executor, timeouts: Mapping[int, float]) -> None:
        self._bundle = bundle
        self._executor = executor
        self._timeouts = timeouts
        self._killed: dict[int, int] = {}  # worker that the run killed -> its node, which reached its timeout
        self._unstarted: dict[int, int] = {}  # node -> how many workers died just before they started it

    def kill_worker(self, worker: int, node: int) -> None:
        """Kill a worker because its node reached its timeout."""
        self._killed[worker] = node
        self._executor.kill(worker)

    def attribute(self, event: WorkerDown, held: Sequence[int]) -> tuple[int | None, bool]:
        """Find the node at fault for a lost worker.

        Args:
            event: how the worker ended.
            held: the nodes that were assigned to it, in order.

        Returns:
            The node at fault, None if there is none; and whether `kill_worker` ended the worker.
        """
        killed_for = self._killed.pop(event.worker, None)
        if killed_for is not None:
            return (killed_for if killed_for in held else None), True  # the node may have finished at the last moment
        if event.left:
            return None, False
        if event.node in held:
            return event.node, False
        # Between two nodes, none is at fault; but it may have died while it unpickled the next one, which is not recorded.
        if held and not event.was_idle:
            self._unstarted[held[0]] = self._unstarted.get(held[0], 0) + 1
            if self._unstarted[held[0]] == _LOSSES_UNTIL_BLAMED:
                del self._unstarted[held[0]]  # count again from zero for the next attempt
                return held[0], False
        return None, False

    def error(self, node: int, attempt: int, event: WorkerDown, *, timed_out: bool) -> tuple[NodeError, Failure]:
        """Make the error of a node whose worker was lost, and the record of the failure.

        Args:
            node: the node at fault.
            attempt: the attempt's number.
            event: how the worker ended.
            timed_out: True if the worker was killed because the node reached its timeout.
        """
        name, label = self._bundle.plan.nodes[node].name, self._executor.label(event.worker)
        facts = {"run_id": self._bundle.run_id, "node": name, "worker": label, "attempt": attempt}
        if timed_out:
            timeout = self._timeouts[node]
            elapsed = event.seconds if event.seconds is not None else timeout
            message = describe_timeout(name, timeout, elapsed, ended=label)
            failure = Failure("treadle.errors.NodeTimeoutError", message, "", phase="timeout")
            return NodeTimeoutError(message, **facts, failure=failure, timeout=timeout, elapsed=elapsed), failure
        message = describe_loss(label, event, name, self._sizes(node))
        failure = Failure("WorkerLostError", message, event.failure.traceback if event.failure is not None else "")
        peak = event.peak_memory or None
        return WorkerLostError(message, **facts, failure=failure, exitcode=event.exitcode, peak_memory=peak), failure

    def _sizes(self, node: int) -> tuple[tuple[str, int], ...]:
        datasets = self._bundle.plan.datasets
        sizes = [(datasets[dataset].name, self._executor.size(dataset)) for dataset in self._bundle.plan.nodes[node].inputs]
        return tuple((name, size) for name, size in sizes if size)
