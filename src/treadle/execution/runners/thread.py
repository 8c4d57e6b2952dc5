"""The thread runner: it runs nodes in threads of this process. State: that of every runner."""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.execution.runners.arguments import checked_workers, refuse_at_exit
from treadle.execution.runners.runner import Runner
from treadle.pipeline.policy import NodePolicy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from treadle.execution.executors.executor import Executor
    from treadle.execution.packing.bundle import RunBundle
    from treadle.pipeline.policy import FailurePolicy
    from treadle.pipeline.quantities import Amount
    from treadle.planning import Plan


_GENERATORS = "the random number generators of the process"
"""Name of the resource that makes nodes run one at a time if any of them is seeded."""


class ThreadRunner(Runner):
    """Run nodes in threads: for nodes that wait for networks and disks, or whose libraries release the GIL.

    Args:
        max_workers: number of threads; None for the number of cores that the process may use.
        is_async: as for every `Runner`.
        resources: as for every `Runner`.
        on_failure: as for every `Runner`.
        seed: makes random numbers reproducible. Threads share the generators, so nodes run one at a time if there is a seed.
    """

    name = "thread"

    def __init__(
        self,
        max_workers: int | None = None,
        *,
        is_async: bool = False,
        resources: Mapping[str, Amount] | None = None,
        on_failure: str | FailurePolicy | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__(checked_workers(max_workers), is_async=is_async, resources=resources, on_failure=on_failure, seed=seed)

    def _apply_resource_limits(self, bundle: RunBundle) -> tuple[RunBundle, Mapping[str, int]]:
        bundle, limits = super()._apply_resource_limits(bundle)
        if bundle.seeds is None or self.max_workers == 1:
            return bundle, limits
        # An unseeded node uses the same generators, so it must not run at the same time as a seeded node.
        exclusive = NodePolicy(resources={_GENERATORS: 1})
        plan = bundle.plan
        policies = tuple(
            exclusive if policy is None else exclusive.over(policy) for policy in plan.policies or [None] * len(plan.nodes)
        )
        return bundle.changed(plan=plan._replace(policies=policies)), {**limits, _GENERATORS: 1}

    def make_executor(self, plan: Plan) -> Executor:  # noqa: ARG002 - the same executor runs every plan
        """Make the executor."""
        refuse_at_exit(self.name)
        from treadle.execution.executors.threads import thread_executor

        return thread_executor(self.max_workers)
