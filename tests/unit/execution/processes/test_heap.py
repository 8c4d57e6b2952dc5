"""Freed memory is returned to the operating system."""

from __future__ import annotations

import gc
import sys

import numpy as np
import psutil
import pyarrow as pa
import pytest

from treadle.execution.processes import heap
from treadle.execution.processes.heap import Heap

MB = 1 << 20


def unshared():
    return psutil.Process().memory_full_info().uss


@pytest.mark.skipif(sys.platform != "linux", reason="other C libraries return freed memory by themselves")
@pytest.mark.parametrize("make", [lambda: np.ones(MB // 16), lambda: pa.array(np.ones(MB // 16)).cast(pa.float32())])
def test_freed_arrays_are_returned(make):
    """Half a megabyte each, below the size from which the C library returns an array when it is freed."""
    make()  # the first call imports what it needs, which stays in memory
    Heap().trim()
    before = unshared()
    kept = [make() for _ in range(100)]
    del kept[:-1]  # the last one keeps the heap from shrinking by itself
    gc.collect()
    Heap().trim()
    assert unshared() - before < 20 * MB


@pytest.fixture
def trim_takes(monkeypatch):
    """Return a function that sets how many seconds each trim takes."""
    clock = {"now": 0.0, "step": 0.0}
    monkeypatch.setattr(heap, "_malloc_trim", lambda: lambda _padding: clock.update(now=clock["now"] + clock["step"]))
    monkeypatch.setattr(heap.time, "thread_time", lambda: clock["now"])
    return lambda seconds: clock.update(step=seconds)


def test_a_busy_worker_trims_after_a_hundred_times_what_the_last_trim_took(trim_takes):
    """At least after a second of nodes, however many there were; the nodes that are too short to count are left out."""
    memory = Heap()
    assert not any(memory.node_ended(0.004) for _ in range(1000))
    assert not memory.is_due_when_idle
    assert [memory.node_ended(0.5) for _ in range(2)] == [False, True]
    trim_takes(0.04)
    memory.trim()
    assert [memory.node_ended(0.5) for _ in range(8)] == [False] * 7 + [True]


def test_a_trim_is_due_when_idle_after_a_node():
    """Until the next trim."""
    memory = Heap()
    memory.node_ended(0.01)
    assert memory.is_due_when_idle
    memory.trim()
    assert not memory.is_due_when_idle
    assert not memory.node_ended(0.99)  # the work before the trim does not count
