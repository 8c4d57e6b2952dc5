"""Determine the resource limits of a run: from configuration, from the runner, and for memory from the process's limit.

Runs in the parent, once for each run. The scheduler enforces the limits. State: none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.planning.needs import MEMORY, check_needs, needed_resources

if TYPE_CHECKING:
    from collections.abc import Mapping

    from treadle.planning import Plan


def run_limits(plan: Plan, of_runner: Mapping[str, int]) -> Mapping[str, int]:
    """Return the resource limits of a run, after checking that the needs of each node are within them.

    Args:
        plan: the nodes with their needs, and the limits from configuration.
        of_runner: the runner's own limits, which take precedence.

    Returns:
        Amounts by name; empty if no node needs a resource.

    Raises:
        RunnerError: a node needs more than the limit, or a resource that has no limit.
    """
    needed = needed_resources(plan)
    if not needed:
        return {}
    limits = {**plan.resources, **of_runner}
    if MEMORY in needed and MEMORY not in limits:
        from treadle.execution.processes.memory import usable_memory

        limits[MEMORY] = usable_memory()
    check_needs(plan, limits)
    return limits
