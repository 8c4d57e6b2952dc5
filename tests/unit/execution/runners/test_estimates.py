"""The choice of a runner from earlier runs: pure, so every case is computed by hand."""

from __future__ import annotations

import pytest

from treadle.execution.runners.estimates import Choice, choose_runner_for, estimate_runners
from treadle.io import Catalog
from treadle.pipeline import Pipeline, node
from treadle.pipeline.policy import NodePolicy
from treadle.planning import compile_plan
from treadle.planning.run_times import RunTimes


def plan_of(count, *, chain=False):
    """Compile a plan of independent nodes, or of nodes in a row."""
    return compile_plan(
        Pipeline(
            [node(lambda *_: 1, f"d{each - 1}" if chain and each else None, f"d{each}", name=f"n{each}") for each in range(count)]
        ),
        Catalog(),
    )


def ran(runner, seconds, each, *, count=4, start_up=0.0, workers=2):
    """The times of a run of `count` nodes that took `each` seconds."""
    return RunTimes(runner, workers, seconds, start_up, {f"n{index}": each for index in range(count)})


@pytest.mark.parametrize(
    ("nodes", "workers", "reason"),
    [(1, 8, "1 node, so workers would gain nothing"), (0, 8, "0 nodes"), (4, 1, "only one worker may be used")],
)
def test_what_no_worker_could_speed_up_runs_sequentially(nodes, workers, reason):
    """Without two nodes or two workers, the past does not matter."""
    choice = choose_runner_for(plan_of(nodes), [ran("parallel", 1.0, 0.5)], workers)
    assert choice[:2] == ("sequential", 1)
    assert choice.reason.startswith(reason)


def test_nodes_with_timeouts_run_in_processes():
    """Only a process can be ended while it runs a node, even if it is the only node."""
    for count in (1, 3):
        nodes = [node(lambda: 1, None, f"d{each}", name=f"n{each}", policy=NodePolicy(timeout=5)) for each in range(count)]
        plan = compile_plan(Pipeline(nodes), Catalog())
        assert choose_runner_for(plan, [ran("sequential", 0.1, 0.001)] * 3, 2)[:2] == ("parallel", 2)


def test_unknown_nodes_run_in_parallel():
    """At least half of the nodes must have run: others have no duration to compare."""
    assert choose_runner_for(plan_of(4), [], 8) == Choice("parallel", 8, "4 of 4 nodes have not run yet")
    two = ran("sequential", 1.0, 0.5, count=2)
    assert choose_runner_for(plan_of(4), [two], 8) == Choice("parallel", 8, "2 of 4 nodes have not run yet")
    assert choose_runner_for(plan_of(4), [ran("sequential", 0.15, 0.05, count=3)], 8).runner == "sequential"


def test_small_nodes_run_sequentially_after_one_parallel_run():
    """4 nodes of 10 ms cost less than the start of workers."""
    first = ran("parallel", 0.8, 0.01, start_up=0.7)
    choice = choose_runner_for(plan_of(4), [first], 2)
    assert choice == Choice("sequential", 1, "0.04 s expected, 0.721 s in 2 processes")


def test_long_nodes_stay_parallel():
    """8 nodes of 10 s take 80 s in a row, and 41 s in two processes: nothing else is tried."""
    past = [ran("parallel", 41.0, 10.0, count=8, start_up=0.7)]
    choice = choose_runner_for(plan_of(8), past, 2)
    assert choice[:2] == ("parallel", 2)
    assert choice.reason == "40.7 s expected, 80 s sequentially"


def test_a_close_runner_is_tried_once_and_then_judged_by_its_run():
    """In processes the nodes slow each other down, which only a sequential run can show."""
    plan, parallel = plan_of(4), ran("parallel", 2.6, 0.8, start_up=0.5)
    tried = choose_runner_for(plan, [parallel, parallel, parallel], 2)
    assert tried[:2] == ("sequential", 1)
    assert "not tried yet; 2.6 s expected in 2 processes" in tried.reason
    better, worse = ran("sequential", 1.8, 0.4), ran("sequential", 3.3, 0.8)
    assert choose_runner_for(plan, [better, parallel, parallel, parallel], 2).runner == "sequential"
    assert choose_runner_for(plan, [worse, parallel, parallel, parallel], 2).runner == "parallel"


def test_a_slow_first_run_does_not_decide():
    """A runner that ran once is judged by the better of that run and of the model: caches were cold."""
    slow_first, serial = ran("parallel", 9.0, 1.0, start_up=0.5, count=6), ran("sequential", 6.0, 1.0, count=6)
    plan = plan_of(6)
    assert choose_runner_for(plan, [serial, slow_first], 2).runner == "parallel"
    assert choose_runner_for(plan, [serial, slow_first, slow_first, slow_first], 2).runner == "sequential"


def test_only_recent_runs_count():
    """Five runs of each runner: as data grows, older ones no longer say anything."""
    old = [ran("sequential", 0.5, 0.1)] * 9
    new = [ran("sequential", 8.0, 2.0)] * 5
    (serial, _parallel) = estimate_runners(plan_of(4), [*new, *old], 2)
    assert (serial.seconds, serial.runs) == (8.0, 5)


