"""Timing that survives a noisy machine: interleaved repeats, medians, and the peak memory of the whole process tree.

An engine repeats a workload as often as its budget of seconds allows, up to a maximum. Engines that the goals and the summaries
compare always reach the maximum, however long that takes: the ratio of two single runs says little. So do those that may be the
fastest of the other engines. The rest keep to their budget, so that a full run takes five minutes longer and not half an hour: a
loop by hand needs 15 s for the frames of string objects, where it is neither the peer of the goal nor the fastest.

Short runs are repeated more often, because a single delay can double their time: arrays that dask sends over sockets take 0.25 or
0.5 s, depending on whether the receiver's window was full at a bad moment. The median of a few repeats may be either of the two.

Processes differ, too: frames of strings take up to a fifth longer on some workers than on others of the same engine, in each
repeat. `run.py` therefore measures in several processes, one after the other, each with new engines; `add` puts their figures
together.
"""

from __future__ import annotations

import gc
import os
import statistics
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from peak import PeakSampler

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from workloads import Workload

LONG_SECONDS = 60.0
"""An engine whose first round takes longer has no other."""
CLOSE = 2.0
"""An engine may be the fastest of the others if its first round takes at most this many times as long as that of the fastest."""
SHORT_SECONDS = 1.0
SHORT_REPEATS = 3
"""How many times as often as others an engine repeats a workload that it does in less than `SHORT_SECONDS`, if it is compared."""
_START_ORDER = ("fork", "spawn", "forkserver", "loky", "-")


@dataclass
class Measurement:
    """What one engine took for one workload.

    Attributes:
        workload: name of the workload.
        engine: name of the engine.
        method: its start method.
        seconds: seconds of each repeat.
        peaks: how far the memory of the process tree rose, in bytes, at the most, each time during the engine's first run.
        problem: why there are no figures; empty where there are.
        matters: whether the report compares the engine, or it may be the fastest of the others.
    """

    workload: str
    engine: str
    method: str
    seconds: list[float] = field(default_factory=list)
    peaks: list[int] = field(default_factory=list)
    problem: str = ""
    matters: bool = False

    @property
    def peak_bytes(self) -> int:
        """The median of the peaks, in bytes; 0 if there is none."""
        return int(statistics.median(self.peaks or [0]))

    @property
    def median(self) -> float:
        """The median of the repeats, in seconds."""
        return statistics.median(self.seconds)

    @property
    def is_other(self) -> bool:
        """Whether this is an engine with workers in Treadle's place."""
        return self.method != "-" and not self.engine.startswith("treadle")

    @property
    def label(self) -> str:
        """The engine with its start method."""
        return self.engine if self.method == "-" else f"{self.engine}, {self.method}"


def measure(
    workload: Workload, engines: list[Any], compared: Collection[str], *, repeats: int, budget: float
) -> list[Measurement]:
    """Run a workload on each engine in turn, again and again, and check every result.

    The first round warms up and is measured for memory. An engine's workers stay while the others run; they are idle then.

    Args:
        workload: the work.
        engines: who does it; one that refuses it with an empty reason is left out.
        compared: the names of the engines that the report compares for this workload.
        repeats: how often at the most, after the first round. Engines that are compared, and those that may be the fastest of the
            others, repeat it so often, and `SHORT_REPEATS` times as often if they take less than `SHORT_SECONDS`.
        budget: seconds that one engine may take for all its repeats, if it is not one of these.

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
    _start(workload, taking)
    try:
        first = _first_round(workload, taking)
        others = [took for (_, each), took in zip(taking, first, strict=True) if each.is_other and not each.problem]
        fastest = min(others, default=0.0)
        rounds = []
        for (_, measurement), took in zip(taking, first, strict=True):
            measurement.matters = measurement.engine in compared or (measurement.is_other and took <= CLOSE * fastest)
            times = SHORT_REPEATS if measurement.matters and took < SHORT_SECONDS else 1
            # Warm workers import what the tasks need in the first round, so it counts only where another would take too long.
            floor = repeats * times if measurement.matters else 0 if workload.cold else 1
            rounds.append(max(floor if took <= LONG_SECONDS else 0, min(repeats, int(budget / took))))
            if not rounds[-1] and not measurement.problem:
                measurement.seconds.append(took)
        for repeat in range(max(rounds, default=0)):
            for (engine, measurement), count in zip(taking, rounds, strict=True):
                if repeat < count and not measurement.problem:
                    _prepare(engine, workload)
                    gc.collect()
                    measurement.seconds.append(_checked(engine, workload, measurement))
    finally:
        for engine, _ in taking:
            engine.close()
    return [measurement for _, measurement in pairs]


def _start(workload: Workload, taking: list[tuple[Any, Measurement]]) -> None:
    """Start the engines: those that fork come first, before the others have threads."""
    for engine, _ in sorted(taking, key=lambda pair: _START_ORDER.index(pair[0].method)):
        with _kept_environment():
            engine.start(workload)


def _first_round(workload: Workload, taking: list[tuple[Any, Measurement]]) -> list[float]:
    """Let each engine run once, and note its peak; return the seconds that each took."""
    first = []
    with PeakSampler() as sampler:
        for engine, measurement in taking:
            if hasattr(engine, "warm"):
                engine.warm()
            _prepare(engine, workload)
            with sampler.sampling():
                first.append(_checked(engine, workload, measurement))
            measurement.peaks.append(sampler.peak_bytes)
    return first


def measure_peaks(workload: Workload, engines: list[Any]) -> list[Measurement]:
    """Run a workload once on each engine, for the peaks of its memory.

    This process must not have run the workload before: its allocator would still have the memory, and the peak would be too low.

    Args:
        workload: the work.
        engines: who does it.

    Returns:
        A measurement an engine, without seconds.
    """
    pairs = [(engine, Measurement(workload.name, engine.name, engine.method)) for engine in engines]
    try:
        _start(workload, pairs)
        _first_round(workload, pairs)
    finally:
        for engine in engines:
            engine.close()
    return [measurement for _, measurement in pairs]


def add(rows: list[Measurement], more: list[Measurement]) -> None:
    """Add the repeats of another process to the rows of the same engines, without its peaks, which `measure_peaks` measures.

    Args:
        rows: measurements of one workload, which are changed.
        more: measurements of the same workload, of all engines or of some.
    """
    found = {row.label: row for row in rows}
    for each in more:
        row = found[each.label]
        row.seconds += each.seconds
        row.problem = row.problem or each.problem


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


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine() -> str:
    """Say where this was measured."""
    import platform

    busy = f", load {os.getloadavg()[0]:.1f} at the start" if hasattr(os, "getloadavg") else ""
    return f"{platform.system()} {platform.machine()}, {cores()} cores, Python {platform.python_version()}{busy}"
