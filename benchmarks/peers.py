"""What people have in Treadle's place: a loop by hand, joblib, Dask, and Kedro's own runners."""

from __future__ import annotations

import logging
import multiprocessing
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection
    from concurrent.futures import Executor, Future
    from multiprocessing.connection import Connection

    from workloads import Task, Workload


def run_in_order(tasks: Collection[Task], sources: dict[str, Any], results: tuple[str, ...]) -> dict[str, Any]:
    """Run tasks in order; a value is dropped after its last use, as a careful person would.

    Args:
        tasks: the tasks, in a topological order.
        sources: the values that no task makes.
        results: the names of the values to return.
    """
    last = {name: task.name for task in tasks for name in task.inputs}
    data = dict(sources)
    for task in tasks:
        data[task.output] = task.func(*[data[name] for name in task.inputs])
        for name in task.inputs:
            if last[name] == task.name and name not in results:
                data.pop(name, None)
    return {name: data[name] for name in results}


class PlainLoop:
    """One process, one loop: no engine can do less work than this."""

    name = "plain loop"
    method = "-"

    def refuses(self, _workload: Workload) -> str | None:
        """It takes all."""
        return None

    def start(self, workload: Workload) -> None:
        """Import what the tasks need."""
        workload.touch()

    def run(self, workload: Workload) -> dict[str, Any]:
        """Run the tasks in order; a value is dropped after its last use, as a careful person would."""
        return run_in_order(workload.tasks, workload.sources, workload.results)

    def close(self) -> None:
        """Nothing to close."""


class SeparateLoops:
    """A plain loop on each worker, over branches of its own: no engine with as many workers can do less work than this.

    Nothing passes from one process to another. The last task, which takes the results of all branches, runs in this process, on
    results that it has made in advance.
    """

    name = "separate loops"
    method = "-"

    def __init__(self, workers: int) -> None:
        self._workers = workers

    def refuses(self, workload: Workload) -> str | None:
        """It takes branches that hand a value from task to task, and one last task."""
        return None if workload.tasks[-1].name == "last" else ""

    def start(self, workload: Workload) -> None:
        """Start a process for each share of the branches."""
        *branches, self._last = workload.tasks
        names = self._last.inputs
        self._inputs = list(run_in_order(branches, workload.sources, names).values())
        context = multiprocessing.get_context("spawn")
        self._ends, self._processes = [], []
        for worker in range(self._workers):
            end, other = context.Pipe()
            share = names[worker :: self._workers]
            own = _tasks_for(branches, share)
            process = context.Process(target=_repeat_in_order, args=(other, own, workload.sources, share), daemon=True)
            process.start()
            other.close()  # so that the end of the process ends the wait for it
            self._ends.append(end)
            self._processes.append(process)
        self.warm()

    def warm(self) -> None:
        """Let every process do its share once."""
        self._all_do()

    def run(self, _workload: Workload) -> dict[str, Any]:
        """Let each process run its branches, and run the last task."""
        self._all_do()
        return {self._last.output: self._last.func(*self._inputs)}

    def _all_do(self) -> None:
        for end in self._ends:
            end.send("run")
        for end in self._ends:
            end.recv()

    def close(self) -> None:
        """End the processes."""
        for end in self._ends:
            end.close()
        for process in self._processes:
            process.join()
        self._inputs = []


def _tasks_for(tasks: list[Task], results: tuple[str, ...]) -> list[Task]:
    """Return the tasks that results depend on, in the same order."""
    needed = set(results)
    for task in reversed(tasks):
        if task.output in needed:
            needed.update(task.inputs)
    return [task for task in tasks if task.output in needed]


def _repeat_in_order(end: Connection, tasks: list[Task], sources: dict[str, Any], results: tuple[str, ...]) -> None:
    """Run tasks whenever the other end asks for it, until that is closed."""
    while True:
        try:
            end.recv()
        except EOFError:
            return
        kept = run_in_order(tasks, sources, results)
        end.send("done")
        del kept


class FuturesLoop:
    """What people write by hand: submit what is ready, wait for the first, go on; values travel through the parent."""

    def __init__(self, method: str, workers: int) -> None:
        self.name = "loky loop" if method == "loky" else "futures loop"
        self.method = method
        self._workers = workers
        self._pool: Executor | None = None

    def refuses(self, _workload: Workload) -> str | None:
        """It takes all."""
        return None

    def start(self, workload: Workload) -> None:
        """Start the pool."""
        self._touch = workload.touch
        if self.method == "loky":
            from loky import ProcessPoolExecutor as LokyPool

            self._pool = LokyPool(self._workers, timeout=None)
        else:
            self._pool = ProcessPoolExecutor(self._workers, mp_context=multiprocessing.get_context(self.method))
        self.warm()

    def warm(self) -> None:
        """Let every worker do something."""
        list(self._pool.map(self._touch, range(8 * self._workers)))

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

    def refuses(self, _workload: Workload) -> str | None:
        """It takes all."""
        return None

    def start(self, workload: Workload) -> None:
        """Start the pool, and sort the tasks into generations."""
        self._touch = workload.touch
        from joblib import Parallel, delayed

        # Copy-on-write: arrays above 1 MB would be read-only otherwise, and tasks may change theirs.
        self._parallel, self._delayed = Parallel(n_jobs=self._workers, mmap_mode="c"), delayed
        self._parallel.__enter__()
        self.warm()
        level: dict[str, int] = dict.fromkeys(workload.sources, 0)
        self._generations: dict[int, list[Any]] = {}
        for task in workload.tasks:
            level[task.output] = 1 + max((level[name] for name in task.inputs), default=0)
            self._generations.setdefault(level[task.output], []).append(task)

    def warm(self) -> None:
        """Let every worker do something."""
        self._parallel(self._delayed(self._touch)(number) for number in range(8 * self._workers))

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

        self._parallel.__exit__(None, None, None)
        get_reusable_executor().shutdown(wait=True, kill_workers=True)


