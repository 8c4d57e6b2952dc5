"""The runner `auto`: it runs each plan with the runner that is expected to be the fastest.

Runs in the parent. State: the runners that it has opened, and how long its own runs took. `estimates.py` compares the runners.
"""

from __future__ import annotations

import os
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from treadle.execution.processes.start_method import check_start_method
from treadle.execution.runners.arguments import checked_memory, checked_workers
from treadle.execution.runners.estimates import PARALLEL, SEQUENTIAL, THREAD, choose_runner_for
from treadle.execution.runners.limits import run_limits
from treadle.execution.runners.runner import Runner
from treadle.execution.runners.sequential import SequentialRunner
from treadle.execution.runners.thread import ThreadRunner
from treadle.planning.run_times import ENOUGH_RUNS, OLD_RUNS, remembered
from treadle.trace_ids import asks_for_traces

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from typing_extensions import Self

    from treadle.events import Observer
    from treadle.execution.executors.executor import Executor
    from treadle.execution.loop.result import RunResult
    from treadle.execution.packing.bundle import RunBundle
    from treadle.execution.processes.start_method import StartMethod
    from treadle.execution.runners.estimates import Choice
    from treadle.pipeline.policy import FailurePolicy
    from treadle.pipeline.quantities import Amount
    from treadle.planning import Plan
    from treadle.planning.run_times import RunTimes


