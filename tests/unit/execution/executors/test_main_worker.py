"""MainWorker: when it has a step to run, and which jobs it returns."""

from __future__ import annotations

from treadle import Catalog, Pipeline, node
from treadle.execution.executors.local_store import LocalStore
from treadle.execution.executors.main_worker import MainWorker
from treadle.execution.packing.bundle import RunBundle
from treadle.execution.protocol.messages import MAIN, Finished, JobsReturned, Started
from treadle.execution.scheduling.instructions import RunJob
from treadle.planning import compile_plan


def test_it_has_a_step_while_it_has_a_job_and_runs_none():
    """Inside a node, while another thread runs the loop, it has none; jobs that have not started are returned."""
    seen = []

    def record_state():
        seen.append((worker.in_node, worker.has_step))
        worker.submit(job(1))
        seen.append((worker.in_node, worker.has_step))

    def job(*indices):
        return RunJob(MAIN, indices, (), (), ())

    plan = compile_plan(Pipeline([node(record_state, None, None, name=name) for name in ("a", "b", "c")]), Catalog())
    worker = MainWorker(LocalStore(), wake=lambda: None)
    worker.begin(1, RunBundle("run", plan, Catalog(), None), lambda done: None)
    assert not worker.has_step
    worker.submit(job(0, 2))
    assert worker.has_step
    assert isinstance(worker.run_step().fact, Started)
    assert isinstance(worker.run_step().fact, Finished)
    assert seen == [(True, False)] * 2
    assert (worker.in_node, worker.has_step) == (False, True)
    assert [job.nodes for job in worker.cancel()] == [(1,)]
    assert worker.has_step
    assert worker.run_step().fact == JobsReturned(1, (2,))
    assert worker.run_step() is None
    assert not worker.has_step
