"""The base class of runners: it leases an executor, runs one pipeline at a time on it, and returns the free outputs.

As a context manager it keeps its workers between runs; otherwise each run starts and stops its own. State: the executor, while
its workers are kept. Runs in the parent. Neighbours: `arguments.py` checks the arguments of runners.
"""

from __future__ import annotations

import os
import threading
import time
from abc import ABC, abstractmethod
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from treadle.errors import NodeError, RunnerError
from treadle.events import Outcome, RunStarted
from treadle.execution.attempt.seeding import plan_seeds
from treadle.execution.loop.loop import RunLoop
from treadle.execution.loop.observers import Observers
from treadle.execution.packing.bundle import RunBundle
from treadle.execution.processes.interrupts import interrupts_deferred
from treadle.execution.processes.shortage import explaining_shortages
from treadle.execution.runners.arguments import (
    check_arguments,
    check_run_options,
    checked_failure_policy,
    checked_resources,
    checked_seed,
)
from treadle.execution.runners.datasets import care_for_datasets
from treadle.execution.runners.limits import run_limits
from treadle.forks import fork_safe
from treadle.pipeline.policy import FailurePolicy
from treadle.planning import check_inputs, check_memory_datasets, check_parameters, check_results, check_transcoding, compile_plan
from treadle.planning.collector import plan_left_out
from treadle.planning.policies import NO_RULES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    import pluggy
    from typing_extensions import Self

    from treadle.events import Observer
    from treadle.execution.executors.executor import Executor
    from treadle.execution.loop.result import RunResult
    from treadle.io import Catalog
    from treadle.pipeline import Pipeline
    from treadle.pipeline.policy import Amount
    from treadle.planning import Plan
    from treadle.planning.policies import PolicyRules

_TURNS: ContextVar[tuple[object, ...]] = ContextVar("treadle_turns", default=())
"""The turns within which this code runs: its own thread's, and those that its thread was started in with the context."""


