"""The thread runner: nodes in threads of this process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.execution.runners.arguments import checked_workers
from treadle.execution.runners.runner import Runner

if TYPE_CHECKING:
    from collections.abc import Mapping

    from treadle.execution.executor import Executor
    from treadle.pipeline.policy import Amount, FailurePolicy
    from treadle.planning import Plan


class ThreadRunner(Runner):
    """Run nodes in threads: for nodes that wait for networks and disks, or whose libraries release the GIL.

    Args:
        max_workers: number of threads; as many as the process has cores to use where None.
        is_async, resources, on_failure: as for every `Runner`.
    """

    name = "thread"

    def __init__(
        self,
        max_workers: int | None = None,
        *,
        is_async: bool = False,
        resources: Mapping[str, Amount] | None = None,
        on_failure: str | FailurePolicy | None = None,
    ) -> None:
        super().__init__(checked_workers(max_workers), is_async=is_async, resources=resources, on_failure=on_failure)

    def _make_executor(self, plan: Plan) -> Executor:  # noqa: ARG002 - one executor fits every plan
        from treadle.execution.executors.threads import ThreadExecutor

        return ThreadExecutor(self.max_workers)
