"""Treadle's own runners, whose workers are set up for a Kedro project. State: that of the runner. Runs in the main process.

Neighbours: `runner.py` and `dask_runner.py` have the runners that Kedro knows, each of which owns one of these.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from treadle.execution.processes.start_method import ENVIRONMENT_VARIABLE, parse_start_method
from treadle.execution.runners.auto import AutoRunner
from treadle.execution.runners.dask import DaskRunner
from treadle.execution.runners.parallel import ParallelRunner

if TYPE_CHECKING:
    from treadle.execution.runners.estimates import Choice
    from treadle.execution.runners.runner import Runner
    from treadle.kedro.project import KedroProject
    from treadle.planning import Plan


KEDRO_VARIABLE = "KEDRO_MP_CONTEXT"
"""The variable that sets the start method of Kedro's own parallel runner; used if none is set for Treadle."""


def requested_start_method(given: str | None) -> str | None:
    """Return the start method that was asked for: by the runner's argument, else by Kedro's variable; None if it is inferred.

    Args:
        given: the argument of the runner.

    Raises:
        RunnerError: Kedro's variable has an unknown method.
    """
    if given is not None or os.environ.get(ENVIRONMENT_VARIABLE):
        return given
    from_kedro = os.environ.get(KEDRO_VARIABLE)
    return parse_start_method(from_kedro, KEDRO_VARIABLE).value if from_kedro else None


class KedroEngine(ParallelRunner):
    """Treadle's parallel runner, whose workers are set up for a Kedro project."""

    def __init__(self, max_workers: int | None, start_method: str | None, **limits: Any) -> None:
        super().__init__(max_workers, start_method, **limits)
        self._max_workers_limit = self.max_workers

    def use(self, project: KedroProject, plan: Plan) -> None:
        """Set the project of the next run's workers, and limit their number to those that the plan can keep busy."""
        self._project = project
        if not self._keeps_workers:
            self.max_workers = min(self._max_workers_limit, _max_parallel_nodes(plan))


class KedroAutoEngine(AutoRunner):
    """Treadle's runner that chooses where nodes run; its workers are set up for a Kedro project."""

    def use(self, project: KedroProject, plan: Plan) -> None:
        """Set the project of the next run's workers."""
        self._project, self._plan = project, plan

    def _make_parallel(self, workers: int) -> Runner:
        options = {**self._process_options, **self._options}
        return KedroEngine(workers, options.pop("start_method"), **options)

    def _opened(self, choice: Choice) -> Runner:
        runner = super()._opened(choice)
        if isinstance(runner, KedroEngine):
            runner.use(self._project, self._plan)
        return runner

    def __repr__(self) -> str:
        return f"AutoRunner(max_workers={self.max_workers})"


class KedroDaskEngine(DaskRunner):
    """Treadle's dask runner, whose workers are set up for a Kedro project."""

    def use(self, project: KedroProject, plan: Plan) -> None:  # noqa: ARG002 - every worker of the cluster may be used
        """Set the project of the next run's workers."""
        self._project = project

    def __repr__(self) -> str:
        return f"DaskRunner(max_workers={self.max_workers})"


def _max_parallel_nodes(plan: Plan) -> int:
    """Return an upper bound for the number of nodes that run at the same time: the nodes of the longest chain never do."""
    depths: list[int] = []
    for node in plan.nodes:
        depths.append(1 + max((depths[parent] for parent in node.parents), default=0))
    return len(depths) - max(depths) + 1