class Runner(ABC):
    """Run pipelines; subclasses decide where nodes run.

    Attributes:
        name: what `session.run(runner=…)` calls it.
        max_workers: how many nodes run at a time.
        start_method: how worker processes are started; None if there are none.
        is_async: whether a node's inputs are loaded, and its outputs saved, at the same time, by threads.
        resources: how much of each resource its nodes may use together; None if it was not said.
        seed: what the random numbers of its nodes are seeded with; None where they are not.
    """

    name: ClassVar[str]
    has_processes: ClassVar[bool] = False
    """Whether nodes run in other processes, which have dataset objects of their own."""

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
        self.is_async = is_async
        self.resources = checked_resources(resources) or None
        self._failure_policy = checked_failure_policy(on_failure)
        self.seed = checked_seed(seed)
        self.start_method: str | None = None
        self._executor: Executor | None = None
        self._process = os.getpid()
        self._of_parent: list[
            object
        ] = []  # executors of the process that forked this one; they must not be garbage-collected here
        self._warm = False
        self._one_at_a_time = fork_safe(threading.Lock())
        self._current: object = None  # the turn of the run that is under way
        self._seconds: dict[str, float] = {}  # durations of nodes in this runner's own runs, by name

    @property
    def on_failure(self) -> str | None:
        """What a failure means where a node's policy does not say, `"stop"` or `"continue"`; None if it was not said."""
        return self._failure_policy.value if self._failure_policy is not None else None

    def run(  # noqa: PLR0913 - what a run may be told, each by its name
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
    ) -> RunResult:
        """Run a pipeline.

        Args:
            pipeline: the nodes.
            catalog: where their data is; datasets that it does not know live in memory for as long as they are needed.
            hooks: the registered hooks; node and dataset hooks are called where the node runs.
            run_id: id of the run; made of the time where None.
            observers: callables that take each event of the run; one that raises is disabled and logged, and the run goes on.
            inputs: values for free inputs of the pipeline, by dataset name; this run sees them in place of what the catalog
                has, and the catalog stays as it is.
            durations: returns the seconds that nodes took in earlier runs, by name, so that the longest path can be
                started first; asked while workers start. A runner also remembers its own runs.
            policies: what an `execution.yml` says of how nodes are run (`treadle.planning.policies.read_policies`).
            on_failure: `"continue"` to go on with what does not depend on a node that failed; this run's word goes before the
                runner's, and that before the configuration's.
            load_results: load the free outputs (True), or those named, before the next run of this runner may begin, so that
                later runs that write the same files do not matter.

        Returns:
            A mapping of free output to data, each loaded when it is first asked for.

        Raises:
            UnknownNameError: a value is given for what is no free input, or `load_results` names what is no free output.
            DatasetError: a transcoded dataset has no place from which it could be read as the other type.
            ConfigError: a typed parameter does not fit the annotation of its node's function.
            NodeError: a node failed, with the node's own exception as its cause.
            WorkerSetupError: a worker process could not be set up.
            UnknownDatasetError: the pipeline needs a dataset that neither a node makes nor the catalog has.
            RunnerError: an argument has the wrong type, or a node needs more of a resource than is available.
            KeyboardInterrupt: the run was interrupted; its workers have been stopped.
        """
        check_arguments(pipeline, catalog)
        check_run_options(hooks, observers, inputs, run_id, durations)
        if inputs:
            check_inputs(pipeline, inputs)
            catalog = catalog.with_data(inputs)
        run_id = run_id or _new_run_id()
        confirmed = dict.fromkeys(name for node in pipeline.nodes for name in node.confirms)
        catalog = catalog.for_run(run_id, pipeline.datasets(), pipeline.inputs(), confirmed)
        plan = compile_plan(pipeline, catalog, policies)
        check_transcoding(plan)
        check_memory_datasets(plan, catalog)
        check_parameters(pipeline, catalog)
        with care_for_datasets(plan, catalog, has_processes=self.has_processes) as care:
            material = RunBundle(run_id, plan, catalog, hooks, self.is_async, state=care.state)
            all_observers = [*care.observers, *observers]
            return self.run_material(material, all_observers, durations, on_failure=on_failure, load_results=load_results)

    def run_material(
        self,
        material: RunBundle,
        observers: Sequence[Observer] = (),
        durations: Callable[[], Mapping[str, float]] | None = None,
        *,
        on_failure: str | FailurePolicy | None = None,
        load_results: bool | Iterable[str] = False,
    ) -> RunResult:
        """Run what is compiled already: the door for the runs of other frameworks.

        Args:
            material: the run.
            observers: callables that take each event of it.
            durations: as `run` takes it.
            on_failure: the same.
            load_results: the same.

        Returns:
            What `run` returns, and it raises what `run` raises.
        """
        wanted = check_results(material.plan, load_results)
        policy = checked_failure_policy(on_failure) or self._failure_policy or material.plan.on_failure
        with self._turn():
            result = self._run_in_turn(material, Observers(observers), durations, policy or FailurePolicy.STOP)
            result.load_all(wanted)
        return result

    def _run_in_turn(
        self,
        material: RunBundle,
        observers: Observers,
        durations: Callable[[], Mapping[str, float]] | None,
        on_failure: FailurePolicy,
    ) -> RunResult:
        material = replace(material, seeds=plan_seeds(material.plan, self.seed) or None)
        material, limits = self._limited(material)
        plan = material.plan
        with self._lease(plan) as executor:
            loop = RunLoop(
                material,
                executor,
                observers,
                lambda: self._known_seconds(plan, durations),
                resource_limits=limits,
                on_failure=on_failure,
            )
            started = RunStarted(
                run_id=material.run_id,
                at=time.time(),
                runner=self.name,
                start_method=self.start_method,
                workers=self.max_workers,
                nodes=tuple(node.name for node in plan.nodes),
            )
            outcome, started_at = Outcome.FAILED, time.monotonic()
            observers.notify(started)
            try:
                with plan_left_out(len(plan.nodes)), explaining_shortages():
                    result = loop.run()
                outcome = Outcome.SUCCEEDED
            except KeyboardInterrupt:
                outcome = Outcome.INTERRUPTED
                loop.report_running()
                raise
            finally:
                self._seconds.update(loop.seconds)
                observers.notify(loop.finished_event(outcome, started.at + time.monotonic() - started_at))
            return result

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Allow one run at a time; others wait, except a nested run, which would wait for itself."""
        if self._process != os.getpid():
            self._leave_parent()
        if self._current is not None and self._current in _TURNS.get():
            msg = (
                "This runner is already running a pipeline, and a node of the main process, a hook or an observer of that run "
                "started another one on it: the run would wait for itself. Make another runner for the inner run."
            )
            raise RunnerError(msg, name=self.name)
        with self._one_at_a_time:
            turn = object()
            inside = _TURNS.set((*_TURNS.get(), turn))
            try:
                self._current = turn
                yield
            finally:
                self._current = None  # first: an interrupt here leaves a turn behind that is over
                _TURNS.reset(inside)

    def _leave_parent(self) -> None:
        """In a forked child: drop the executor and the current run, which belong to the parent."""
        self._process = os.getpid()
        self._of_parent.append(self._executor)
        self._executor = self._current = None

    def _limited(self, material: RunBundle) -> tuple[RunBundle, Mapping[str, int]]:
        """Return the run, and how much there is of the resources that its nodes need."""
        return material, run_limits(material.plan, self.resources or {})

    def _known_seconds(self, plan: Plan, durations: Callable[[], Mapping[str, float]] | None) -> Mapping[str, float]:
        """Return what is known of the plan's nodes; the past is only asked about what this runner has not seen."""
        if durations is None or self.max_workers == 1 or all(node.name in self._seconds for node in plan.nodes):
            return self._seconds
        return {**durations(), **self._seconds}

    @contextmanager
    def ahead(self, files: Iterable[str]) -> Iterator[None]:  # noqa: ARG002 - most runners have nothing to begin with
        """Begin, for a run that is about to be put together, with what takes a while and does not need to know it.

        Args:
            files: source files that will be imported meanwhile.

        Yields:
            While the run is put together, and after it for as long as it lasts; what it did not use is ended then.
        """
        yield

    def close(self) -> None:
        """Stop the workers, if any; the runner can be used again."""
        if self._process != os.getpid():
            self._leave_parent()
        self._warm = False
        executor, self._executor = self._executor, None
        if executor is not None:
            executor.close()

    def __enter__(self) -> Self:
        self._warm = True
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    @contextmanager
    def _lease(self, plan: Plan) -> Iterator[Executor]:
        """Yield an executor for the plan; after the run, end it or keep it for the next run."""
        try:
            with explaining_shortages():
                fitting = self._fitting(plan)
            yield fitting
        except NodeError:  # no node is running any more
            self._end_lease()
            raise
        except BaseException:  # Ctrl-C, a worker that could not be set up: nodes may still be running
            executor, self._executor = self._executor, None
            if executor is not None:
                with interrupts_deferred():  # a second Ctrl-C must not interrupt the clean-up
                    executor.close(kill=True)
            raise
        else:
            self._end_lease()

    def _end_lease(self) -> None:
        if self._executor is not None:
            self._executor.end()
        if not self._warm:
            self.close()

    def _fitting(self, plan: Plan) -> Executor:
        if self._executor is None:
            self._executor = self.make_executor(plan)
        return self._executor

    @abstractmethod
    def make_executor(self, plan: Plan) -> Executor:
        """Make an executor for a plan."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(max_workers={self.max_workers})"


def _new_run_id() -> str:
    from treadle.io.catalog import new_version

    return new_version()
