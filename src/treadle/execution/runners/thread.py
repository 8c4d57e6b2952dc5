"""The thread runner: nodes in threads of this process."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from treadle.execution.runners.arguments import checked_workers, refuse_at_exit
from treadle.execution.runners.runner import Runner
from treadle.pipeline.policy import NodePolicy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from treadle.execution.executors.executor import Executor
    from treadle.execution.packing.bundle import RunBundle
    from treadle.pipeline.policy import Amount, FailurePolicy
    from treadle.planning import Plan


_GENERATORS = "the random number generators of the process"
"""The resource that makes nodes run one at a time where some of them are seeded."""


class ThreadRunner(Runner):
    """Run nodes in threads: for nodes that wait for networks and disks, or whose libraries release the GIL.

    Args:
        max_workers: number of threads; as many as the process has cores to use where None.
        is_async, resources, on_failure: as for every `Runner`.
        seed: makes random numbers reproducible. Threads share the generators, so
            that with a seed nodes run one at a time.
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

    def _limited(self, material: RunBundle) -> tuple[RunBundle, Mapping[str, int]]:
        material, limits = super()._limited(material)
        if material.seeds is None or self.max_workers == 1:
            return material, limits
        # A node that is not seeded draws from the same generators, so it must not run beside one that is.
        lone = NodePolicy(resources={_GENERATORS: 1})
        plan = material.plan
        policies = tuple(lone if policy is None else lone.over(policy) for policy in plan.policies or [None] * len(plan.nodes))
        return replace(material, plan=replace(plan, policies=policies)), {**limits, _GENERATORS: 1}

    def make_executor(self, plan: Plan) -> Executor:  # noqa: ARG002 - one executor fits every plan
        """Make the executor."""
        refuse_at_exit(self.name)
        from treadle.execution.executors.threads import thread_executor

        return thread_executor(self.max_workers)
