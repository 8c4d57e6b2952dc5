"""The benchmarks: their goals, how often an engine repeats a workload, and the peak of its memory."""

from __future__ import annotations

import os
import re
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


def test_the_parallel_runner_is_compared_with_loops_that_pass_nothing_on(benchmarks):
    """No engine with as many workers can be faster; the goal stands beside that of dask."""
    seconds = {"treadle_parallel__fork": 1.1, "dask__spawn": 1.3, "separate_loops": 1.0}
    dask, separate = verdict(benchmarks, STRINGS, **seconds)
    assert (dask.by, dask.met) == ("dask", True)
    assert (separate.by, separate.measured, separate.met) == ("separate loops", {"fork": 1.1}, True)


def test_separate_loops_share_the_branches(benchmarks):
    """Each of two processes runs its own; the last task has the results of all three. The work can be repeated."""
    workload = benchmarks("workloads").records(branches=3, steps=1)
    engine = benchmarks("peers").SeparateLoops(2)
    assert engine.refuses(workload) is None
    assert engine.refuses(benchmarks("workloads").chain(3)) == ""
    engine.start(workload)
    try:
        processes = list(engine._processes)
        assert [workload.expected(engine.run(workload)) for _ in range(2)] == [True, True]
    finally:
        engine.close()
    assert [process.exitcode for process in processes] == [0, 0]


def test_a_missed_goal_is_marked_in_the_summary(benchmarks):
    """The cell has the figure of the slowest start method, and the goal."""
    work = "1,000 no-ops"
    workload = next(each for each in benchmarks("workloads").workloads() if each.name == work)
    measured = rows(benchmarks, work, treadle_parallel__fork=1.0, treadle_parallel__spawn=3.0, joblib__loky=2.0, plain_loop=0.5)
    report = benchmarks("report").markdown("today", [workload], measured, [], [])
    cells = ("joblib, loky, 2.000 s", "1.000 s to 3.000 s", "6.00", "1.50", "1.50 × joblib, goal 1, **missed**")
    assert f"| {work} | 0.500 s | {' | '.join(cells)} |" in report


STRINGS = "6 × DataFrames of strings, 25 nodes"


def peak_verdict(benchmarks, **peaks):
    """The verdict on the peak memory of frames of strings; the peaks are multiples of the live data."""
    workload = next(each for each in benchmarks("workloads").workloads() if each.name == STRINGS)
    measured = rows(benchmarks, STRINGS, **dict.fromkeys(peaks, 1.0))
    for row, times in zip(measured, peaks.values(), strict=True):
        row.peaks = [int(each * workload.live_bytes) for each in (times if isinstance(times, tuple) else (times,))]
    (found,) = (each for each in benchmarks("goals").verdicts([workload], measured) if "peak" in each.what)
    return found, benchmarks("report").markdown("today", [workload], measured, [], [])


def test_a_peak_is_compared_with_the_live_data_and_what_a_task_needs_on_each_worker(benchmarks):
    """The plain loop runs one task at a time, which needs as much as the live data; two workers may run two of them."""
    found, report = peak_verdict(benchmarks, plain_loop=2.0, treadle_parallel__fork=3.6, treadle_parallel__spawn=1.5)
    assert found.what == "peak memory ÷ the live data and a task's temporary data on each worker"
    assert found.measured == {"fork": pytest.approx(1.2), "spawn": pytest.approx(0.5)}
    assert found.met
    assert "the live data and a task's temporary data on each worker" in report


def test_the_peak_of_dask_stands_beside_that_of_treadle(benchmarks):
    """It is divided by the same."""
    _found, report = peak_verdict(benchmarks, plain_loop=1.0, treadle_parallel__fork=1.2, dask__spawn=(1.5, 1.6, 1.4))
    (line,) = (each for each in report.splitlines() if each.startswith("| dask | spawn |"))
    assert line.endswith("| 1.50 |")


def test_a_plain_loop_that_needs_little_does_not_make_the_goal_harder(benchmarks):
    """The live data may be sampled a moment before all of them are there."""
    found, _report = peak_verdict(benchmarks, plain_loop=0.5, treadle_parallel__fork=1.5)
    assert found.measured == {"fork": pytest.approx(1.5)}
    assert not found.met


def test_without_a_plain_loop_a_peak_is_compared_with_the_live_data(benchmarks):
    """The label says so, in the goals and above the table of the workload."""
    found, report = peak_verdict(benchmarks, treadle_parallel__fork=1.5)
    assert found.what == "peak memory ÷ the live data (the plain loop was not measured)"
    assert found.measured == {"fork": pytest.approx(1.5)}
    assert "MB: the live data (the plain loop was not measured)" in report


