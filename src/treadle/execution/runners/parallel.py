"""The parallel runner: nodes in worker processes, which are replaced if the project or the environment has changed.

State, in addition to that of every runner: the fingerprint of its workers, and the modules of its pipelines so far.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from treadle.execution.processes.interrupts import interrupts_deferred
from treadle.execution.processes.shortage import explaining_shortages
from treadle.execution.processes.start_method import StartMethod, choose_start_method
from treadle.execution.runners.arguments import checked_memory, checked_recycling, checked_workers, refuse_at_exit
from treadle.execution.runners.runner import Runner

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from treadle.execution.executors.executor import Executor
    from treadle.execution.protocol.project import ProjectSetup
    from treadle.pipeline.policy import Amount, FailurePolicy
    from treadle.planning import Plan


class ParallelRunner(Runner):
    """Run nodes in worker processes, on every core, under any multiprocessing start method.

    Args:
        max_workers: number of processes; as many as the process has cores to use where None.
        start_method: `"fork"`, `"spawn"`, `"forkserver"` or `"loky"`; chosen safely where None
            (see `treadle.execution.processes.start_method`).
        is_async: load a node's inputs, and save its outputs, at the same time.
        resources: how much of each resource nodes may use together: `{"gpu": 1, "memory": "16GB"}`.
        on_failure: `"continue"` to go on with what does not depend on a node that failed.
        exchange_memory: how much memory the values of in-memory datasets may take together, in bytes or as `"4GB"`; past it
            they go to temporary files. Half of what the process may use where None.
        seed: makes the random numbers of each node reproducible: they depend on it and on the node's name alone.
        max_nodes_per_worker: nodes that a worker process runs before a new process replaces it; no limit where None.
        max_worker_memory: memory that a worker process may have after a node, in bytes or as `"4GB"`; above it, a new
            process replaces it. No limit where None.

    Raises:
        RunnerError: the start method is unknown, a number is less than 1, or an amount of memory is invalid.

    Example:
        >>> from treadle import Catalog, ParallelRunner, Pipeline, node
        >>> pipeline = Pipeline([node(len, "text", "length"), node(str.upper, "text", "loud")])
        >>> result = ParallelRunner(max_workers=2).run(pipeline, Catalog({"text": "abc"}))  # doctest: +SKIP
    """

    name = "parallel"
    has_processes = True

    def __init__(  # noqa: PLR0913 - the options of a runner, each by its name
        self,
        max_workers: int | None = None,
        start_method: str | StartMethod | None = None,
        *,
        is_async: bool = False,
        resources: Mapping[str, Amount] | None = None,
        on_failure: str | FailurePolicy | None = None,
        exchange_memory: Amount | None = None,
        seed: int | None = None,
        max_nodes_per_worker: int | None = None,
        max_worker_memory: Amount | None = None,
    ) -> None:
        super().__init__(checked_workers(max_workers), is_async=is_async, resources=resources, on_failure=on_failure, seed=seed)
        self._requested = start_method
        self._project: ProjectSetup | None = None
        self._fingerprint: str | None = None
        self._modules: set[str] = set()
        self._exchange_memory = checked_memory(exchange_memory)
        self._recycling = checked_recycling(max_nodes_per_worker, max_worker_memory)
        choose_start_method(start_method)  # raises here for an unknown method, before a run starts

    def _fitting(self, plan: Plan) -> Executor:
        from treadle.execution.packing.worker_spec import fingerprint

        refuse_at_exit(self.name)

        # All modules so far, so that a pipeline with fewer modules, or without nodes, can reuse the workers.
        self._modules.update(getattr(node.node.func, "__module__", None) or "" for node in plan.nodes)
        current = fingerprint(self._modules, self._project)
        if self._executor is not None and current != self._fingerprint:
            self._executor.close()
            self._executor = None
        self._fingerprint = current
        return super()._fitting(plan)

    @contextmanager
    def ahead(self, files: Iterable[str]) -> Iterator[None]:
        """Start the forkserver if workers use one: it imports large libraries while this process imports them too."""
        if self._executor is not None or choose_start_method(self._requested).method is not StartMethod.FORKSERVER:
            yield
            return
        from treadle.execution.executors.loky.preload import start_early, stop_unused

        with explaining_shortages():
            early = start_early(files)
        try:
            yield
        finally:
            stop_unused(early)

    def make_executor(self, plan: Plan) -> Executor:  # noqa: ARG002 - one executor fits every plan
        """Make the executor."""
        from treadle.execution.executors.loky.pool import loky_executor
        from treadle.execution.packing.worker_spec import make_worker_spec

        method = choose_start_method(self._requested).method
        self.start_method = method.value
        current, project = self._fingerprint or "", self._project
        with interrupts_deferred():
            # The executor must be stored before a pending Ctrl-C is raised, so that it can be closed.
            executor = self._executor = loky_executor(
                self.max_workers,
                method,
                lambda scratch: replace(
                    make_worker_spec(method, self.max_workers, scratch, current, project), keeps_values=self._recycling is None
                ),
                self._exchange_memory,
                self._recycling,
            )
        return executor

    def __repr__(self) -> str:
        return f"ParallelRunner(max_workers={self.max_workers}, start_method={self.start_method or self._requested!r})"
