"""How much there is of what nodes need: from configuration, from the runner, and of memory what the process may use.

State: none. Neighbours: each runner asks once a run, and the scheduler goes by the answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.execution.processes.memory import usable_memory
from treadle.planning.needs import MEMORY, check_needs, needed_resources

if TYPE_CHECKING:
    from collections.abc import Mapping

    from treadle.planning import Plan


def run_limits(plan: Plan, of_runner: Mapping[str, int]) -> Mapping[str, int]:
    """Return the limits of a run, after it is clear that each node's needs are within them.

    Args:
        plan: has the nodes' needs, and the limits that configuration sets.
        of_runner: the runner's own, which win.

    Returns:
        Amounts by name; empty where no node needs anything.

    Raises:
        RunnerError: a node needs more than there is, or something that nobody has limited.
    """
    needed = needed_resources(plan)
    if not needed:
        return {}
    limits = {**plan.resources, **of_runner}
    if MEMORY in needed and MEMORY not in limits:
        limits[MEMORY] = usable_memory()
    check_needs(plan, limits)
    return limits
