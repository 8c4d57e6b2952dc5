"""SlotPool: what other threads may do to it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from treadle.execution.executors.loky.slots import SlotPool
from treadle.execution.processes.start_method import StartMethod


@pytest.mark.timeout(60)
def test_no_number_of_ended_workers_keeps_a_thread_waiting():
    """Nobody reads while the pool closes: to wake it is then no news, and never blocks, however many workers end at once."""
    pool = SlotPool(1, StartMethod.FORK, lambda _scratch: SimpleNamespace(), SimpleNamespace())
    try:
        for pid in range(10_000):
            pool._note_end(1, pid)
        assert len(pool._ended) == 10_000
    finally:
        pool.close()
    assert not pool.is_open
