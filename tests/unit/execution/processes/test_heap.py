"""Freed memory is returned to the operating system."""

from __future__ import annotations

import gc
import sys

import numpy as np
import psutil
import pyarrow as pa
import pytest

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


def test_trimming_takes_a_small_share_of_the_time(monkeypatch):
    """After short nodes, and after a trim that took long, the next nodes are not delayed."""
    heap, trims = Heap(), []
    monkeypatch.setattr(heap, "trim", lambda: trims.append(heap.__dict__.update(_took=1.0)))
    heap.trim_after(0.001)
    assert not trims
    heap.trim_after(1.0)
    heap.trim_after(1.0)
    assert len(trims) == 1
    for _ in range(10):
        heap.trim_after(1.0)
    assert len(trims) == 2
