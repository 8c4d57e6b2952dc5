"""Run a plan of which every node is up to date: report the nodes to the observers, and collect the results.

No executor, loop or scheduler is needed, so none is imported: a command that has nothing to do ends sooner. Runs in the parent.
State: none. Neighbours: `runner.py` calls it in place of the loop.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from treadle.events import NodeReused, Outcome, RunFinished
from treadle.execution.loop.observers import Observers
from treadle.execution.loop.result import gather_results
from treadle.execution.processes.safe_points import INTERRUPTS
from treadle.execution.runners.limits import run_limits
from treadle.planning import check_results

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from treadle.events import Observer, RunStarted
    from treadle.execution.loop.cancellation import Cancellation
    from treadle.execution.loop.result import RunResult
    from treadle.io import Catalog
    from treadle.planning import Plan
    from treadle.planning.reuse.decisions import Decisions


def reuse_all(
    started: RunStarted,
    plan: Plan,
    decisions: Decisions,
    catalog: Catalog,
    observers: Sequence[Observer],
    resources: Mapping[str, int] | None,
    load_results: bool | Iterable[str],  # noqa: FBT001 - as in `Runner.run`
    cancellation: Cancellation | None,
) -> RunResult:
    """Reuse the outputs of all nodes.

    Args:
        started: the first event of the run.
        plan: the nodes.
        decisions: has decided that all of them are up to date.
        catalog: the catalog of the run.
        observers: the observers of the run.
        resources: the runner's own limits of resources.
        load_results: as for `Runner.run`.
        cancellation: as for `Runner.run`.

    Returns:
        The persistent results; values in memory do not exist, as no node has made them.

    Raises:
        TreadleError: as for `Runner.run`.
    """
    wanted, limits, informed = check_results(plan, load_results), run_limits(plan, resources or {}), Observers(observers)
    if cancellation is not None:
        cancellation.check(started.run_id)
    informed.plan_ready(plan, limits)
    informed.notify(started)
    for name in started.nodes:
        informed.notify(NodeReused(name, time.time()))
    outcome = Outcome.FAILED
    try:
        result = gather_results(started.run_id, plan, catalog, lambda *_nothing: None, decisions=decisions)
        outcome = Outcome.SUCCEEDED
    except INTERRUPTS:
        outcome = Outcome.INTERRUPTED
        raise
    finally:
        informed.notify(RunFinished(started.run_id, time.time(), outcome))
    result.load_all(wanted)
    return result
