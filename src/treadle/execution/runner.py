"""The runners: the public way to run a pipeline.

A runner leases an executor, runs one pipeline at a time on it, and returns the free outputs. Used as a context manager
it keeps its workers between runs; otherwise each run starts its own and ends them. State: the executor, while it is warm.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

from treadle.errors import NodeError, RunnerError
from treadle.events import Outcome, RunStarted
from treadle.execution.budget import checked_limit
from treadle.execution.executors.serial import SerialExecutor
from treadle.execution.interrupts import interrupts_held_back
from treadle.execution.limits import checked_failure_policy, checked_resources, run_limits
from treadle.execution.loop.loop import RunLoop
from treadle.execution.material import RunMaterial
from treadle.execution.start_method import StartMethod, choose_start_method
from treadle.pipeline.policy import FailurePolicy
from treadle.planning import check_inputs, check_parameters, check_transcoding, compile_plan
from treadle.planning.collector import plan_left_out
from treadle.planning.policies import NO_RULES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    import pluggy
    from typing_extensions import Self

    from treadle.events import Observer
    from treadle.execution.executor import Executor
    from treadle.execution.job import ProjectSetup
    from treadle.execution.result import RunResult
    from treadle.io import Catalog
    from treadle.pipeline import Pipeline
    from treadle.pipeline.policy import Amount
    from treadle.planning import Plan
    from treadle.planning.policies import PolicyRules


class Runner(ABC):
    """Run pipelines; subclasses say where.

    Attributes:
        name: what `session.run(runner=…)` calls it.
        max_workers: how many nodes run at a time.
        start_method: how worker processes are started; None where there are none.
        is_async: whether a node's inputs are loaded, and its outputs saved, at the same time, by threads.
        resources: how much of each resource its nodes may use together; None where it was not said.
        on_failure: what a failure means where a node's policy does not say, `"stop"` or `"continue"`; None where it was not said.
    """

    name: ClassVar[str]

    def __init__(
        self,
        max_workers: int = 1,
        *,
        is_async: bool = False,
        resources: Mapping[str, Amount] | None = None,
        on_failure: str | FailurePolicy | None = None,
    ) -> None:
        self.max_workers = max_workers
        self.is_async = is_async
        self.resources = checked_resources(resources) or None
        self.on_failure = policy.value if (policy := checked_failure_policy(on_failure)) is not None else None
        self.start_method: str | None = None
        self._executor: Executor | None = None
        self._warm = False
        self._one_at_a_time = threading.Lock()
        self._thread: int | None = None  # that runs a pipeline now
        self._seconds: dict[str, float] = {}  # what nodes took in this runner's own runs, by name

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
    ) -> RunResult:
        """Run a pipeline.

        Args:
            pipeline: the nodes.
            catalog: where their data is; datasets that it does not know live in memory for as long as they are needed.
            hooks: the registered hooks; node and dataset hooks are called where the node runs.
            run_id: id of the run; made of the time where None.
            observers: callables that take each event of the run.
            inputs: values for free inputs of the pipeline, by dataset name; this run sees them in place of what the catalog
                has, and the catalog stays as it is.
            durations: returns the seconds that nodes took in earlier runs, by name, so that the longest path can be
                started first; asked while workers start. A runner also remembers its own runs.
            policies: what an `execution.yml` says of how nodes are run (`treadle.planning.policies.read_policies`).
            on_failure: `"continue"` to go on with what does not depend on a node that failed; this run's word goes before the
                runner's, and that before the configuration's.

        Returns:
            A mapping of free output to data, each loaded when it is first asked for.

        Raises:
            UnknownNameError: a value is given for what is no free input.
            DatasetError: a transcoded dataset has no place from which it could be read as the other type.
            ConfigError: a typed parameter does not fit the annotation of its node's function.
            NodeError: a node failed, with the node's own exception as its cause.
            WorkerSetupError: a worker process could not be set up.
            UnknownDatasetError: the pipeline needs data that nobody has.
            RunnerError: a node needs more of a resource than there is, or `on_failure` is unknown.
            KeyboardInterrupt: the run was interrupted; its workers have been stopped.
        """
        if inputs:
            check_inputs(pipeline, inputs)
            catalog = catalog.with_data(inputs)
        plan = compile_plan(pipeline, catalog, policies)
        check_transcoding(plan)
        check_parameters(pipeline, catalog)
        for dataset in plan.datasets:
            if dataset.declared and dataset.producer is not None and not dataset.in_memory:
                catalog.release(dataset.name)  # what is cached of it here will be of before this run
        material = RunMaterial(run_id or _new_run_id(), plan, catalog, hooks, self.is_async)
        return self.run_material(material, observers, durations, on_failure=on_failure)

    def run_material(
        self,
        material: RunMaterial,
        observers: Sequence[Observer] = (),
        durations: Callable[[], Mapping[str, float]] | None = None,
        *,
        on_failure: str | FailurePolicy | None = None,
    ) -> RunResult:
        """Run what is compiled already: the door for the runs of other frameworks.

        Args:
            material: the run.
            observers: callables that take each event of it.
            durations: as `run` takes it.
            on_failure: the same.

        Returns:
            What `run` returns, and it raises what `run` raises.
        """
        plan = material.plan
        limits = run_limits(plan, self.resources or {})
        said = checked_failure_policy(on_failure) or checked_failure_policy(self.on_failure) or plan.on_failure
        with self._turn(), self._lease(plan) as executor:
            loop = RunLoop(
                material,
                executor,
                observers,
                lambda: self._known_seconds(plan, durations),
                limits=limits,
                on_failure=said or FailurePolicy.STOP,
            )
            started = RunStarted(
                run_id=material.run_id,
                at=time.time(),
                runner=self.name,
                start_method=self.start_method,
                workers=self.max_workers,
                nodes=tuple(node.name for node in plan.nodes),
            )
            outcome = Outcome.FAILED
            for observer in observers:
                observer(started)
            try:
                with plan_left_out(len(plan.nodes)):
                    result = loop.run()
                outcome = Outcome.SUCCEEDED
            except KeyboardInterrupt:
                outcome = Outcome.INTERRUPTED
                loop.tell_under_way()
                raise
            finally:
                self._seconds.update(loop.seconds)
                ended = loop.finished_event(outcome)
                for observer in observers:
                    observer(ended)
            return result

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """One run at a time; others queue, but for one that this very run would wait for."""
        if self._thread == threading.get_ident():
            msg = (
                "This runner runs a pipeline already, and was asked for another from within it (by a node of the main process, a "
                "hook or an observer): it would wait for itself. Make another runner for the run inside."
            )
            raise RunnerError(msg, name=self.name)
        with self._one_at_a_time:
            self._thread = threading.get_ident()
            try:
                yield
            finally:
                self._thread = None

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
        """End the workers, where there are any; the runner can be used again."""
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
        """Give the loop an executor that fits; take it back, whatever happened to the run."""
        try:
            yield self._fitting(plan)
        except NodeError:  # all that was running has ended by now
            self._take_back()
            raise
        except BaseException:  # Ctrl-C, an observer's error, a worker without set-up: nodes may be running still
            executor, self._executor = self._executor, None
            if executor is not None:
                with interrupts_held_back():  # a second Ctrl-C must not tear the end apart
                    executor.close(kill=True)
            raise
        else:
            self._take_back()

    def _take_back(self) -> None:
        if self._executor is not None:
            self._executor.end()
        if not self._warm:
            self.close()

    def _fitting(self, plan: Plan) -> Executor:
        if self._executor is None:
            self._executor = self._make_executor(plan)
        return self._executor

    @abstractmethod
    def _make_executor(self, plan: Plan) -> Executor:
        """Make an executor for a plan."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(max_workers={self.max_workers})"


