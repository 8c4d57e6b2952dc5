"""The part of the executor contract about workers that cannot be set up: the run ends with their traceback. State: none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from treadle.errors import WorkerSetupError
from treadle.execution.executors.events import SetupFailed
from treadle.execution.loop.loop import RunLoop
from treadle.execution.loop.observers import Observers
from treadle.execution.packing.bundle import RunBundle
from treadle.hooks import create_hook_manager, hook_impl, register_hooks
from treadle.io.catalog import Catalog
from treadle.pipeline import Pipeline, node
from treadle.planning import compile_plan
from treadle.testing.bench import Bench
from treadle.testing.fixtures import WORKERS, ContractFixtures
from treadle.testing.needs import needs

if TYPE_CHECKING:
    import pluggy

    from treadle.execution.executors.executor import Executor
    from treadle.hooks import WorkerFacts


class SetupContract(ContractFixtures):
    """Tests of workers that cannot be set up."""

    @needs("processes", "sets_up_project")
    def test_a_failed_set_up_is_an_event_with_its_traceback(self, failing_project: str) -> None:
        """A worker whose project cannot be configured is reported with the exception, and with the line that raised it."""
        executor = self.make_executor(WORKERS)
        try:
            bench = Bench(executor, WORKERS)
            bench.begin_only(node(lambda: 1, None, "a", name="n"))
            event = bench.until(SetupFailed)
            assert event.worker in bench.workers
            assert event.failure is not None
            assert event.failure.phase == "setup"
            assert "settings.py" in event.failure.traceback
            assert f"LookupError: {failing_project}" in event.failure.traceback
        finally:
            executor.close(kill=True)

    @needs("processes", "sets_up_project")
    def test_a_failed_set_up_ends_the_run(self, failing_project: str) -> None:
        """The run ends with the worker's traceback: it waits for no other worker, and starts no node."""
        executor = self.make_executor(WORKERS)
        try:
            error = _error_of_run(executor)
        finally:
            executor.close(kill=True)
        assert f"LookupError: {failing_project}" in str(error)

    def test_a_plugin_that_cannot_start_ends_the_run(self, own_bench: Bench) -> None:
        """An exception of a plugin's `on_worker_start` ends the run, and the error contains its traceback."""

        class Plugin:
            @hook_impl
            def on_worker_start(self, spec: WorkerFacts) -> None:
                raise LookupError(f"no loom for {spec.label}")

        hooks = create_hook_manager()
        register_hooks(hooks, [Plugin()])
        error = _error_of_run(own_bench.executor, hooks)
        assert error.failure is not None
        assert error.failure.type_name == "LookupError"
        assert "in on_worker_start" in error.failure.traceback
        assert f"no loom for {error.worker}" in str(error)


def _error_of_run(executor: Executor, hooks: pluggy.PluginManager | None = None) -> WorkerSetupError:
    """Run a node with the run loop, and return the error that ends the run; check that the node was not started."""
    seen: list[object] = []
    plan = compile_plan(Pipeline([node(lambda: 1, None, "a", name="n")]), Catalog())
    with pytest.raises(WorkerSetupError) as caught:
        RunLoop(RunBundle("run", plan, Catalog(), hooks), executor, Observers([seen.append])).run()
    executor.end()
    assert not [event for event in seen if getattr(event, "node", None) == "n"]
    return caught.value
