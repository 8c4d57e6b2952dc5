"""Timing that survives a noisy machine: each engine in a process of its own, interleaved repeats, medians, and peaks of memory.

An engine repeats a workload as often as its budget of seconds allows, up to a maximum. Engines that the goals and the summaries
compare always reach the maximum, however long that takes: the ratio of two single runs says little. So do those that may be the
fastest of the other engines. The rest keep to their budget, so that a full run takes five minutes longer and not half an hour: a
loop by hand needs 15 s for the frames of string objects, where it is neither the peer of the goal nor the fastest.

Short runs are repeated more often, because a single delay can double their time: arrays that dask sends over sockets take 0.25 or
0.5 s, depending on whether the receiver's window was full at a bad moment. The median of a few repeats may be either of the two.

Processes differ, too: frames of strings take up to a fifth longer on some workers than on others of the same engine, in each
repeat. `run.py` therefore measures several times, each time with new processes; `add` puts the figures together.
"""

from __future__ import annotations

import os
import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from engine_process import FIRST, RUN, START, EngineProcess

if TYPE_CHECKING:
    from collections.abc import Collection

    from workloads import Workload

LONG_SECONDS = 60.0
"""An engine whose first round takes longer has no other."""
CLOSE = 2.0
"""An engine may be the fastest of the others if its first round takes at most this many times as long as that of the fastest."""
SHORT_SECONDS = 1.0
SHORT_REPEATS = 3
"""How many times as often as others an engine repeats a workload that it does in less than `SHORT_SECONDS`, if it is compared."""


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
        engines: who does it, not started; one that refuses it with an empty reason is left out.
        compared: the names of the engines that the report compares for this workload.
        repeats: how often at the most, after the first round. Engines that are compared, and those that may be the fastest of the
            others, repeat it so often, and `SHORT_REPEATS` times as often if they take less than `SHORT_SECONDS`.
        budget: seconds that one engine may take for all its repeats, if it is not one of these.

    Returns:
        A measurement an engine, in the order of the engines.
    """
    rows: list[Measurement] = []
    taking: list[tuple[Measurement, EngineProcess]] = []
    try:
        for engine in engines:
            reason = engine.refuses(workload)
            if reason != "":
                rows.append(Measurement(workload.name, engine.name, engine.method, problem=reason or ""))
            if reason is None:
                taking.append((rows[-1], EngineProcess(engine, workload.name)))
        for row, process in taking:
            row.problem = process.ask(START).problem
        first = [(row, process, _run(process, FIRST, row)) for row, process in taking if not row.problem]
        rounds = _plan(workload, first, compared, repeats, budget)
        for repeat in range(max((count for *_, count in rounds), default=0)):
            for row, process, count in rounds:
                if repeat < count and not row.problem:
                    row.seconds.append(_run(process, RUN, row))
    finally:
        for _, process in taking:
            process.hang_up()
        for _, process in taking:
            process.close()
    return rows


def _plan(
    workload: Workload,
    first: list[tuple[Measurement, EngineProcess, float]],
    compared: Collection[str],
    repeats: int,
    budget: float,
) -> list[tuple[Measurement, EngineProcess, int]]:
    """Return how often each engine shall repeat a workload after its first run, which is kept where there will be no other."""
    fastest = min((took for row, _, took in first if row.is_other and not row.problem), default=0.0)
    rounds = []
    for row, process, took in first:
        row.matters = row.engine in compared or (row.is_other and took <= CLOSE * fastest)
        times = SHORT_REPEATS if row.matters and took < SHORT_SECONDS else 1
        # Warm workers import what the tasks need in the first round, so it counts only where another would take too long.
        floor = repeats * times if row.matters else 0 if workload.cold else 1
        count = max(floor if took <= LONG_SECONDS else 0, min(repeats, int(budget / took))) if not row.problem else 0
        if not count and not row.problem:
            row.seconds.append(took)
        rounds.append((row, process, count))
    return rounds


def _run(process: EngineProcess, command: str, row: Measurement) -> float:
    """Let an engine run, note its problem and its peak, and return how many seconds it took."""
    outcome = process.ask(command)
    row.problem = outcome.problem
    if command == FIRST:
        row.peaks.append(outcome.peak_bytes)
    return outcome.seconds


def add(rows: list[Measurement], more: list[Measurement]) -> None:
    """Add the figures of other processes to the rows of the same engines.

    Args:
        rows: measurements of one workload, which are changed.
        more: measurements of the same workload, of all engines or of some.
    """
    found = {row.label: row for row in rows}
    for each in more:
        row = found[each.label]
        row.seconds += each.seconds
        row.peaks += each.peaks
        row.problem = row.problem or each.problem


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine() -> str:
    """Say where this was measured."""
    import platform

    busy = f", load {os.getloadavg()[0]:.1f} at the start" if hasattr(os, "getloadavg") else ""
    return f"{platform.system()} {platform.machine()}, {cores()} cores, Python {platform.python_version()}{busy}"
