"""MainWorker: when it has a step to do, and what it gives back."""

from __future__ import annotations

from treadle import Catalog, Pipeline, node
from treadle.execution.executors.local_store import LocalStore
from treadle.execution.executors.main_worker import MainWorker
from treadle.execution.packing.bundle import RunBundle
from treadle.execution.protocol.messages import MAIN, Finished, JobsReturned, Started
from treadle.execution.scheduling.instructions import RunJob
from treadle.planning import compile_plan


def test_it_has_a_step_while_a_job_is_there_and_nobody_is_at_one():
    """In a node, which another thread turns the loop for, it has none; what has not begun is given back."""
    seen = []

    def look():
        seen.append((worker.in_node, worker.has_step))
        worker.submit(job(1))
        seen.append((worker.in_node, worker.has_step))

    def job(*indices):
        return RunJob(MAIN, indices, (), (), ())

    plan = compile_plan(Pipeline([node(look, None, None, name=name) for name in ("a", "b", "c")]), Catalog())
    worker = MainWorker(LocalStore(), wake=lambda: None)
    worker.begin(1, RunBundle("run", plan, Catalog(), None), lambda over: None)
    assert not worker.has_step
    worker.submit(job(0, 2))
    assert worker.has_step
    assert isinstance(worker.step().fact, Started)
    assert isinstance(worker.step().fact, Finished)
    assert seen == [(True, False)] * 2
    assert (worker.in_node, worker.has_step) == (False, True)
    assert [job.nodes for job in worker.cancel()] == [(1,)]
    assert worker.has_step
    assert worker.step().fact == JobsReturned(1, (2,))
    assert worker.step() is None
    assert not worker.has_step
