"""The sequential runner: one node after the other, in the thread that called `run`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.execution.executors.serial import SerialExecutor
from treadle.execution.runners.runner import Runner

if TYPE_CHECKING:
    from collections.abc import Mapping

    from treadle.execution.executor import Executor
    from treadle.pipeline.policy import Amount, FailurePolicy
    from treadle.planning import Plan


class SequentialRunner(Runner):
    """Run one node after the other in the calling thread: for debugging, and for pipelines of tiny nodes."""

    name = "sequential"

    def __init__(
        self,
        *,
        is_async: bool = False,
        resources: Mapping[str, Amount] | None = None,
        on_failure: str | FailurePolicy | None = None,
    ) -> None:
        super().__init__(1, is_async=is_async, resources=resources, on_failure=on_failure)

    def _make_executor(self, plan: Plan) -> Executor:  # noqa: ARG002 - one executor fits every plan
        return SerialExecutor()
