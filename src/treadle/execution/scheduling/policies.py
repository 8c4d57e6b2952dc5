"""The policies of a run's nodes: retries, timeouts, and whether a failure stops the run.

Runs in the parent, as a part of the scheduler. State: how many retries each node has left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.pipeline.policy import FailurePolicy

if TYPE_CHECKING:
    from treadle.planning import Plan


class Policies:
    """The policies of a run's nodes.

    Args:
        plan: the plan, which has the policies.
        on_failure: whether a failure stops the run, for nodes whose own policy does not set it.
    """

    def __init__(self, plan: Plan, on_failure: FailurePolicy) -> None:
        self._of = plan.policies
        self._on_failure = on_failure
        self._left = {node: policy.retries for node, policy in enumerate(plan.policies) if policy is not None and policy.retries}
        self.retried = frozenset(self._left)
        """Nodes that may be attempted again: they must never modify the only copy of an input."""
        self.limited = frozenset(plan.timeouts)
        """Nodes that have a timeout."""

    def use_retry(self, node: int) -> float | None:
        """Use one of a node's retries; return the seconds until the next attempt, None if no retry is left."""
        left = self._left.get(node, 0)
        if not left:
            return None
        self._left[node] = left - 1
        policy = self._of[node]
        return (policy.retry_delay if policy is not None else None) or 0.0

    def stops_the_run(self, node: int) -> bool:
        """Return whether a node's failure stops the run."""
        policy = self._of[node] if self._of else None
        own = policy.on_failure if policy is not None else None
        return (own or self._on_failure) is FailurePolicy.STOP