class AutoRunner(Runner):
    """Run each pipeline sequentially, in threads or in processes: whichever was, or is expected to be, the fastest.

    A pipeline whose nodes have not run yet runs in processes. After that, the durations of its nodes and runs are known from the
    session store and from this runner's own runs. The choice and its reason are logged and recorded. Nodes with timeouts always
    run in processes, which can be ended. A node that crashes its process ends this one if it runs here.

    Args:
        max_workers: the most workers that it may use; None for the number of cores that the process may use.
        start_method: how worker processes are started, as for `ParallelRunner`.
        is_async: as for every `Runner`.
        resources: as for every `Runner`.
        on_failure: as for every `Runner`.
        exchange_memory: as for `ParallelRunner`.
        seed: as for every `Runner`.

    Raises:
        RunnerError: the start method is unknown, a number is less than 1, or an amount of memory is invalid.

    Example:
        >>> from treadle import AutoRunner, Catalog, Pipeline, node
        >>> AutoRunner().run(Pipeline([node(len, "text", "length")]), Catalog({"text": "abc"}))["length"]
        3
    """

    name = "auto"
    has_processes = True

    def __init__(
        self,
        max_workers: int | None = None,
        start_method: str | StartMethod | None = None,
        *,
        is_async: bool = False,
        resources: Mapping[str, Amount] | None = None,
        on_failure: str | FailurePolicy | None = None,
        exchange_memory: Amount | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__(checked_workers(max_workers), is_async=is_async, resources=resources, on_failure=on_failure, seed=seed)
        self._options: dict[str, Any] = {"is_async": is_async, "resources": resources, "on_failure": on_failure, "seed": seed}
        self._process_options: dict[str, Any] = {"start_method": start_method, "exchange_memory": exchange_memory}
        check_start_method(start_method)  # raises here for an unknown method, before a run starts
        checked_memory(exchange_memory)
        self.latest: Choice | None = None
        """What it chose for its latest run, and why."""
        self._runners: dict[str, Runner] = {}
        self._own_runs: list[RunTimes] = []  # the latest first
        self._chosen_for: tuple[object, ...] = ()  # what the latest choice was made for
        self._uses = 0  # of the latest choice

    def run_bundle(
        self,
        bundle: RunBundle,
        observers: Sequence[Observer] = (),
        durations: Callable[[], Mapping[str, float]] | None = None,
        *,
        past_runs: Callable[[], Sequence[RunTimes]] | None = None,
        reason: str | None = None,  # noqa: ARG002 - it is this runner that has one
        **options: Any,
    ) -> RunResult:
        """Choose a runner for a compiled run, and run it. The arguments and the result are those of `Runner.run_bundle`."""
        if self._process != os.getpid():
            self._discard_inherited()
        with self._run_lock.held():
            choice = self._choose(bundle.plan, past_runs)
            runner = self._opened(choice)
            self.start_method = self.start_method_reason = None
            if choice.runner != PARALLEL:
                bundle = bundle.changed(state=None)  # every node uses the dataset objects of this process
            try:
                result = runner.run_bundle(bundle, observers, durations, reason=choice.reason, **options)
            finally:
                self.start_method, self.start_method_reason = runner.start_method, runner.start_method_reason
            if runner.last_run is not None:
                self._own_runs = list(remembered([runner.last_run, *self._own_runs], attrgetter("runner")))
        return result

    def _choose(self, plan: Plan, past_runs: Callable[[], Sequence[RunTimes]] | None) -> Choice:
        """Choose the runner for a plan: the same as for the run before, while such runs stay as fast as they were."""
        are_traced = asks_for_traces(os.environ)
        graph = [(node.name, node.parents, node.main_only) for node in plan.nodes]
        chosen_for = graph, plan.policies, plan.resources, are_traced
        latest = self.latest if self._chosen_for == chosen_for and self._own_runs else None
        self._uses += 1
        if latest is not None and self._own_runs[0].seconds <= latest.valid_up_to and self._uses <= OLD_RUNS:
            return latest
        past = self._past(plan, past_runs)
        if are_traced:  # threads share TRACEPARENT, so no node of theirs has its own span in it
            past = [run for run in past if run.runner != THREAD]
        self.latest = choose_runner_for(plan, past, self.max_workers, run_limits(plan, self.resources or {}))
        self._chosen_for, self._uses = chosen_for, 1
        return self.latest

    def _past(self, plan: Plan, past_runs: Callable[[], Sequence[RunTimes]] | None) -> Sequence[RunTimes]:
        """Return the runs to learn from: its own if it has run these nodes often enough, else the recorded ones too."""
        if past_runs is None:
            return self._own_runs
        names = {node.name for node in plan.nodes}
        same = sum(run.nodes.keys() == names for run in self._own_runs)
        return self._own_runs if same >= ENOUGH_RUNS else [*self._own_runs, *past_runs()]

    def _opened(self, choice: Choice) -> Runner:
        """Return the chosen runner. One that has workers is only used again if this runner keeps them."""
        runner = self._runners.get(choice.runner)
        if runner is not None and (self._keeps_workers or choice.runner == SEQUENTIAL):
            return runner
        if choice.runner == SEQUENTIAL:
            runner = SequentialRunner(**self._options)
        elif choice.runner == THREAD:
            runner = ThreadRunner(choice.workers, **self._options)
        else:
            workers = self.max_workers if self._keeps_workers else choice.workers  # a later pipeline may need more of them
            runner = self._make_parallel(workers)
        if self._keeps_workers:
            runner.__enter__()
        self._runners[choice.runner] = runner
        return runner

    def _make_parallel(self, workers: int) -> Runner:
        from treadle.execution.runners.parallel import ParallelRunner

        return ParallelRunner(workers, **self._process_options, **self._options)

    def _discard_inherited(self) -> None:
        super()._discard_inherited()
        self._executors_of_parent.append(self._runners)
        self._runners = {}

    def __enter__(self) -> Self:
        self.close()  # what it opened before does not keep its workers
        return super().__enter__()

    def close(self) -> None:
        """Stop the workers, if any; the runner can be used again."""
        if self._process != os.getpid():
            self._discard_inherited()
        for runner in self._runners.values():
            runner.close()
        self._runners = {}
        super().close()

    def make_executor(self, plan: Plan) -> Executor:
        """Make the executor of the runner that this one would choose now."""
        return self._opened(choose_runner_for(plan, self._own_runs, self.max_workers)).make_executor(plan)
