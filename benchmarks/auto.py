"""Whether `AutoRunner` is as fast as the better of the sequential and the parallel runner, after three runs of a pipeline."""

from __future__ import annotations

import hashlib
import statistics
import time
from typing import TYPE_CHECKING, Any

from figures import Figure, timed
from light import noop

if TYPE_CHECKING:
    from collections.abc import Callable

    from treadle import Pipeline, Runner

GOAL = 1.05
"""How many times as long as the better runner it may take."""
WORKERS = 2
LEARNING = 3
"""Runs before it is measured."""


def compute(milliseconds: int) -> int:
    """Use a core for about so many milliseconds."""
    for _ in range(milliseconds):
        hashlib.pbkdf2_hmac("sha256", b"treadle", b"salt", 2_000)
    return milliseconds


def wait(seconds: float) -> float:
    """Use no core for so many seconds."""
    time.sleep(seconds)
    return seconds


def shapes() -> dict[str, tuple[Pipeline, dict[str, Any]]]:
    """Return pipelines with their inputs: for some, workers are a loss, for others a gain."""
    from treadle import Pipeline, node

    def independent(count: int, function: Callable[..., Any]) -> Pipeline:
        return Pipeline([node(function, "x", f"d{each}", name=f"n{each}") for each in range(count)])

    def row(count: int, function: Callable[..., Any]) -> Pipeline:
        steps = [node(function, f"d{each - 1}" if each else "x", f"d{each}", name=f"n{each}") for each in range(count)]
        return Pipeline(steps)

    arrays = [node(_array, "x", f"a{each}", name=f"make{each}") for each in range(4)]
    sums = [node(_total, f"a{each}", f"t{each}", name=f"sum{each}") for each in range(4)]
    return {
        "9 no-ops": (independent(9, noop), {"x": 0}),
        "300 no-ops": (independent(300, noop), {"x": 0}),
        "chain of 8 × 50 ms": (row(8, compute), {"x": 50}),
        "8 × 30 ms": (independent(8, compute), {"x": 30}),
        "12 × 200 ms": (independent(12, compute), {"x": 200}),
        "8 nodes that wait for 0.2 s": (independent(8, wait), {"x": 0.2}),
        "4 arrays of 16 MB and their sums": (Pipeline([*arrays, *sums]), {"x": 2_000_000}),
    }


def figures(repeats: int) -> list[Figure]:
    """Return one figure for each shape: each run starts its own workers, as a command does."""
    from treadle import AutoRunner, ParallelRunner, SequentialRunner

    found = []
    for shape, (pipeline, inputs) in shapes().items():
        auto = AutoRunner(WORKERS, "fork")
        for _ in range(LEARNING):
            _seconds(auto, pipeline, inputs)
        times: dict[str, list[float]] = {"sequential": [], "parallel": [], "auto": []}
        for _ in range(repeats):
            for name, runner in (
                ("sequential", SequentialRunner()),
                ("auto", auto),
                ("parallel", ParallelRunner(WORKERS, "fork")),
            ):
                times[name].append(_seconds(runner, pipeline, inputs))
        medians = {name: statistics.median(each) for name, each in times.items()}
        better = min(("sequential", "parallel"), key=lambda name: medians[name])
        ratio = statistics.median(mine / best for mine, best in zip(times["auto"], times[better], strict=True))
        detail = ", ".join(f"{name} {seconds:.4f} s" for name, seconds in medians.items())
        found.append(
            Figure(f"auto runner, {shape}: times the better of the two", ratio, "×", GOAL, f"{detail}; it chose {_choice(auto)}")
        )
    return found


def _seconds(runner: Runner, pipeline: Pipeline, inputs: dict[str, Any]) -> float:
    """Return the seconds of a run, after one that warms the caches of the processor for this runner."""
    from treadle import Catalog

    runner.run(pipeline, Catalog(inputs))
    return timed(lambda: runner.run(pipeline, Catalog(inputs)))[0]


def _choice(runner: Any) -> str:
    return str(runner.latest.runner) if runner.latest is not None else "nothing"


def _array(size: int) -> Any:
    import numpy as np

    return np.sqrt(np.arange(size, dtype="float64"))


def _total(array: Any) -> float:
    return float(array.sum())
