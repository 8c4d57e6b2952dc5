"""What the policies of a run's nodes mean for the scheduler: who is tried again, who is a job by itself, whose failure stops all.

State: how often each node may still be tried. Neighbours: `scheduler.py` asks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.pipeline.policy import FailurePolicy

if TYPE_CHECKING:
    from treadle.planning import Plan


class Policies:
    """The policies of a run's nodes.

    Args:
        plan: has them.
        on_failure: what a failure means where a node's own policy does not say.
    """

    def __init__(self, plan: Plan, on_failure: FailurePolicy) -> None:
        self._of = plan.policies
        self._on_failure = on_failure
        self._left = {node: policy.retries for node, policy in enumerate(plan.policies) if policy is not None and policy.retries}
        self.retried = frozenset(self._left)
        """Nodes that may be tried again: they never change the only copy of an input."""
        self.limited = frozenset(plan.timeouts)
        """Nodes whose attempts may be ended."""

    def next_delay(self, node: int) -> float | None:
        """Use up one of a node's further attempts; return the seconds until it is due, None if there is none left."""
        left = self._left.get(node, 0)
        if not left:
            return None
        self._left[node] = left - 1
        policy = self._of[node]
        return (policy.retry_delay if policy is not None else None) or 0.0

    def stops_the_run(self, node: int) -> bool:
        """Say whether nothing more is started after a node's failure."""
        policy = self._of[node] if self._of else None
        own = policy.on_failure if policy is not None else None
        return (own or self._on_failure) is FailurePolicy.STOP