class SequentialRunner(Runner):
    """Run one node after the other in the calling thread: for debugging, and for pipelines of tiny nodes."""

    name = "sequential"

    def __init__(
        self,
        *,
        is_async: bool = False,
        resources: Mapping[str, Amount] | None = None,
        on_failure: str | FailurePolicy | None = None,
    ) -> None:
        super().__init__(1, is_async=is_async, resources=resources, on_failure=on_failure)

    def _make_executor(self, plan: Plan) -> Executor:  # noqa: ARG002 - one executor fits every plan
        return SerialExecutor()


class ThreadRunner(Runner):
    """Run nodes in threads: for nodes that wait for networks and disks, or whose libraries release the GIL.

    Args:
        max_workers: number of threads; as many as the process has cores to use where None.
        is_async, resources, on_failure: as for every `Runner`.
    """

    name = "thread"

    def __init__(
        self,
        max_workers: int | None = None,
        *,
        is_async: bool = False,
        resources: Mapping[str, Amount] | None = None,
        on_failure: str | FailurePolicy | None = None,
    ) -> None:
        super().__init__(_checked_workers(max_workers), is_async=is_async, resources=resources, on_failure=on_failure)

    def _make_executor(self, plan: Plan) -> Executor:  # noqa: ARG002 - one executor fits every plan
        from treadle.execution.executors.threads import ThreadExecutor

        return ThreadExecutor(self.max_workers)


