"""Executor: how `wait` alternates between the pool and the main worker."""

from __future__ import annotations

from types import SimpleNamespace

from treadle.execution.executors.executor import Executor
from treadle.execution.executors.protocol import Capabilities


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
