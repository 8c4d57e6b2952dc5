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


def test_a_trim_is_due_after_nodes_that_took_fifty_times_as_long(trim_takes):
    memory = Heap()
    assert not memory.is_due_after(0.001)
    assert memory.is_due_after(0.01)
    trim_takes(0.01)
    memory.trim()
    assert memory.is_due_after(0.51)
    assert not memory.is_due_after(0.49)


def test_one_slow_trim_is_not_the_last_one(trim_takes):
    memory = Heap()
    trim_takes(1.0)
    memory.trim()
    due = [memory.is_due_after(0.1) for _ in range(20)]
    assert not due[0]
    assert any(due)
