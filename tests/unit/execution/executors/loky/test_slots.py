"""SlotPool: calls from other threads."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from treadle.execution.executors.loky.slots import SlotPool
from treadle.execution.processes.start_method import StartMethod


@pytest.mark.timeout(60)
def test_waking_never_blocks():
    """While the pool closes, no thread reads the wake-up socket: waking it must not block, however often that happens."""
    pool = SlotPool(1, StartMethod.FORK, lambda _scratch: SimpleNamespace(), SimpleNamespace())
    try:
        for _ in range(10_000):
            pool.wake()
        assert pool.wait(0) == []
    finally:
        pool.close()
    assert not pool.is_open
