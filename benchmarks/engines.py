"""The engines under test: Treadle, and what people write by hand in its place."""

from __future__ import annotations

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

    def run(self, workload: Workload) -> dict[str, Any]:
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


def engines(methods: list[str], workers: int, *, quick: bool) -> list[Any]:
    """Return the engines, those of one start method side by side."""
    chosen: list[Any] = [PlainLoop()]
    if not quick:
        chosen += [Treadle("sequential", "-", workers), Treadle("thread", "-", workers)]
    for method in methods:
        chosen += [FuturesLoop(method, workers), Treadle("parallel", method, workers)]
    return chosen
