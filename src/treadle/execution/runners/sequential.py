"""The sequential runner: one node after the other, in the thread that called `run`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.execution.executors.serial import serial_executor
from treadle.execution.runners.runner import Runner

if TYPE_CHECKING:
    from collections.abc import Mapping

    from treadle.execution.executors.executor import Executor
    from treadle.pipeline.policy import Amount, FailurePolicy
    from treadle.planning import Plan


class SequentialRunner(Runner):
    """Run one node after the other in the calling thread: for debugging, and for pipelines of tiny nodes.

    Args:
        is_async: load a node's inputs, and save its outputs, at the same time, by threads.
        resources: how much of each resource nodes may use together: `{"gpu": 1, "memory": "16GB"}`.
        on_failure: `"continue"` to go on with what does not depend on a node that failed.
        seed: makes the random numbers of each node reproducible: they depend on it and on the node's name alone.
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

    def make_executor(self, plan: Plan) -> Executor:  # noqa: ARG002 - one executor fits every plan
        """Make the executor."""
        return serial_executor()
