"""Executor: whose turn it is, the pool's or the main worker's."""

from __future__ import annotations

from types import SimpleNamespace

from treadle.execution.executors.executor import Executor
from treadle.execution.executors.protocol import Capabilities


def test_the_main_worker_goes_on_though_the_pool_always_has_events():
    """Every other turn is a step of its node, however many events of tiny nodes arrive."""
    pool = SimpleNamespace(  # processes that never stop reporting cannot be had
        capabilities=Capabilities(processes=True, can_kill=True, queues=True),
        wake=lambda: None,
        flush=lambda: None,
        wait=lambda _timeout: ["event"],
    )
    executor = Executor(pool, store=None)
    executor._main = SimpleNamespace(has_step=True, step=lambda: "step")
    assert [executor.wait() for _ in range(4)] == [["event"], ["step"], ["event"], ["step"]]
    executor._main.has_step = False
    assert [executor.wait() for _ in range(2)] == [["event"], ["event"]]