@pytest.mark.parametrize("busy", [[], [ran("sequential", 9.0, 2.2)] * 3])
def test_a_chain_gains_nothing_from_workers(busy):
    """Its nodes cannot run side by side, so it runs sequentially, even if the machine was busy each time it did."""
    past = [*[ran("parallel", 4.6, 1.0, start_up=0.5)] * 3, *busy]
    choice = choose_runner_for(plan_of(4, chain=True), past, 8)
    assert choice[:2] == ("sequential", 1)
    assert choice.reason == "each node uses what the one before it returns, so workers would gain nothing"


def test_nodes_that_are_almost_a_chain_are_compared():
    """One node that does not use what the one before it returns can run beside it."""
    nodes = [node(lambda *_: 1, f"d{max(0, each - 2)}" if each else None, f"d{each}", name=f"n{each}") for each in range(1, 4)]
    plan = compile_plan(Pipeline([node(lambda: 1, None, "d0", name="n0"), *nodes]), Catalog())
    assert choose_runner_for(plan, [], 8).runner == "parallel"


def test_a_runner_that_was_close_is_tried_again_after_20_runs():
    """The machine may have been busy while it ran, and no other run would ever tell."""
    plan, parallel, serial = plan_of(4), [ran("parallel", 2.0, 0.45, start_up=0.5)], [ran("sequential", 2.4, 0.6)] * 3
    assert choose_runner_for(plan, parallel * 19 + serial, 2).runner == "parallel"
    again = choose_runner_for(plan, parallel * 20 + serial, 2)
    assert again.runner == "sequential"
    assert again.reason == "1.8 s expected, not tried for 20 runs; 2 s expected in 2 processes"
    assert choose_runner_for(plan, parallel * 20 + [ran("sequential", 2.6, 0.6)] * 3, 2).runner == "parallel"  # was too slow
    slower = [ran("parallel", 2.0, 0.6, start_up=0.5)]
    assert choose_runner_for(plan, slower * 20 + serial, 2).runner == "parallel"  # no reason to expect anything else


def test_a_runner_that_took_long_with_other_data_is_tried_again():
    """The nodes take a hundredth by now, so it would, too."""
    plan, serial = plan_of(4), [ran("sequential", 160.0, 40.0)] * 3
    large, small = [ran("parallel", 91.0, 45.0, start_up=0.7)], [ran("parallel", 2.0, 0.4, start_up=0.7)]
    assert choose_runner_for(plan, large * 20 + serial, 2).runner == "parallel"
    assert choose_runner_for(plan, small * 19 + serial, 2).runner == "parallel"
    again = choose_runner_for(plan, small * 20 + serial, 2)
    assert again.reason == "1.6 s expected, not tried for 20 runs; 2 s expected in 2 processes"


def test_parallel_runs_are_tried_again_as_well():
    """What holds for sequential runs holds for them."""
    serial, parallel = [ran("sequential", 4.0, 1.0)], [ran("parallel", 4.5, 2.0, start_up=0.5)] * 3
    assert choose_runner_for(plan_of(4), serial * 19 + parallel, 2).runner == "sequential"
    assert choose_runner_for(plan_of(4), serial * 20 + parallel, 2).runner == "parallel"


def test_no_more_workers_than_help():
    """Four equal nodes need no more than 4 of 16 workers."""
    past = [ran("parallel", 30.0, 20.0, start_up=0.5, workers=16)]
    assert choose_runner_for(plan_of(4), past, 16)[:2] == ("parallel", 4)


def test_threads_are_chosen_where_they_were_fastest():
    """Threads are compared only if these nodes have run in threads: whether they can, depends on their libraries."""
    plan = plan_of(4)
    others = [*[ran("sequential", 4.0, 1.0)] * 3, *[ran("parallel", 2.9, 1.0, start_up=0.8)] * 3]
    assert choose_runner_for(plan, others, 2).runner == "parallel"
    choice = choose_runner_for(plan, [ran("thread", 2.1, 1.0), *others], 2)
    assert choice[:2] == ("thread", 2)
    assert choice.reason == "2 s expected, 4 s sequentially, 2.9 s in 2 processes"


def test_runs_of_other_nodes_give_durations_only():
    """A run of a part of the pipeline says how long its nodes take, but not how long the whole does."""
    part = RunTimes("sequential", 1, 0.1, 0.0, {f"n{each}": 3.0 for each in range(3)})
    serial, parallel = estimate_runners(plan_of(4), [part], 2)
    assert (serial.seconds, serial.runs) == (12.0, 0)
    assert parallel.seconds == pytest.approx(6.0 + 0.5 + 0.0006)


def test_limited_resources_are_simulated():
    """Nodes that exclude each other are not faster in processes."""
    policy = NodePolicy(resources={"licence": 1})
    nodes = [node(lambda: 1, None, f"d{each}", name=f"n{each}", policy=policy) for each in range(4)]
    plan = compile_plan(Pipeline(nodes), Catalog())
    past = [ran("parallel", 44.0, 10.0, start_up=2.0)]
    assert choose_runner_for(plan, past, 4, {"licence": 1}).runner == "sequential"
    assert choose_runner_for(plan, past, 4, {"licence": 4}).runner == "parallel"
