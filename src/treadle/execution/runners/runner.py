"""The base class of runners: it opens an executor, runs one pipeline at a time on it, and returns the free outputs.

As a context manager a runner keeps its workers between runs; otherwise each run starts and stops its workers. Runs in the parent.
`arguments.py` checks the arguments, `loop/loop.py` runs the nodes. State: the executor, while its workers are kept.

The module is long because `run` documents each of its many arguments here, where users look for them.

What runs a pipeline is imported by the first run: a spawned worker imports this module together with the main script, and needs
only the class.
"""

from __future__ import annotations

import os
import time
from abc import ABC, abstractmethod
from contextlib import contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Any, ClassVar

from treadle.collector import plan_excluded_from_gc
from treadle.errors import NodeError, RunCancelledError
from treadle.events import NodeStarted, Outcome, RunStarted
from treadle.execution.runners.arguments import (
    check_arguments,
    check_run_options,
    checked_failure_policy,
    checked_flag,
    checked_resources,
    checked_seed,
)
from treadle.execution.runners.run_lock import RunLock
from treadle.pipeline.policy import FailurePolicy
from treadle.planning.policies import NO_RULES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    import pluggy
    from typing_extensions import Self

    from treadle.events import Observer, WorkerStart
    from treadle.execution.executors.executor import Executor
    from treadle.execution.loop.cancellation import Cancellation
    from treadle.execution.loop.observers import Observers
    from treadle.execution.loop.result import RunResult
    from treadle.execution.packing.bundle import RunBundle
    from treadle.execution.protocol.seeds import Seeds
    from treadle.io import Catalog
    from treadle.pipeline import Pipeline
    from treadle.pipeline.quantities import Amount
    from treadle.planning import Plan
    from treadle.planning.policies import PolicyRules
    from treadle.planning.reuse.decisions import Decisions
    from treadle.planning.run_times import RunTimes

MOST_DURATIONS = 200_000
"""Of how many nodes a runner remembers how long they took, if a single run has not more: some 30 MB."""


