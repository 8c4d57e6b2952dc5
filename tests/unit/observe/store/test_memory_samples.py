"""Samples of the memory of a run's processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from treadle.observe.store import memory_samples
from treadle.observe.store.memory_samples import MemoryRecord, MemorySamples

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is sampled on Linux only")


def test_own_children_are_sampled_and_other_processes_are_not():
    """A child has samples until it ends, and the time of its launch; a process that this one did not start has none."""
    samples = MemorySamples()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        launched = samples.sample({"worker-1": child.pid, "thread-1": os.getpid(), "elsewhere": 1})
        child.stdin.close()
        child.wait()
    samples.sample({"worker-1": child.pid})
    record = samples.record()
    assert [name for name, _ in record.processes] == ["main", "worker-1"]
    (_, main), (_, worker) = record.processes
    assert worker[0] > 0
    assert worker[1] is None
    assert all(size > worker[0] / 100 for size in main)
    assert abs(launched[child.pid] - time.time()) < 60
    assert record.limit >= max(main)


def test_the_samples_of_a_long_run_are_thinned_out(monkeypatch):
    """However long a run is, its record has at most so many samples, over its whole time, and the peak is among them."""
    monkeypatch.setattr(memory_samples, "MAX_SAMPLES", 8)
    samples, sizes = MemorySamples(), [100] * 100
    sizes[57] = 999
    for size in sizes:
        monkeypatch.setattr(memory_samples, "_resident", lambda _pid, size=size: size)
        samples.sample({})
    record = samples.record()
    ((_, kept),) = record.processes
    assert len(kept) == len(record.times) <= 9
    assert max(kept) == 999


def test_a_record_is_the_same_after_it_was_stored():
    """As JSON and back."""
    record = MemoryRecord(10, (1.0, 2.0), (("main", (5, None)),))
    assert MemoryRecord.from_json(record.as_json()) == record
    assert MemorySamples().record() is None
