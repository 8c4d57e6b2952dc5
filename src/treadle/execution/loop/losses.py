"""Workers that are gone: which node it was, whether the run ended the worker itself, and the error to tell.

State: which workers were ended, and how often one died on its way to a node. Neighbours: `loop.py` asks and applies the answer,
`verdict.py` has the words.
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

_LOSSES_TO_BLAME = 2
"""So many workers that die on their way to the same node make it the culprit: unpickling its parts may be what kills."""


class Losses:
    """The judge of lost workers.

    Args:
        material: the run.
        executor: has the workers.
        limits: seconds that an attempt may take, by node.
    """

    def __init__(self, material: RunBundle, executor: Executor, limits: Mapping[int, float]) -> None:
        self._material = material
        self._executor = executor
        self._limits = limits
        self._ended: dict[int, int] = {}  # worker that was ended -> its node, which took too long
        self._before: dict[int, int] = {}  # how often a worker died on its way to a node

    def end(self, worker: int, node: int) -> None:
        """End a worker, because its node takes too long."""
        self._ended[worker] = node
        self._executor.kill(worker)

    def judge(self, event: WorkerDown, held: Sequence[int]) -> tuple[int | None, bool]:
        """Say what a worker's end means.

        Args:
            event: what is known of it.
            held: the nodes that it had, in order.

        Returns:
            The node at fault, None where there is none; and whether the worker was ended by `end`.
        """
        too_slow = self._ended.pop(event.worker, None)
        if too_slow is not None:
            return (too_slow if too_slow in held else None), True  # it may have ended at the last moment
        if event.node in held:
            return event.node, False
        if held:  # one that dies between two nodes takes none along; one that dies before it wrote the board had its first
            self._before[held[0]] = self._before.get(held[0], 0) + 1
            if self._before[held[0]] == _LOSSES_TO_BLAME:
                del self._before[held[0]]  # its next attempt, where it has one, is counted anew
                return held[0], False
        return None, False

    def error(self, node: int, attempt: int, event: WorkerDown, *, too_slow: bool) -> tuple[NodeError, Failure]:
        """Make the error of a node whose worker is gone, and the record of the failure.

        Args:
            node: the node at fault.
            attempt: the attempt's number.
            event: what is known of the worker's end.
            too_slow: the worker was ended for it.
        """
        name, label = self._material.plan.nodes[node].name, self._executor.label(event.worker)
        facts = {"run_id": self._material.run_id, "node": name, "worker": label, "attempt": attempt}
        if too_slow:
            limit = self._limits[node]
            elapsed = event.seconds if event.seconds is not None else limit
            message = describe_timeout(name, limit, elapsed, ended=label)
            failure = Failure("treadle.errors.NodeTimeoutError", message, "", phase="timeout")
            return NodeTimeoutError(message, **facts, failure=failure, timeout=limit, elapsed=elapsed), failure
        message = describe_loss(label, event, name, self._sizes(node))
        failure = Failure("WorkerLostError", message, event.failure.traceback if event.failure is not None else "")
        peak = event.peak_memory or None
        return WorkerLostError(message, **facts, failure=failure, exitcode=event.exitcode, peak_memory=peak), failure

    def _sizes(self, node: int) -> tuple[tuple[str, int], ...]:
        datasets = self._material.plan.datasets
        sizes = [(datasets[dataset].name, self._executor.size(dataset)) for dataset in self._material.plan.nodes[node].inputs]
        return tuple((name, size) for name, size in sizes if size)
