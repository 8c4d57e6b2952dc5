"""Check the resource requests of a plan's nodes against the limits before a run starts.

State: none. Neighbours: `policies.py` reads the requests from code and configuration, the scheduler allocates resources.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.errors import RunnerError
from treadle.suggestions import close_names, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from treadle.planning.plan import Plan

MEMORY = "memory"
"""The resource with a default limit: the memory that the process may use."""

_SHOWN = 10
"""The most nodes that an error names."""


def check_needs(plan: Plan, limits: Mapping[str, int]) -> None:
    """Raise if a node requests more of a resource than is available.

    Args:
        plan: the plan, with the policies of its nodes.
        limits: the available amount of each resource.

    Raises:
        RunnerError: a request exceeds its limit; names each such node, the resource, and where to set the limit.
    """
    wrong: list[str] = []
    first: str | None = None
    for index, policy in enumerate(plan.policies):
        for name, amount in policy.resources or () if policy is not None else ():
            if amount > limits.get(name, 0):
                first = first or name
                wrong.append(_unmet_need(plan.nodes[index].name, name, amount, limits))
    if first is not None:
        shown = [*wrong[:_SHOWN], *([f"{len(wrong) - _SHOWN} more nodes request too much."] if len(wrong) > _SHOWN else [])]
        raise RunnerError("\n".join(shown), name=first, close=close_names(first, limits, most=1))


def needed_resources(plan: Plan) -> frozenset[str]:
    """Return the names of the resources that nodes of a plan request."""
    policies = (policy for policy in plan.policies if policy is not None)
    return frozenset(name for policy in policies for name, amount in policy.resources or () if amount)


def _unmet_need(node: str, name: str, amount: int, limits: Mapping[str, int]) -> str:
    if name in limits:
        return (
            f"Node '{node}' requests {name}: {amount:,}, but the limit is {limits[name]:,}, so it could never start. "
            f"Lower the request, or raise the limit: `resources: {{{name}: …}}` in conf/<env>/execution.yml, or "
            f"resources= of the runner."
        )
    hint = did_you_mean(close_names(name, limits, most=1))
    advice = f"{hint} Otherwise set" if hint else " Set"
    return (
        f"Node '{node}' requests {name}: {amount:,}, but no limit of that resource is set.{advice} "
        f"one in conf/<env>/execution.yml (`resources: {{{name}: {amount}}}`), or pass the runner "
        f"resources={{'{name}': {amount}}}."
    )
