"""LokyExecutor: whose turn it is."""

from __future__ import annotations

from types import SimpleNamespace

from treadle.execution.executors.loky import LokyExecutor


def test_the_main_worker_goes_on_though_others_never_cease_to_tell(monkeypatch):
    """Every other turn is a step of its node's, however many facts of tiny nodes arrive."""
    executor = LokyExecutor.__new__(LokyExecutor)  # processes that never cease to tell cannot be had
    executor._pool = SimpleNamespace(flush=lambda: None, wait=lambda _timeout: ["told"])
    executor._events, executor._passed_over = [], False
    executor._main = SimpleNamespace(has_step=True)
    monkeypatch.setattr(executor, "_step", lambda: ["step"])
    assert [executor.wait() for _ in range(4)] == [["told"], ["step"], ["told"], ["step"]]
    executor._main.has_step = False
    assert [executor.wait() for _ in range(2)] == [["told"], ["told"]]
