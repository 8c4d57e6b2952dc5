"""The engines under test: Treadle's runners, and what people have in their place.

An engine has a name and a start method, and four methods: `start(workload)` makes its workers and lets each do something,
`run(workload)` returns the results by name, `close()` ends the workers, and `refuses(workload)` says why it takes no part.
Where there are such: `warm()` lets each worker do something again, once all engines are up, and `prepare(workload)` is called
before each run and not timed.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

from peers import DaskCluster, FuturesLoop, JoblibGenerations, KedroRunner, PlainLoop, SeparateLoops, SubmitLoop

if TYPE_CHECKING:
    from workloads import Workload

OPTIONAL = {"joblib": "joblib", "distributed": "Dask", "kedro": "Kedro"}


class Treadle:
    """A Treadle runner with warm workers; the pipeline is made once, compiling the plan is part of every run."""

    def __init__(self, runner: str, method: str, workers: int) -> None:
        self.name = f"treadle {runner}"
        self.method = method
        self._runner_name = runner
        self._workers = workers

    def refuses(self, _workload: Workload) -> str | None:
        """It takes all."""
        return None

    def start(self, workload: Workload) -> None:
        """Start the workers, and make the pipeline."""
        from treadle import Pipeline, node

        self._touch = workload.touch
        self._pipeline = Pipeline([node(task.func, list(task.inputs), task.output, name=task.name) for task in workload.tasks])
        self._begin()

    def _begin(self) -> None:
        self._runner = self._make()
        self._runner.__enter__()
        self.warm()

    def warm(self) -> None:
        """Let every worker do something."""
        from treadle import Catalog, Pipeline, node

        warm_up = Pipeline(
            [node(self._touch, "number", f"warm_{index}", name=f"warm_{index}") for index in range(8 * self._workers)]
        )
        self._runner.run(warm_up, Catalog({"number": 1}))

    def _make(self) -> Any:
        from treadle import ParallelRunner, SequentialRunner, ThreadRunner

        if self._runner_name == "dask":
            from treadle import DaskRunner

            return DaskRunner(max_workers=self._workers)
        if self._runner_name == "parallel":
            return ParallelRunner(self._workers, start_method=self.method)
        return ThreadRunner(self._workers) if self._runner_name == "thread" else SequentialRunner()

    def run(self, workload: Workload) -> dict[str, Any]:
        """Run the pipeline and load its results."""
        from treadle import Catalog

        return dict(self._runner.run(self._pipeline, Catalog(dict(workload.sources))))

    def close(self) -> None:
        """End the workers."""
        self._runner.close()


class TreadleUnlearned(Treadle):
    """The same with a new runner for each run: it has seen none of these nodes before, and does not know how long they take."""

    def __init__(self, method: str, workers: int) -> None:
        super().__init__("parallel", method, workers)
        self.name = "treadle parallel, first run"

    def refuses(self, workload: Workload) -> str | None:
        """It is of interest where order matters."""
        return None if workload.bound_seconds else ""

    def prepare(self, _workload: Workload) -> None:
        """Start anew."""
        self._runner.close()
        self._begin()


class Cold:
    """An engine whose workers are started within each run: what a run costs that is the only one."""

    def __init__(self, engine: Any) -> None:
        self.name = engine.name
        self.method = engine.method
        self.unchecked = getattr(engine, "unchecked", False)
        self._engine = engine
        self._running = False

    def refuses(self, workload: Workload) -> str | None:
        """Say what the engine says."""
        return self._engine.refuses(workload)

    def start(self, _workload: Workload) -> None:
        """Nothing: the workers are started by each run."""

    def prepare(self, _workload: Workload) -> None:
        """End the workers of the run before."""
        if self._running:
            self._engine.close()
        self._running = False

    def run(self, workload: Workload) -> dict[str, Any]:
        """Start the workers and run."""
        self._running = True
        self._engine.start(workload)
        return self._engine.run(workload)

    def close(self) -> None:
        """End the workers of the last run."""
        self.prepare(None)


def missing() -> list[str]:
    """Return a line for each engine that is not installed."""
    return [
        f"{name}: not measured, because {module} is not installed"
        for module, name in OPTIONAL.items()
        if importlib.util.find_spec(module) is None
    ]


def engines(methods: list[str], workers: int, *, cold: bool = False) -> list[Any]:
    """Return the engines that are installed, those of one start method side by side.

    Args:
        methods: start methods.
        workers: number of workers of each.
        cold: whether the workers are started within each run.
    """
    there = [module for module in OPTIONAL if importlib.util.find_spec(module) is not None]
    chosen: list[Any] = [PlainLoop(), SeparateLoops(workers)]
    chosen += [Treadle("sequential", "-", workers), Treadle("thread", "-", workers)]
    for method in methods:
        chosen += [FuturesLoop(method, workers), Treadle("parallel", method, workers), TreadleUnlearned(method, workers)]
    chosen += [JoblibGenerations(workers)] if "joblib" in there else []
    if "distributed" in there:
        chosen += [DaskCluster(workers), SubmitLoop(workers), Treadle("dask", "spawn", workers)]
    if "kedro" in there:
        chosen += [KedroRunner(kind, workers) for kind in ("Sequential", "Thread", "Parallel")]
    return [Cold(engine) for engine in chosen if engine.method != "-"] if cold else chosen
