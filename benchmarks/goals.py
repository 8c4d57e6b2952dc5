"""What Treadle should reach with two workers, and whether it did: one verdict a row of the goals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from measure import Measurement
    from workloads import Workload

PLAIN = "plain loop"
TREADLE = "treadle parallel"
FIRST_RUN = "treadle parallel, first run"
SEPARATE = "separate loops"
WORKERS = 2
"""The number of workers that the goals are for."""
MEMORY = 1.25
"""How many times the memory that the work itself needs a run may have at its peak."""
TIMES_A_PEER = {
    "6 nodes": ("futures loop", 1.0),
    "1,000 no-ops": ("joblib", 1.0),
    "10,000 no-ops": ("joblib", 1.5),
    "20 layers of 50": ("futures loop", 0.25),
    "chain of 300": ("futures loop", 0.1),
    "6 × 64 MB arrays, 25 nodes": ("dask", 0.9),
    "6 × DataFrames of floats, 25 nodes": ("dask", 0.9),
    # Separate loops, which pass nothing on, take 0.8 to 1.0 times as long as dask.
    "6 × DataFrames of strings, 25 nodes": ("dask", 1.0),
    "6 × DataFrames of string objects, 25 nodes": ("dask", 0.9),
    "6 × lists of 50,000 records, 25 nodes": ("dask", 0.9),
    "6 × DataFrames of dates, 25 nodes": ("dask", 0.9),
    "6 nodes, workers started for them": ("futures loop", 1.5),
}
"""For a workload: another engine, and how many times as long as it the parallel runner may take."""
TIMES_SEPARATE = {
    "6 × DataFrames of strings, 25 nodes": 1.15,
    "6 × DataFrames of string objects, 25 nodes": 1.3,
}
"""For a workload: how many times as long as separate loops, which pass nothing on, the parallel runner may take."""
DASK = "treadle dask"
TIMES_A_DASK_PEER = {
    "1,000 no-ops": ("dask submit loop", 0.20),
    "6 × 64 MB arrays, 25 nodes": ("dask", 1.10),
}
"""For a workload: an engine on a cluster of the same size, and how many times as long as it the dask runner may take."""
TIMES_THE_BOUND = {TREADLE: 1.04, FIRST_RUN: 1.10}


@dataclass(frozen=True, slots=True)
class Verdict:
    """A goal and what was measured, for each start method.

    Attributes:
        workload: the work.
        what: what is compared.
        goal: the most that it should be.
        unit: its unit.
        measured: the figure by start method.
        by: what the time of the parallel runner is divided by; empty for other figures.
    """

    workload: str
    what: str
    goal: float
    unit: str
    measured: dict[str, float]
    by: str = ""

    @property
    def met(self) -> bool:
        """Whether the slowest start method meets the goal."""
        return max(self.measured.values()) <= self.goal


def verdicts(workloads: list[Workload], measurements: list[Measurement]) -> list[Verdict]:
    """Return the verdicts on all that was measured and has a goal."""
    found = []
    for workload in workloads:
        rows = [row for row in measurements if row.workload == workload.name and row.seconds and not row.problem]
        found += _on_dask(workload.name, rows)
        ours = {row.method: row for row in rows if row.engine == TREADLE}
        if not ours:
            continue
        found += _on_a_peer(workload.name, TIMES_A_PEER.get(workload.name, ("", 0.0)), rows, ours)
        found += _on_a_peer(workload.name, (SEPARATE, TIMES_SEPARATE.get(workload.name, 0.0)), rows, ours)
        if workload.bound_seconds:
            for engine, times in TIMES_THE_BOUND.items():
                ratios = {row.method: row.median / workload.bound_seconds for row in rows if row.engine == engine}
                learned = "durations learned" if engine == TREADLE else "first run"
                what = f"time ÷ the lower bound ({learned})"
                found.append(Verdict(workload.name, what, times, "×", ratios, f"the bound, {learned}"))
        if workload.live_bytes and all(row.peak_bytes for row in ours.values()):
            needed, what = needed_bytes(workload, rows)
            peaks = {method: row.peak_bytes / needed for method, row in ours.items()}
            found.append(Verdict(workload.name, f"peak memory ÷ {what}", MEMORY, "×", peaks))
    return [verdict for verdict in found if verdict.measured]


def compared(workload: str) -> set[str]:
    """Return the names of the engines that the goals and the summaries compare for a workload."""
    peers = [goals[workload][0] for goals in (TIMES_A_PEER, TIMES_A_DASK_PEER) if workload in goals]
    return {PLAIN, SEPARATE, DASK, *TIMES_THE_BOUND, *peers}


def needed_bytes(workload: Workload, rows: list[Measurement]) -> tuple[int, str]:
    """Return how much memory the work itself needs on all workers, and what that is.

    It is the live data and, for each worker, what one task needs beside them while it runs: pandas makes temporary copies of
    strings, whichever engine calls it, and on two workers two tasks may do so at once. A plain loop shows how much that is for
    one task, because it runs one at a time. Without a plain loop it is the live data.

    Args:
        workload: the work.
        rows: what was measured for it, without failures.
    """
    plain = [row.peak_bytes for row in rows if row.engine == PLAIN]
    if not plain:
        return workload.live_bytes, "the live data (the plain loop was not measured)"
    temporary = max(0, max(plain) - workload.live_bytes)
    return workload.live_bytes + WORKERS * temporary, "the live data and a task's temporary data on each worker"


def _on_a_peer(workload: str, goal: tuple[str, float], rows: list[Measurement], ours: dict[str, Measurement]) -> list[Verdict]:
    """Compare with another engine: under the same start method, if the other has been measured under several."""
    peer, times = goal
    others = {row.method: row for row in rows if row.engine == peer}
    if len(others) == 1:
        others = dict.fromkeys(ours, *others.values())
    ratios = {method: row.median / others[method].median for method, row in ours.items() if method in others}
    return [Verdict(workload, f"time ÷ {peer}", times, "×", ratios, peer)] if times else []


def _on_dask(workload: str, rows: list[Measurement]) -> list[Verdict]:
    if workload not in TIMES_A_DASK_PEER:
        return []
    peer, times = TIMES_A_DASK_PEER[workload]
    took = {row.engine: row for row in rows}
    if DASK not in took or peer not in took:
        return []
    ratio = took[DASK].median / took[peer].median
    return [Verdict(workload, f"dask runner ÷ {peer}", times, "×", {took[DASK].method: ratio})]
