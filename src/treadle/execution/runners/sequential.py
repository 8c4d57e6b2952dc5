"""The sequential runner: it runs one node after the other, in the thread that called `run`. State: that of every runner."""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.execution.runners.runner import Runner

if TYPE_CHECKING:
    from collections.abc import Mapping

    from treadle.execution.executors.executor import Executor
    from treadle.pipeline.policy import FailurePolicy
    from treadle.pipeline.quantities import Amount
    from treadle.planning import Plan


class SequentialRunner(Runner):
    """Run one node after the other in the calling thread: for debugging, and for pipelines of tiny nodes.

    Args:
        is_async: load a node's inputs concurrently, and save its outputs concurrently, in threads.
        resources: the total of each resource that running nodes may use: `{"gpu": 1, "memory": "16GB"}`.
        on_failure: `"continue"` to run the nodes that do not depend on a failed node.
        seed: makes the random numbers of each node reproducible: they depend only on the seed and the node's name.
    """

    name = "sequential"

    def __init__(
        self,
        *,
        is_async: bool = False,
        resources: Mapping[str, Amount] | None = None,
        on_failure: str | FailurePolicy | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__(1, is_async=is_async, resources=resources, on_failure=on_failure, seed=seed)

    def make_executor(self, plan: Plan) -> Executor:  # noqa: ARG002 - the same executor runs every plan
        """Make the executor."""
        from treadle.execution.executors.serial import serial_executor

        return serial_executor()