class ParallelRunner(Runner):
    """Run nodes in worker processes, on every core, under any multiprocessing start method.

    Args:
        max_workers: number of processes; as many as the process has cores to use where None.
        start_method: `"fork"`, `"spawn"`, `"forkserver"` or `"loky"`; chosen safely where None
            (see `treadle.execution.start_method`).
        is_async: load a node's inputs, and save its outputs, at the same time.
        resources: how much of each resource nodes may use together: `{"gpu": 1, "memory": "16GB"}`.
        on_failure: `"continue"` to go on with what does not depend on a node that failed.
        exchange_memory: how much memory the values of in-memory datasets may take together, in bytes or as `"4GB"`; past it
            they go to temporary files. Half of what the process may use where None.

    Raises:
        RunnerError: an unknown start method, less than one worker, or no amount of memory.

    Example:
        >>> from treadle import Catalog, ParallelRunner, Pipeline, node
        >>> pipeline = Pipeline([node(len, "text", "length"), node(str.upper, "text", "loud")])
        >>> result = ParallelRunner(max_workers=2).run(pipeline, Catalog({"text": "abc"}))  # doctest: +SKIP
    """

    name = "parallel"

    def __init__(
        self,
        max_workers: int | None = None,
        start_method: str | StartMethod | None = None,
        *,
        is_async: bool = False,
        resources: Mapping[str, Amount] | None = None,
        on_failure: str | FailurePolicy | None = None,
        exchange_memory: Amount | None = None,
    ) -> None:
        super().__init__(_checked_workers(max_workers), is_async=is_async, resources=resources, on_failure=on_failure)
        self._requested = start_method
        self._project: ProjectSetup | None = None
        self._fingerprint: str | None = None
        self._modules: set[str] = set()
        self._exchange_memory = checked_limit(exchange_memory)
        choose_start_method(start_method)  # an unknown one is an error here, not in the middle of the night

    def _fitting(self, plan: Plan) -> Executor:
        from treadle.execution.spec import fingerprint

        # All modules so far: a pipeline with fewer of them, or with no node at all, finds its workers warm.
        self._modules.update(getattr(node.node.func, "__module__", None) or "" for node in plan.nodes)
        current = fingerprint(self._modules, self._project)
        if self._executor is not None and current != self._fingerprint:
            self._executor.close()
            self._executor = None
        self._fingerprint = current
        return super()._fitting(plan)

    @contextmanager
    def ahead(self, files: Iterable[str]) -> Iterator[None]:
        """Start the forkserver, where workers come from one: it imports large libraries while this process does so too."""
        if self._executor is not None or choose_start_method(self._requested).method is not StartMethod.FORKSERVER:
            yield
            return
        from treadle.execution.executors.preload import start_early, stop_unused

        early = start_early(files)
        try:
            yield
        finally:
            stop_unused(early)

    def _make_executor(self, plan: Plan) -> Executor:  # noqa: ARG002 - one executor fits every plan
        from treadle.execution.executors.loky import LokyExecutor
        from treadle.execution.spec import make_worker_spec

        method = choose_start_method(self._requested).method
        self.start_method = method.value
        current, project = self._fingerprint or "", self._project
        with interrupts_held_back():
            # Known to the runner before a Ctrl-C that came meanwhile is heard: somebody must end it.
            executor = self._executor = LokyExecutor(
                self.max_workers,
                method,
                lambda scratch: make_worker_spec(method, self.max_workers, scratch, current, project),
                self._exchange_memory,
            )
        return executor

    def __repr__(self) -> str:
        return f"ParallelRunner(max_workers={self.max_workers}, start_method={self.start_method or self._requested!r})"


def _checked_workers(max_workers: Any) -> int:
    if max_workers is None:
        from treadle.execution.spec import usable_cores

        return usable_cores()
    if not isinstance(max_workers, int) or isinstance(max_workers, bool) or max_workers < 1:
        msg = f"max_workers must be a whole number of at least 1, not {max_workers!r}"
        raise RunnerError(msg, name="max_workers")
    return max_workers


def _new_run_id() -> str:
    from treadle.io.catalog import new_version

    return new_version()
