"""The simulator: the real scheduler on a virtual clock."""

from __future__ import annotations

from itertools import pairwise, permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treadle.execution.scheduling.simulator import bounds, simulate
from treadle.io import Catalog
from treadle.pipeline import Pipeline, node
from treadle.pipeline.policy import NodePolicy
from treadle.planning import compile_plan


def plan_of(parents):
    """Compile a plan of nodes that depend on the nodes with the given indices."""
    nodes = [
        node(lambda *_values: 1, [f"d{parent}" for parent in sorted(waits)], f"d{index}", name=f"n{index}")
        for index, waits in enumerate(parents)
    ]
    return compile_plan(Pipeline(nodes), Catalog())


def in_plan_order(plan, seconds):
    """Return the seconds, listed by the number in the node's name, in plan order."""
    return [seconds[int(each.name[1:])] for each in plan.nodes]


@st.composite
def graphs(draw, most=9):
    """Random graphs with durations."""
    size = draw(st.integers(1, most))
    parents = [draw(st.sets(st.integers(0, index - 1), max_size=3)) if index else set() for index in range(size)]
    seconds = draw(st.lists(st.integers(1, 9), min_size=size, max_size=size))
    return parents, [float(each) for each in seconds]


def best_makespan(plan, seconds, workers):
    """Find the shortest schedule by trying every order of list scheduling."""
    best = float("inf")
    for order in permutations(range(len(plan.nodes))):
        free, ends, now = [0.0] * workers, {}, 0.0
        for index in order:
            if any(parent not in ends for parent in plan.nodes[index].parents):
                break
            ready = max((ends[parent] for parent in plan.nodes[index].parents), default=0.0)
            worker = min(range(workers), key=lambda each: max(free[each], ready))
            free[worker] = ends[index] = max(free[worker], ready) + seconds[index]
            now = max(now, ends[index])
        else:
            best = min(best, now)
    return best


@given(graphs(), st.integers(1, 3))
@settings(deadline=None)
def test_a_schedule_keeps_order_and_bounds(graph, workers):
    """No node starts before its parents ended, no worker runs two nodes at once, and no lower bound is broken."""
    parents, listed = graph
    plan = plan_of(parents)
    seconds = in_plan_order(plan, listed)
    run = simulate(plan, seconds, workers)
    ends = [start + took for start, took in zip(run.starts, seconds, strict=True)]
    for index, planned in enumerate(plan.nodes):
        assert all(ends[parent] <= run.starts[index] for parent in planned.parents)
    for worker in range(1, workers + 1):
        mine = sorted((run.starts[index], ends[index]) for index in range(len(ends)) if run.placed[index] == worker)
        assert all(before[1] <= after[0] for before, after in pairwise(mine))
    assert run.makespan >= bounds(plan, seconds).lower(workers) - 1e-9


@given(graphs(most=6))
@settings(deadline=None, max_examples=40)
def test_no_schedule_is_worse_than_grahams_bound(graph):
    """On small graphs the makespan is within (2 - 1/m) of the optimum of an exhaustive search (Graham 1969)."""
    parents, listed = graph
    plan = plan_of(parents)
    seconds = in_plan_order(plan, listed)
    assert simulate(plan, seconds, 2).makespan <= best_makespan(plan, seconds, 2) * 1.5 + 1e-9


def long_path_among_short_nodes():
    """A chain of ten long nodes, and a hundred independent short ones."""
    parents = [set() for _ in range(100)] + [set()] + [{100 + link} for link in range(9)]
    plan = plan_of(parents)
    return plan, in_plan_order(plan, [0.1] * 100 + [1.0] * 10)


def test_a_long_path_is_started_first_when_durations_are_known():
    """With known durations, a long path among short nodes ends within 4 % of the lower bound (failure 19)."""
    plan, seconds = long_path_among_short_nodes()
    assert simulate(plan, seconds, 2).makespan <= 1.04 * bounds(plan, seconds).lower(2)


def test_a_long_path_is_started_early_when_nothing_is_known():
    """With equal weights, the same path ends within 10 % of the lower bound, because it has many nodes."""
    plan, seconds = long_path_among_short_nodes()
    equal = [1.0] * len(seconds)
    assert simulate(plan, seconds, 2, expected=equal).makespan <= 1.10 * bounds(plan, seconds).lower(2)


def test_the_critical_path_is_named():
    """The bounds name the nodes of the longest path, in order."""
    plan = plan_of([set(), {0}, {0}, {1, 2}])
    found = bounds(plan, in_plan_order(plan, [1.0, 5.0, 2.0, 1.0]))
    assert [plan.nodes[index].name for index in found.critical_nodes] == ["n0", "n1", "n3"]
    assert found.critical_path == pytest.approx(7.0)
    assert found.work == pytest.approx(9.0)


def test_a_scarce_resource_bounds_the_makespan():
    """Nodes that need the same single resource run one after the other; other nodes do not wait for them."""
    needs = NodePolicy(resources={"gpu": 1})
    nodes = [node(len, "x", f"d{number}", name=f"n{number}", policy=needs if number < 3 else None) for number in range(5)]
    plan = compile_plan(Pipeline(nodes), Catalog({"x": "abc"}))
    assert simulate(plan, [2.0] * 5, 5).makespan == 2.0
    limited = simulate(plan, [2.0] * 5, 5, limits={"gpu": 1})
    assert limited.makespan == 6.0
    assert limited.starts == (0.0, 2.0, 4.0, 0.0, 0.0)
