"""The engines under test: Treadle, and what people write by hand in its place."""

from __future__ import annotations

import importlib.util
import multiprocessing
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

    from workloads import Workload


class PlainLoop:
    """One process, one loop: no engine can do less work than this."""

    name = "plain loop"
    method = "-"

    def start(self, workload: Workload) -> None:
        """Nothing to start."""

    def run(self, workload: Workload) -> dict[str, Any]:
        """Run the tasks in order; a value is dropped after its last use, as a careful person would."""
        last = {name: task.name for task in workload.tasks for name in task.inputs}
        data = dict(workload.sources)
        for task in workload.tasks:
            data[task.output] = task.func(*[data[name] for name in task.inputs])
            for name in task.inputs:
                if last[name] == task.name and name not in workload.results:
                    data.pop(name, None)
        return {name: data[name] for name in workload.results}

    def close(self) -> None:
        """Nothing to close."""


class FuturesLoop:
    """What people write by hand: submit what is ready, wait for the first, go on; values travel through the parent."""

    name = "futures loop"

    def __init__(self, method: str, workers: int) -> None:
        self.method = method
        self._workers = workers
        self._pool: Executor | None = None

    def start(self, workload: Workload) -> None:
        """Start the pool and let every worker do something."""
        if self.method == "loky":
            from loky import ProcessPoolExecutor as LokyPool

            self._pool = LokyPool(self._workers, timeout=None)
        else:
            self._pool = ProcessPoolExecutor(self._workers, mp_context=multiprocessing.get_context(self.method))
        list(self._pool.map(abs, range(8 * self._workers)))

    def run(self, workload: Workload) -> dict[str, Any]:  # noqa: C901 - a loop as people write it
        """Run the tasks as their inputs arrive."""
        pool = self._pool
        data = dict(workload.sources)
        waiting = {task.name: len(set(task.inputs) - set(data)) for task in workload.tasks}
        takers: dict[str, list[Any]] = {}
        uses: dict[str, int] = {}
        for task in workload.tasks:
            for name in set(task.inputs):
                takers.setdefault(name, []).append(task)
                uses[name] = uses.get(name, 0) + 1
        running: dict[Future[Any], Any] = {}
        for task in workload.tasks:
            if not waiting[task.name]:
                running[pool.submit(task.func, *[data[name] for name in task.inputs])] = task
        while running:
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                task = running.pop(future)
                data[task.output] = future.result()
                for name in set(task.inputs):
                    uses[name] -= 1
                    if not uses[name] and name not in workload.results:
                        del data[name]
                for taker in takers.get(task.output, ()):
                    waiting[taker.name] -= 1
                    if not waiting[taker.name]:
                        running[pool.submit(taker.func, *[data[name] for name in taker.inputs])] = taker
        return {name: data[name] for name in workload.results}

    def close(self) -> None:
        """End the pool."""
        self._pool.shutdown()


class JoblibGenerations:
    """joblib over one generation of the graph after the other: what is left where an engine knows only flat lists."""

    name = "joblib"
    method = "loky"

    def __init__(self, workers: int) -> None:
        self._workers = workers

    def start(self, workload: Workload) -> None:
        """Start the pool, and sort the tasks into generations."""
        from joblib import Parallel, delayed

        self._parallel, self._delayed = Parallel(n_jobs=self._workers), delayed
        self._parallel(delayed(abs)(number) for number in range(8 * self._workers))
        level: dict[str, int] = dict.fromkeys(workload.sources, 0)
        self._generations: dict[int, list[Any]] = {}
        for task in workload.tasks:
            level[task.output] = 1 + max((level[name] for name in task.inputs), default=0)
            self._generations.setdefault(level[task.output], []).append(task)

    def run(self, workload: Workload) -> dict[str, Any]:
        """Run generation after generation."""
        data = dict(workload.sources)
        for tasks in self._generations.values():
            values = self._parallel(self._delayed(task.func)(*[data[name] for name in task.inputs]) for task in tasks)
            data.update(zip([task.output for task in tasks], values, strict=True))
        return {name: data[name] for name in workload.results}

    def close(self) -> None:
        """End the pool, which is the process's own."""
        from joblib.externals.loky import get_reusable_executor

        get_reusable_executor().shutdown(wait=True, kill_workers=True)


class DaskCluster:
    """Dask's distributed scheduler, one thread a worker; fresh keys every run, so that nothing is remembered."""

    name = "dask"
    method = "spawn"

    def __init__(self, workers: int) -> None:
        self._workers = workers

    def start(self, workload: Workload) -> None:
        """Start the cluster."""
        from distributed import Client, LocalCluster

        self._cluster = LocalCluster(n_workers=self._workers, threads_per_worker=1, dashboard_address=None, silence_logs=50)
        self._client = Client(self._cluster)
        self._client.gather(self._client.map(abs, range(8 * self._workers)))
        self._runs = 0

    def run(self, workload: Workload) -> dict[str, Any]:
        """Hand the whole graph over, and gather its results."""
        self._runs += 1
        prefix = f"r{self._runs}-"
        sources = dict(workload.sources)
        futures: dict[str, Any] = {}
        for task in workload.tasks:
            arguments = [futures.get(name, sources.get(name)) for name in task.inputs]
            futures[task.output] = self._client.submit(task.func, *arguments, key=prefix + task.name, pure=False)
        return dict(zip(workload.results, self._client.gather([futures[name] for name in workload.results]), strict=True))

    def close(self) -> None:
        """End the cluster."""
        self._client.close()
        self._cluster.close()


class Treadle:
    """A Treadle runner with warm workers; the pipeline is made once, compiling the plan is part of every run."""

    def __init__(self, runner: str, method: str, workers: int) -> None:
        self.name = f"treadle {runner}"
        self.method = method
        self._runner_name = runner
        self._workers = workers

    def start(self, workload: Workload) -> None:
        """Start the workers, and make the pipeline."""
        from treadle import Catalog, ParallelRunner, Pipeline, SequentialRunner, ThreadRunner, node

        if self._runner_name == "parallel":
            self._runner = ParallelRunner(self._workers, start_method=self.method)
        else:
            self._runner = ThreadRunner(self._workers) if self._runner_name == "thread" else SequentialRunner()
        self._runner.__enter__()
        self._catalog = Catalog
        warm_up = Pipeline([node(abs, "number", f"warm_{index}", name=f"warm_{index}") for index in range(8 * self._workers)])
        self._runner.run(warm_up, Catalog({"number": 1}))
        self._pipeline = Pipeline([node(task.func, list(task.inputs), task.output, name=task.name) for task in workload.tasks])

    def run(self, workload: Workload) -> dict[str, Any]:
        """Run the pipeline and load its results."""
        return dict(self._runner.run(self._pipeline, self._catalog(dict(workload.sources))))

    def close(self) -> None:
        """End the workers."""
        self._runner.close()


def _is_there(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def engines(methods: list[str], workers: int, *, quick: bool) -> list[Any]:
    """Return the engines, those of one start method side by side."""
    chosen: list[Any] = [PlainLoop()]
    if not quick:
        chosen += [Treadle("sequential", "-", workers), Treadle("thread", "-", workers)]
    if not quick:
        chosen += [JoblibGenerations(workers)] if _is_there("joblib") else []
        chosen += [DaskCluster(workers)] if _is_there("distributed") else []
    for method in methods:
        chosen += [FuturesLoop(method, workers), Treadle("parallel", method, workers)]
    return chosen
