"""Timing that survives a noisy machine: interleaved repeats, medians, and the peak memory of the whole process tree."""

from __future__ import annotations

import gc
import os
import statistics
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workloads import Workload

SAMPLE_SECONDS = 0.02
LONG_SECONDS = 60.0
"""An engine whose first round takes longer has no other."""
_START_ORDER = ("fork", "spawn", "forkserver", "loky", "-")


@dataclass
class Measurement:
    """What one engine took for one workload.

    Attributes:
        workload: name of the workload.
        engine: name of the engine.
        method: its start method.
        seconds: seconds of each repeat.
        peak_bytes: how much memory the process tree had more, at the most, during a run.
        problem: why there are no figures; empty where there are.
    """

    workload: str
    engine: str
    method: str
    seconds: list[float] = field(default_factory=list)
    peak_bytes: int = 0
    problem: str = ""

    @property
    def median(self) -> float:
        """The median of the repeats, in seconds."""
        return statistics.median(self.seconds)

    @property
    def label(self) -> str:
        """The engine with its start method."""
        return self.engine if self.method == "-" else f"{self.engine}, {self.method}"


def measure(workload: Workload, engines: list[Any], repeats: int, budget: float) -> list[Measurement]:
    """Run a workload on each engine in turn, again and again, and check every result.

    The first round warms up and is measured for memory. An engine's workers stay while the others run; they are idle then.

    Args:
        workload: the work.
        engines: who does it; one that refuses it with an empty reason is left out.
        repeats: how often, after the first round.
        budget: seconds that one engine may take for all its repeats; one whose first round takes longer has one repeat.

    Returns:
        A measurement an engine, in the order of the engines.
    """
    reasons = [engine.refuses(workload) for engine in engines]
    pairs = [
        (engine, Measurement(workload.name, engine.name, engine.method, problem=reason or ""))
        for engine, reason in zip(engines, reasons, strict=True)
        if reason != ""
    ]
    taking = [pair for pair in pairs if not pair[1].problem]
    # What forks comes first, before the others have threads.
    for engine, _ in sorted(taking, key=lambda pair: _START_ORDER.index(pair[0].method)):
        with _kept_environment():
            engine.start(workload)
    rounds = {}
    try:
        for engine, measurement in taking:
            if hasattr(engine, "warm"):
                engine.warm()
            _prepare(engine, workload)
            before = _tree_bytes()
            with _PeakSampler() as sampler:
                took = _checked(engine, workload, measurement)
            measurement.peak_bytes = max(0, sampler.peak - before)
            least = 0 if workload.cold or took > LONG_SECONDS else 1  # the first round includes the imports of the workers
            rounds[id(engine)] = max(least, min(repeats, int(budget / took)))
            if not rounds[id(engine)] and not measurement.problem:
                measurement.seconds.append(took)
        for repeat in range(repeats):
            for engine, measurement in taking:
                if repeat < rounds[id(engine)] and not measurement.problem:
                    _prepare(engine, workload)
                    gc.collect()
                    measurement.seconds.append(_checked(engine, workload, measurement))
    finally:
        for engine, _ in taking:
            engine.close()
    return [measurement for _, measurement in pairs]


@contextmanager
def _kept_environment() -> Iterator[None]:
    """Undo what an engine does to the environment and the import path of this process.

    dask adds folders to `sys.path`, and sets how glibc returns memory and how many threads numeric libraries have. The others
    would run with these settings, and Treadle would start its workers anew to apply them: where they are forked, as copies of a
    process that has run the other engines, and where they are not, with dask's settings for memory.
    """
    environment, path = dict(os.environ), list(sys.path)
    try:
        yield
    finally:
        sys.path[:] = path
        for name in set(os.environ) - set(environment):
            del os.environ[name]
        os.environ.update(environment)


def _prepare(engine: Any, workload: Workload) -> None:
    if hasattr(engine, "prepare"):
        engine.prepare(workload)


def _checked(engine: Any, workload: Workload, measurement: Measurement) -> float:
    began = time.perf_counter()
    try:
        results = engine.run(workload)
    except Exception as error:  # noqa: BLE001 - whatever an engine raises is its result; the others go on
        measurement.problem = f"failed: {error!r}"[:300]
        return time.perf_counter() - began
    took = time.perf_counter() - began
    if not getattr(engine, "unchecked", False) and not workload.expected(results):
        measurement.problem = "wrong results"
    return took


class _PeakSampler:
    """Sample the memory of this process and its descendants while something runs."""

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
    """Return the memory of this process and its descendants, in bytes; 0 where the system does not say.

    Pages that processes share count once (PSS). Shared memory, which may be in nobody's map for a while, is counted for the
    whole machine instead: what matters is by how much it grows.
    """
    if sys.platform != "linux":
        return 0
    total = sum(_kilobytes("/proc/meminfo", "Shmem:"))
    for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
        whole, shared = _kilobytes(f"/proc/{process.pid}/smaps_rollup", "Pss:", "Pss_Shmem:")
        total += whole - shared
    return total * 1024


def _kilobytes(path: str, *names: str) -> list[int]:
    found = dict.fromkeys(names, 0)
    try:
        with Path(path).open(encoding="ascii") as lines:
            for line in lines:
                name, *rest = line.split(maxsplit=2)
                if name in found:
                    found[name] = int(rest[0])
    except OSError:  # the process is gone
        return [0] * len(names)
    return [found[name] for name in names]


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine() -> str:
    """Say where this was measured."""
    import platform

    busy = f", load {os.getloadavg()[0]:.1f} at the start" if hasattr(os, "getloadavg") else ""
    return f"{platform.system()} {platform.machine()}, {cores()} cores, Python {platform.python_version()}{busy}"