def test_the_median_of_several_peaks_counts(benchmarks):
    """One of them is a third higher; the table shows the range."""
    found, report = peak_verdict(benchmarks, plain_loop=1.0, treadle_parallel__fork=(1.2, 1.6, 1.1))
    assert found.measured == {"fork": pytest.approx(1.2)}
    assert found.met
    assert "medians of 3 first runs" in report
    shown = re.search(r"\| (\d+) \((\d+) to (\d+)\) \| 1\.20 \|", report)
    assert shown is not None
    median, lowest, highest = map(int, shown.groups())  # how large strings are depends on the version of pandas
    assert (lowest / median, highest / median) == pytest.approx((1.1 / 1.2, 1.6 / 1.2), rel=0.02)


def test_only_engines_that_are_compared_repeat_a_workload_beyond_their_budget(benchmarks, monkeypatch):
    """Without any budget: those of the goals and the fastest of the others 3 times, any other once."""
    monkeypatch.setattr(benchmarks("measure"), "SHORT_SECONDS", 0.0)
    found = measured(benchmarks, budget=0.0)
    assert [(row.problem, len(row.peaks)) for row in found] == [("", 1)] * 4
    assert [len(row.seconds) for row in found] == [3, 1, 3, 3]
    assert [row.matters for row in found] == [True, False, True, True]


def test_short_runs_that_are_compared_are_repeated_more_often(benchmarks):
    """9 repeats instead of 3; any other engine as often as its budget allows, and 3 times at the most."""
    assert [len(row.seconds) for row in measured(benchmarks, budget=60.0)] == [9, 3, 9, 9]


def measured(benchmarks, budget):
    """Measure two engines that a goal compares, one that may be the fastest of the others, and one more, 3 times."""
    engines, peers = benchmarks("engines"), benchmarks("peers")
    some = [
        peers.PlainLoop(),
        engines.Treadle("thread", "-", 2),
        engines.Treadle("parallel", "spawn", 2),
        peers.FuturesLoop("spawn", 2),
    ]
    workload = benchmarks("workloads").small(cold=False)
    return benchmarks("measure").measure(workload, some, {"plain loop", "treadle parallel"}, repeats=3, budget=budget)


class Faulty:
    """An engine with a fault: an error when it starts or runs, or the end of its process."""

    method = "-"

    def __init__(self, name):
        self.name = name

    def refuses(self, _workload):
        """It takes all."""

    def start(self, _workload):
        """Start, or fail."""
        if self.name == "start":
            raise OSError("no workers")

    def run(self, _workload):
        """Fail, or end the process, or return something else."""
        if self.name == "run":
            raise ValueError("no result")
        if self.name == "end":
            os._exit(7)
        return {}

    def close(self):
        """Nothing to close."""


def test_an_engine_that_fails_is_a_row_that_says_so(benchmarks):
    """The other rows have their figures."""
    engines = [*map(Faulty, ("start", "run", "end", "wrong")), benchmarks("peers").PlainLoop()]
    found = benchmarks("measure").measure(benchmarks("workloads").small(cold=False), engines, set(), repeats=1, budget=0.0)
    problems = ["failed: OSError('no workers')", "failed: ValueError('no result')", "failed: its process ended with code 7"]
    assert [row.problem for row in found] == [*problems, "wrong results", ""]
    assert [len(row.seconds) for row in found] == [0, 0, 0, 0, 1]


def test_what_several_processes_measured_is_put_together(benchmarks):
    """The second time only the engine that matters was measured, and its result was wrong."""
    kind = benchmarks("measure").Measurement
    first, other = kind("work", "treadle parallel", "fork", [1.0, 3.0], [100]), kind("work", "kedro thread", "-", [9.0], [50])
    more = [kind("work", "treadle parallel", "fork", [2.0], [300], "wrong results")]
    benchmarks("measure").add([first, other], more)
    assert (first.median, first.peak_bytes, first.problem) == (2.0, 200, "wrong results")
    assert (other.seconds, other.peaks, other.problem) == ([9.0], [50], "")


def test_the_goals_say_which_engines_they_compare(benchmarks):
    """For frames these are dask and Treadle's runners beside the plain loop."""
    compared = benchmarks("goals").compared(STRINGS)
    assert {"plain loop", "separate loops", "dask", "treadle parallel", "treadle dask"} <= compared
    assert not {"futures loop", "joblib"} & compared


@pytest.mark.skipif(sys.platform != "linux", reason="Only Linux says how much memory a process has for itself.")
def test_a_peak_counts_the_memory_of_this_process(benchmarks):
    """Half of it is enough: shared memory is counted for the whole machine, and another test may release some."""
    with benchmarks("peak").PeakSampler() as sampler:
        with sampler.sampling():
            held = b"x" * 100_000_000
        assert sampler.peak_bytes > len(held) / 2