class DaskCluster:
    """Dask's distributed scheduler is given a whole graph, under fresh keys in every run, so that nothing is remembered."""

    name = "dask"
    method = "spawn"

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._runs = 0
        self._client: Any = None

    def refuses(self, _workload: Workload) -> str | None:
        """It takes all."""
        return None

    def start(self, workload: Workload) -> None:
        """Start the cluster."""
        self._touch = workload.touch
        from distributed import Client, LocalCluster

        self._cluster = LocalCluster(n_workers=self._workers, threads_per_worker=1, dashboard_address=None, silence_logs=50)
        self._client = Client(self._cluster)
        self.warm()

    def warm(self) -> None:
        """Let every worker do something."""
        self._client.gather(self._client.map(self._touch, range(8 * self._workers), pure=False))

    def run(self, workload: Workload) -> dict[str, Any]:
        """Hand the whole graph over, and gather its results."""
        self._runs += 1
        prefix = f"{workload.name}-{self._runs}-"
        sources = workload.sources
        graph = {
            prefix + task.output: (task.func, *[sources[name] if name in sources else prefix + name for name in task.inputs])
            for task in workload.tasks
        }
        return dict(zip(workload.results, self._client.get(graph, [prefix + name for name in workload.results]), strict=True))

    def close(self) -> None:
        """End the cluster."""
        self._client.close()
        self._cluster.close()


class SubmitLoop(DaskCluster):
    """What people write by hand on a dask cluster: one `Client.submit` for each task, whose inputs are futures."""

    name = "dask submit loop"

    def run(self, workload: Workload) -> dict[str, Any]:
        """Submit the tasks in order, and gather the results. Futures of values that are no longer needed are dropped."""
        last = {name: task.name for task in workload.tasks for name in task.inputs}
        data = dict(workload.sources)
        for task in workload.tasks:
            data[task.output] = self._client.submit(task.func, *[data[name] for name in task.inputs], pure=False)
            for name in set(task.inputs):
                if last[name] == task.name and name not in workload.results:
                    del data[name]
        return dict(zip(workload.results, self._client.gather([data[name] for name in workload.results]), strict=True))


class KedroRunner:
    """One of Kedro's runners, on Kedro's own pipeline and catalog; the parallel one starts its workers in each run."""

    def __init__(self, kind: str, workers: int) -> None:
        self.name = f"kedro {kind.lower()}"
        chosen = multiprocessing.get_start_method(allow_none=True) or multiprocessing.get_all_start_methods()[0]
        self.method = chosen if kind == "Parallel" else "-"
        self.unchecked = kind == "Parallel"  # what a finished run made cannot be loaded any more
        self._kind = kind
        self._workers = workers
        self._most_tasks = 50 if kind == "Parallel" else 1_000

    def refuses(self, workload: Workload) -> str | None:
        """Refuse what would take minutes: its time grows with the square of the nodes."""
        count = len(workload.tasks)
        return f"{count:,} nodes would take minutes" if count > self._most_tasks else None

    def start(self, workload: Workload) -> None:
        """Make the pipeline."""
        import kedro.runner  # noqa: F401 - sets logging up, which is then told to be quiet
        from kedro.pipeline import node, pipeline

        logging.getLogger("kedro").setLevel(logging.CRITICAL)
        logging.root.handlers.clear()
        if self.method == "-":
            workload.touch()
        made = [node(task.func, list(task.inputs) or None, task.output, name=task.name) for task in workload.tasks]
        self._pipeline = pipeline(made)

    def run(self, workload: Workload) -> dict[str, Any]:
        """Run it, and load what can be loaded."""
        from kedro import runner
        from kedro.io import DataCatalog, MemoryDataset, SharedMemoryDataCatalog

        kind = getattr(runner, f"{self._kind}Runner")
        catalog = SharedMemoryDataCatalog if self.unchecked else DataCatalog
        made = kind() if self._kind == "Sequential" else kind(max_workers=self._workers)
        results = made.run(self._pipeline, catalog({name: MemoryDataset(value) for name, value in workload.sources.items()}))
        return {} if self.unchecked else {name: dataset.load() for name, dataset in results.items()}

    def close(self) -> None:
        """Nothing to close."""
