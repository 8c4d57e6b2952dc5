"""The goals of the benchmarks: ratios to other engines, with the same start method where they have several."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def benchmarks(monkeypatch):
    """The modules of the benchmarks, by name."""
    pytest.importorskip("pandas")
    monkeypatch.syspath_prepend(FOLDER)
    from importlib import import_module

    yield import_module
    for name in [each for each, module in sys.modules.items() if Path(getattr(module, "__file__", None) or "").parent == FOLDER]:
        monkeypatch.delitem(sys.modules, name)


def rows(benchmarks, work, **seconds):
    """Measurements of a workload; `treadle_parallel__fork=0.1` is an engine, its start method, and its median."""
    measurement = benchmarks("measure").Measurement
    named = [(name.replace("_", " ").partition("  "), each) for name, each in seconds.items()]
    return [measurement(work, engine, method or "-", [each]) for (engine, _, method), each in named]


def verdict(benchmarks, work, **seconds):
    """The verdict on a workload, by the goals of the report's summary."""
    workload = next(each for each in benchmarks("workloads").workloads() if each.name == work)
    return benchmarks("goals").verdicts([workload], rows(benchmarks, work, **seconds))


def test_each_start_method_is_compared_with_the_same_one(benchmarks):
    """The futures loop is fast under fork and slow under spawn, and does not exist under loky."""
    (found,) = verdict(
        benchmarks,
        "6 nodes",
        treadle_parallel__fork=2.0,
        treadle_parallel__spawn=2.0,
        treadle_parallel__loky=9.0,
        futures_loop__fork=1.0,
        futures_loop__spawn=4.0,
    )
    assert found.measured == {"fork": 2.0, "spawn": 0.5}
    assert not found.met


def test_an_engine_with_one_start_method_is_the_measure_of_all(benchmarks):
    """Joblib has loky only."""
    (found,) = verdict(benchmarks, "1,000 no-ops", treadle_parallel__fork=1.0, treadle_parallel__spawn=0.5, joblib__loky=2.0)
    assert found.measured == {"fork": 0.5, "spawn": 0.25}
    assert found.met


def test_a_missed_goal_is_marked_in_the_summary(benchmarks):
    """The cell has the figure of the slowest start method, and the goal."""
    work = "1,000 no-ops"
    workload = next(each for each in benchmarks("workloads").workloads() if each.name == work)
    measured = rows(benchmarks, work, treadle_parallel__fork=1.0, treadle_parallel__spawn=3.0, joblib__loky=2.0, plain_loop=0.5)
    report = benchmarks("report").markdown("today", [workload], measured, [], [])
    cells = ("joblib, loky, 2.000 s", "1.000 s to 3.000 s", "6.00", "1.50", "1.50 × joblib, goal 1, **missed**")
    assert f"| {work} | 0.500 s | {' | '.join(cells)} |" in report
