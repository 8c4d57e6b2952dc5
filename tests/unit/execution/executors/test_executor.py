"""Executor: how `wait` alternates between the pool and the main worker, how jobs are submitted together, and the last events."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from treadle.execution.executors import executor as executor_module
from treadle.execution.executors.events import Report
from treadle.execution.executors.executor import Executor
from treadle.execution.executors.protocol import Capabilities
from treadle.execution.protocol.messages import Finished, JobsReturned
from treadle.execution.scheduling.instructions import RunJob
from treadle.testing import scripted_executor


def test_the_main_worker_runs_even_if_the_pool_always_has_events():
    """Every other call of `wait` runs one of its steps, however many events of tiny nodes arrive."""
    pool = SimpleNamespace(  # a fake: real processes do not report without end
        capabilities=Capabilities(processes=True, can_kill=True, queues=True),
        wake=lambda: None,
        flush=lambda: None,
        wait=lambda _timeout: ["event"],
    )
    executor = Executor(pool, store=None)
    executor._main = SimpleNamespace(has_step=True, run_step=lambda: "step")
    assert [executor.wait() for _ in range(4)] == [["event"], ["step"], ["event"], ["step"]]
    executor._main.has_step = False
    assert [executor.wait() for _ in range(2)] == [["event"], ["event"]]


def test_the_jobs_before_an_error_are_sent(monkeypatch):
    """If the values of a job cannot be sent, the pool gets the jobs before it, whose descriptors it closes."""
    executor, pool = scripted_executor()

    def handles(inputs):
        if inputs == (2,):
            raise OSError(24, "Too many open files")
        return [(dataset, "handle") for dataset in inputs]

    monkeypatch.setattr(executor, "store", SimpleNamespace(handles=handles))
    with pytest.raises(OSError, match="Too many"):
        executor.submit(*[RunJob(1 + each % 2, (each,), (each,), (), ()) for each in range(4)])
    assert [(worker, job.inputs) for worker, job in pool.sent] == [(1, ((0, "handle"),)), (2, ((1, "handle"),))]


def test_the_last_events_have_the_nodes_that_run_until_a_worker_returns_its_jobs(monkeypatch):
    """Not only those that the workers had finished when it was asked for them first: workers run nodes until they know of it."""
    monkeypatch.setattr(executor_module, "LAST_EVENTS_SECONDS", 60.0)
    finished = [Report(worker, Finished(1, node, 1.0, 2.0, 0.0, 1.0, 0.0)) for node, worker in ((0, 1), (1, 2))]
    returned = [Report(worker, JobsReturned(1, (4 + worker,))) for worker in (1, 2)]
    capabilities = Capabilities(processes=False, can_kill=False, queues=True, unreported=tuple)
    executor, _pool = scripted_executor([], [finished[0], returned[0]], [finished[1]], [returned[1]], capabilities=capabilities)
    assert executor.last_events({1: 2, 2: 2}) == [finished[0], returned[0], finished[1], returned[1]]