class Runner(ABC):
    """Run pipelines; subclasses decide where nodes run.

    Attributes:
        name: the name in `session.run(runner=…)`.
        max_workers: maximum number of nodes that run at the same time.
        start_method: start method of worker processes; None if there are none.
        start_method_reason: why that start method was chosen; None if the caller or the application has set it.
        is_async: whether a node's inputs are loaded concurrently, and its outputs saved concurrently, in threads.
        resources: the total of each resource that running nodes may use; None if it was not given.
        seed: seed of the nodes' random numbers; None if they are not seeded.
    """

    name: ClassVar[str]
    has_processes: ClassVar[bool] = False
    """Whether nodes run in other processes, with copies of the dataset objects."""

    def __init__(
        self,
        max_workers: int = 1,
        *,
        is_async: bool = False,
        resources: Mapping[str, Amount] | None = None,
        on_failure: str | FailurePolicy | None = None,
        seed: int | None = None,
    ) -> None:
        self.max_workers = max_workers
        self.is_async = checked_flag("is_async", is_async)
        self.resources = checked_resources(resources) or None
        self._failure_policy = checked_failure_policy(on_failure)
        self.seed = checked_seed(seed)
        self.start_method: str | None = None
        self.start_method_reason: str | None = None
        self._executor: Executor | None = None
        self._process = os.getpid()
        self._executors_of_parent: list[object] = []  # in a forked child: kept, so that they are not garbage-collected there
        self._keeps_workers = False
        self._run_lock = RunLock(self.name)
        self.last_run: RunTimes | None = None
        """How long the last run that succeeded took."""
        self._seconds: dict[str, float] = {}  # durations of nodes in this runner's earlier runs, by name

    @property
    def on_failure(self) -> str | None:
        """The default for nodes whose policy has no `on_failure`: `"stop"` or `"continue"`; None if it was not given."""
        return self._failure_policy.value if self._failure_policy is not None else None

    def run(  # noqa: PLR0913 - the options of a run, passed by name
        self,
        pipeline: Pipeline,
        catalog: Catalog,
        *,
        hooks: pluggy.PluginManager | None = None,
        run_id: str | None = None,
        observers: Sequence[Observer] = (),
        inputs: Mapping[str, Any] | None = None,
        durations: Callable[[], Mapping[str, float]] | None = None,
        policies: PolicyRules = NO_RULES,
        on_failure: str | FailurePolicy | None = None,
        load_results: bool | Iterable[str] = False,
        decisions: Decisions | None = None,
        cancellation: Cancellation | None = None,
        past_runs: Callable[[], Sequence[RunTimes]] | None = None,
    ) -> RunResult:
        """Run a pipeline.

        Args:
            pipeline: the nodes.
            catalog: the catalog of their datasets. Datasets that it does not declare are kept in memory while they are needed.
            hooks: the registered hooks; node and dataset hooks are called in the process that runs the node.
            run_id: id of the run; None to make one from the time.
            observers: callables that receive each event of the run. One that raises is disabled and logged, and the run
                continues.
            inputs: values for free inputs of the pipeline, by dataset name. In this run they replace the catalog's datasets; the
                catalog itself does not change.
            durations: returns the seconds that nodes took in earlier runs, by name, so that the longest path can be
                started first. It is called while workers start. A runner also remembers its own runs.
            policies: the policies in `execution.yml` (`treadle.planning.policies.read_policies`).
            on_failure: `"continue"` to run the nodes that do not depend on a failed node. It takes precedence over the runner's
                setting, which takes precedence over the configuration.
            load_results: load the free outputs (True), or the named ones, before the next run of this runner may start, so that
                later runs that write the same files do not change the results.
            decisions: decides which nodes are up to date; they do not run. By default all nodes run.
            cancellation: by which another thread can stop the run.
            past_runs: returns the times of earlier runs, the latest first; only the runner `auto` uses them.

        Returns:
            A mapping of free output to data. Each value is loaded when it is first used.

        Raises:
            UnknownNameError: a name in `inputs` is not a free input, or a name in `load_results` is not a free output.
            DatasetError: a transcoded dataset has no file from which it could be read as the other type.
            ConfigError: a typed parameter does not match the annotation of its node's function.
            NodeError: a node failed. The node's own exception is the cause.
            WorkerSetupError: a worker process could not be set up.
            UnknownDatasetError: the pipeline needs a dataset that no node makes and the catalog does not have.
            RunnerError: an argument has the wrong type, or a node needs more of a resource than is available.
            RunCancelledError: the run was cancelled. Workers that were running its nodes have been replaced.
            KeyboardInterrupt: the run was interrupted. Its workers have been stopped.
        """
        from treadle.execution.runners.compiling import compile_run

        check_arguments(pipeline, catalog)
        check_run_options(hooks, observers, inputs, run_id, durations)
        run_id, plan, catalog = compile_run(run_id, pipeline, catalog, inputs or {}, policies)
        if decisions is not None and decisions.nothing_runs:
            from treadle.execution.runners.unchanged import reuse_all

            with self._locked():
                started = self._started(run_id, plan, time.time())
                return reuse_all(started, plan, decisions, catalog, observers, self.resources, load_results, cancellation)
        from treadle.execution.packing.bundle import RunBundle
        from treadle.execution.runners.datasets import managed_datasets

        with managed_datasets(plan, catalog, has_processes=self.has_processes) as managed:
            bundle = RunBundle(run_id, plan, catalog, hooks, self.is_async, state=managed.state, decisions=decisions)
            all_observers = [*managed.observers, *observers]
            options: dict[str, Any] = {"on_failure": on_failure, "load_results": load_results, "cancellation": cancellation}
            return self.run_bundle(bundle, all_observers, durations, past_runs=past_runs, **options)

    def run_bundle(
        self,
        bundle: RunBundle,
        observers: Sequence[Observer] = (),
        durations: Callable[[], Mapping[str, float]] | None = None,
        *,
        on_failure: str | FailurePolicy | None = None,
        load_results: bool | Iterable[str] = False,
        cancellation: Cancellation | None = None,
        past_runs: Callable[[], Sequence[RunTimes]] | None = None,  # noqa: ARG002 - see `run`
        reason: str | None = None,
    ) -> RunResult:
        """Run a compiled run, such as one that another framework's integration has made.

        Args:
            bundle: the run.
            observers: see `run`.
            durations: see `run`.
            on_failure: see `run`.
            load_results: see `run`.
            cancellation: see `run`.
            past_runs: see `run`.
            reason: why this runner was chosen, for the record; None if the caller chose it.

        Returns:
            The result, as `run` returns it. The exceptions are those of `run`.
        """
        from treadle.execution.loop.observers import Observers

        wanted = _checked_results(bundle.plan, load_results)
        policy = checked_failure_policy(on_failure) or self._failure_policy or bundle.plan.on_failure
        with self._locked():
            policy = policy or FailurePolicy.STOP
            result = self._run_locked(bundle, Observers(observers), durations, policy, cancellation, reason)
            if wanted:
                result.load_all(wanted)
        return result

    def _run_locked(
        self,
        bundle: RunBundle,
        observers: Observers,
        durations: Callable[[], Mapping[str, float]] | None,
        on_failure: FailurePolicy,
        cancellation: Cancellation | None,
        reason: str | None,
    ) -> RunResult:
        if cancellation is not None:
            cancellation.check(bundle.run_id)
        bundle = bundle.changed(
            seeds=_seeds(bundle.plan, self.seed),
            records_outputs=observers.record_outputs,
            reports_starts=observers.need(NodeStarted),
            workers=bundle.plan.most_at_once,
        )
        bundle, limits = self._apply_resource_limits(bundle)
        plan = bundle.plan
        started_at, started_monotonic = time.time(), time.monotonic()  # the executor is a part of what the run costs
        with self._open_executor(bundle) as executor:
            executor.launch(bundle.workers)
            from treadle.execution.loop.loop import RunLoop  # while the workers start
            from treadle.execution.processes.safe_points import INTERRUPTS, interrupts_at_safe_points
            from treadle.execution.processes.shortage import explaining_shortages

            loop = RunLoop(
                bundle,
                executor,
                observers,
                lambda: self._known_seconds(plan, durations),
                resource_limits=limits,
                on_failure=on_failure,
                cancellation=cancellation,
            )
            with interrupts_at_safe_points():
                outcome = Outcome.FAILED
                if observers.active:
                    observers.plan_ready(plan, limits)
                    observers.notify(self._started(bundle.run_id, plan, started_at, reason))
                try:
                    waking = nullcontext() if cancellation is None else cancellation.waking(executor.wake)
                    with plan_excluded_from_gc(len(plan.nodes)), explaining_shortages(), waking:
                        result = loop.run()
                    outcome = Outcome.SUCCEEDED
                    seconds = time.monotonic() - started_monotonic
                    self.last_run = loop.run_times(self.name, self.max_workers, seconds, started_at)
                except (*INTERRUPTS, RunCancelledError):
                    outcome = Outcome.INTERRUPTED
                    loop.report_interrupted()
                    raise
                finally:
                    self._seconds.update(loop.seconds)
                    if len(self._seconds) > MOST_DURATIONS:  # a service may run nodes with ever new names
                        self._seconds = dict(loop.seconds)
                    if loop.worker_starts:
                        with suppress(OSError, MemoryError):  # the import fails at the limit: these lines are not worth the run
                            _log_worker_starts(loop.worker_starts)
                    if observers.active:
                        observers.notify(loop.finished_event(outcome, started_at + time.monotonic() - started_monotonic))
            return result

    def _locked(self) -> AbstractContextManager[None]:
        """Let no other run of this runner begin; raise if one is in progress."""
        if self._process != os.getpid():
            self._discard_inherited()
        return self._run_lock.held()

    def _started(self, run_id: str, plan: Plan, at: float, reason: str | None = None) -> RunStarted:
        names = tuple([node.name for node in plan.nodes])
        return RunStarted(run_id, at, self.name, self.start_method, self.max_workers, names, reason, self.start_method_reason)

    def _discard_inherited(self) -> None:
        """Drop the executor and the run in progress in a forked child: they belong to the parent."""
        self._process = os.getpid()
        self._executors_of_parent.append(self._executor)
        self._executor = None
        self._run_lock.forget_run()

    def _apply_resource_limits(self, bundle: RunBundle) -> tuple[RunBundle, Mapping[str, int]]:
        """Return the run with the policies that this runner adds, and the limits of the resources that its nodes need."""
        return bundle, _limits(bundle.plan, self.resources or {})

    def _known_seconds(self, plan: Plan, durations: Callable[[], Mapping[str, float]] | None) -> Mapping[str, float]:
        """Return the known durations of nodes. `durations` is only called if this runner has not run all nodes of the plan."""
        if durations is None or self.max_workers == 1 or self._seconds.keys() >= {node.name for node in plan.nodes}:
            return self._seconds
        return {**durations(), **self._seconds}

    @contextmanager
    def start_early(self, files: Iterable[str]) -> Iterator[None]:  # noqa: ARG002 - most runners have nothing to begin with
        """Start slow work that does not depend on the pipeline, such as a forkserver, before the run is prepared.

        Args:
            files: source files that will be imported in the meantime.

        Yields:
            For the preparation and the duration of the run. Whatever the run has not used is stopped on exit.
        """
        yield

    def close(self) -> None:
        """Stop the workers, if any; the runner can be used again."""
        if self._process != os.getpid():
            self._discard_inherited()
        self._keeps_workers = False
        self._stop_workers()

    def _stop_workers(self) -> None:
        executor, self._executor = self._executor, None
        if executor is not None:
            executor.close()

    def __enter__(self) -> Self:
        self._keeps_workers = True
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    @contextmanager
    def _open_executor(self, run: RunBundle) -> Iterator[Executor]:
        """Yield an executor for a run; after the run, end it or keep it for the next run."""
        if run.decisions is not None and run.decisions.nothing_runs:
            from treadle.execution.executors.serial import serial_executor

            yield serial_executor()  # no worker is needed
            return
        from treadle.execution.processes.interrupts import interrupts_deferred
        from treadle.execution.processes.shortage import explaining_shortages

        try:
            with explaining_shortages():
                executor = self._get_executor(run.plan)
            yield executor
        except BaseException as exc:  # Ctrl-C, or a worker could not be set up: nodes may still be running
            if isinstance(exc, NodeError) or (isinstance(exc, RunCancelledError) and not exc.abandoned):
                self._end_run()  # no node is still running
                raise
            unfinished, self._executor = self._executor, None
            if unfinished is not None:
                with interrupts_deferred():  # a second Ctrl-C must not interrupt the clean-up
                    unfinished.close(kill=True)
            raise
        else:
            self._end_run()

    def _end_run(self) -> None:
        if self._executor is not None:
            self._executor.end()
        if not self._keeps_workers:
            self.close()

    def _get_executor(self, plan: Plan) -> Executor:
        if self._executor is None:
            self._executor = self.make_executor(plan)
        return self._executor

    @abstractmethod
    def make_executor(self, plan: Plan) -> Executor:
        """Make an executor for a plan."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(max_workers={self.max_workers})"


# --- what only some runs need ---------------------------------------------------------------------------------------------


def _checked_results(plan: Plan, wanted: bool | Iterable[str]) -> tuple[str, ...]:  # noqa: FBT001 - an argument of `run`
    if wanted is False:
        return ()
    from treadle.planning.inputs import check_results

    return check_results(plan, wanted)


def _log_worker_starts(starts: Sequence[WorkerStart]) -> None:
    from treadle.execution.loop.worker_starts import log_worker_starts

    log_worker_starts(starts)


def _seeds(plan: Plan, seed: int | None) -> Seeds | None:
    if seed is None and not plan.policies:
        return None
    from treadle.execution.attempt.seeding import plan_seeds

    return plan_seeds(plan, seed) or None


def _limits(plan: Plan, of_runner: Mapping[str, int]) -> Mapping[str, int]:
    if not plan.policies:  # no node requests a resource
        return {}
    from treadle.execution.runners.limits import run_limits

    return run_limits(plan, of_runner)
