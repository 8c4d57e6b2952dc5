"""The parallel runner: it runs nodes in worker processes, and replaces these if the project or the environment has changed.

Runs in the parent. State, in addition to that of every runner: the fingerprint of its workers, and the modules of its pipelines
so far.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from treadle.collector import collection_paused
from treadle.execution.processes.cores import usable_cores
from treadle.execution.processes.interrupts import interrupts_deferred
from treadle.execution.processes.shortage import explaining_shortages
from treadle.execution.processes.start_method import (
    StartMethod,
    StartMethodChoice,
    check_start_method,
    choose_start_method,
    safe_start_method,
)
from treadle.execution.runners.arguments import checked_memory, checked_recycling, checked_workers, refuse_at_exit
from treadle.execution.runners.runner import Runner
from treadle.forks import fork_safe

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from treadle.execution.executors.executor import Executor
    from treadle.execution.protocol.project import ProjectSetup
    from treadle.pipeline.policy import FailurePolicy
    from treadle.pipeline.quantities import Amount
    from treadle.planning import Plan


_MOST_EARLY = 4
"""Maximum number of workers that are started before it is known how many a run can use."""


class ParallelRunner(Runner):
    """Run nodes in worker processes, on every core, under any multiprocessing start method.

    Args:
        max_workers: number of processes; None for the number of cores that the process may use.
        start_method: `"fork"`, `"spawn"`, `"forkserver"` or `"loky"`; None for fork where it is certain to be safe, otherwise the
            platform's safe default (see `treadle.execution.processes.start_method`).
        is_async: load a node's inputs concurrently, and save its outputs concurrently.
        resources: the total of each resource that running nodes may use: `{"gpu": 1, "memory": "16GB"}`.
        on_failure: `"continue"` to run the nodes that do not depend on a failed node.
        exchange_memory: how much memory the values of in-memory datasets may take together, in bytes or as `"4GB"`. Past it,
            values go to temporary files. None for half of the memory that the process may use.
        seed: makes the random numbers of each node reproducible: they depend only on the seed and the node's name.
        max_nodes_per_worker: number of nodes after which a worker process is replaced; None for no limit.
        max_worker_memory: a worker process that has more memory than this after a node is replaced, in bytes or as `"4GB"`; None
            for no limit.

    Raises:
        RunnerError: the start method is unknown, a number is less than 1, or an amount of memory is invalid.

    Example:
        >>> from treadle import Catalog, ParallelRunner, Pipeline, node
        >>> pipeline = Pipeline([node(len, "text", "length"), node(str.upper, "text", "loud")])
        >>> result = ParallelRunner(max_workers=2).run(pipeline, Catalog({"text": "abc"}))  # doctest: +SKIP
    """

    name = "parallel"
    has_processes = True

    def __init__(  # noqa: PLR0913 - the options of a runner, passed by name
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
        self._early: str | None = None  # the fingerprint of workers that were started early, until a run uses them
        self._early_lock = fork_safe(threading.Lock())
        self._exchange_memory = checked_memory(exchange_memory)
        self._recycling = checked_recycling(max_nodes_per_worker, max_worker_memory)
        check_start_method(start_method)  # raises here for an unknown method, before a run starts

    def _get_executor(self, plan: Plan) -> Executor:
        from treadle.execution.packing.worker_spec import fingerprint

        refuse_at_exit(self.name)

        # All modules so far, so that a pipeline with fewer modules, or without nodes, can reuse the workers.
        self._modules.update([getattr(node.node.func, "__module__", None) or "" for node in plan.nodes])
        with self._early_lock:
            current = fingerprint(self._modules, self._project)
            if self._early is not None:  # the workers were started before the modules of the nodes were known
                fits = self._early == fingerprint((), self._project)
                self._early, self._fingerprint = None, current if fits else None
            if self._executor is not None and current != self._fingerprint:
                self._executor.close()
                self._executor = None
            self._fingerprint = current
            return super()._get_executor(plan)

    @contextmanager
    def start_early(self, files: Iterable[str]) -> Iterator[None]:
        """Start the forkserver, or some workers. They import large libraries while this process imports the pipelines."""
        method = self._choose_start_method().method
        if self._executor is not None or method.child_inherits:
            yield
            return
        from treadle.execution.executors.loky.preload import imported_libraries, start_early, stop_unused

        server = None
        try:
            with explaining_shortages():
                if method is StartMethod.FORKSERVER:
                    server = start_early(files)
                else:
                    self._launch_early(imported_libraries(files))
            yield
        finally:
            stop_unused(server)
            with self._early_lock:
                if self._early is not None:  # no run has used the workers
                    self._early = None
                    self._stop_workers()

    def _launch_early(self, imports: tuple[str, ...]) -> None:
        """Start workers before the plan is known: not as many as there are cores, because this process needs one, too."""
        from treadle.execution.packing.worker_spec import fingerprint

        count = min(self.max_workers, usable_cores() - 1, _MOST_EARLY)
        with self._early_lock:
            if count > 0 and self._executor is None:
                self._early = self._fingerprint = fingerprint((), self._project)
                self._make_executor().launch(lambda: count, imports)

    def _choose_start_method(self) -> StartMethodChoice:
        """Choose the start method; a fork that is inferred must also fit this runner's options and the nodes of its pipelines."""
        choice = choose_start_method(self._requested)
        if not (choice.is_inferred and choice.method.child_inherits):
            return choice
        from treadle.execution.packing.own_generators import find_own_generator

        if self._recycling is not None:  # a later fork may be unsafe; besides, the limit of memory would count what a fork shares
            found = "workers are replaced during the run"
        elif (generator := find_own_generator(self._modules, self._project)) is not None:
            found = f"forked workers would all draw the same numbers from {generator}"
        else:
            return choice
        return choice._replace(method=safe_start_method(), reason=f"the safe default, because {found}")

    def make_executor(self, plan: Plan) -> Executor:  # noqa: ARG002 - the same executor runs every plan
        """Make the executor."""
        return self._make_executor()

    def _make_executor(self) -> Executor:
        choice = self._choose_start_method()
        method = choice.method
        self.start_method = method.value
        self.start_method_reason = choice.reason if choice.is_inferred else None
        if method is StartMethod.FORKSERVER:
            from treadle.execution.executors.loky.preload import start_forkserver

            start_forkserver()
        with collection_paused(imports=True):  # it would traverse the modules again and again
            if method is StartMethod.FORKSERVER:
                # The start of a worker waits until the server is ready, so what the run needs later is imported before.
                from treadle.execution.loop import loop  # noqa: F401 - `run` imports it
            from treadle.execution.executors.loky.pool import loky_executor
            from treadle.execution.packing.worker_spec import make_worker_spec

        current, project = self._fingerprint or "", self._project
        with interrupts_deferred():
            # The attribute must be set before a deferred Ctrl-C is raised, so that the executor can be closed.
            executor = self._executor = loky_executor(
                self.max_workers,
                method,
                lambda scratch: make_worker_spec(method, self.max_workers, scratch, current, project)._replace(
                    keeps_values=self._recycling is None
                ),
                self._exchange_memory,
                self._recycling,
                forks_if_safe=choice.is_inferred and method.child_inherits,
            )
        return executor

    def __repr__(self) -> str:
        return f"ParallelRunner(max_workers={self.max_workers}, start_method={self.start_method or self._requested!r})"
