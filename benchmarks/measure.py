"""Timing that survives a noisy machine: interleaved repeats, medians, and the peak memory of the whole process tree."""

from __future__ import annotations

import gc
import os
import statistics
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from workloads import Workload

SAMPLE_SECONDS = 0.02


@dataclass
class Measurement:
    """What one engine took for one workload: seconds of each repeat, and the peak of a run in bytes."""

    workload: str
    engine: str
    method: str
    seconds: list[float] = field(default_factory=list)
    peak_bytes: int = 0

    @property
    def median(self) -> float:
        """The median of the repeats, in seconds."""
        return statistics.median(self.seconds)


def measure(workload: Workload, engines: list[Any], repeats: int) -> list[Measurement]:
    """Run a workload on each engine in turn, again and again, and check every result.

    The first round warms up and is measured for memory alone. An engine's workers stay while the others run; they are
    idle then.
    """
    measurements = [Measurement(workload.name, engine.name, engine.method) for engine in engines]
    for engine in engines:
        engine.start(workload)
    try:
        for engine, measurement in zip(engines, measurements, strict=True):
            before = _tree_bytes()
            with _PeakSampler() as sampler:
                _checked(engine, workload)
            measurement.peak_bytes = max(0, sampler.peak - before)
        for _ in range(repeats):
            for engine, measurement in zip(engines, measurements, strict=True):
                gc.collect()
                measurement.seconds.append(_checked(engine, workload))
    finally:
        for engine in engines:
            engine.close()
    return measurements


def _checked(engine: Any, workload: Workload) -> float:
    began = time.perf_counter()
    results = engine.run(workload)
    took = time.perf_counter() - began
    if not workload.expected(results):
        msg = f"{engine.name} ({engine.method}) computed something else for {workload.name}"
        raise SystemExit(msg)
    return took


class _PeakSampler:
    """Sample the proportional memory of this process and its descendants while something runs."""

    def __enter__(self) -> _PeakSampler:
        self.peak = _tree_bytes()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()
        return self

    def _sample(self) -> None:
        while not self._over.wait(SAMPLE_SECONDS):
            self.peak = max(self.peak, _tree_bytes())

    def __exit__(self, *_exc: object) -> None:
        self._over.set()
        self._thread.join()


def _tree_bytes() -> int:
    """PSS of the tree: shared pages count once; pages of memory files count while somebody maps them."""
    total = 0
    for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
        try:
            with Path(f"/proc/{process.pid}/smaps_rollup").open(encoding="ascii") as rollup:
                total += next((int(line.split()[1]) * 1024 for line in rollup if line.startswith("Pss:")), 0)
        except (OSError, psutil.Error):
            continue
    return total


def machine() -> str:
    """Say where this was measured."""
    import platform

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{platform.system()} {platform.machine()}, {cores} cores, Python {platform.python_version()}"
