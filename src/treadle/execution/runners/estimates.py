"""Estimate how long a plan takes under each runner, from earlier runs and a simulation of the scheduler.

A runner that has run the same nodes is judged by how long that took. One that has not, or not often, is also judged by a model:
the start-up, plus the simulated makespan of the nodes. The model ignores that busy cores slow each other down and that values
cross processes, so it is optimistic about processes, and a runner that it prefers is tried and then judged by what it took.

State: none; pure. Neighbours: `auto.py` runs the plan with the best runner, `scheduling/simulator.py` simulates.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from treadle.execution.scheduling.simulator import simulate
from treadle.named_tuple import NamedTuple
from treadle.planning.durations import expected_seconds, median
from treadle.planning.run_times import ENOUGH_RUNS, OLD_RUNS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from treadle.planning import Plan
    from treadle.planning.run_times import RunTimes

SEQUENTIAL, THREAD, PARALLEL = "sequential", "thread", "parallel"

_RECENT_RUNS = 5
"""How many of its latest runs count, so that the estimate follows data that grows."""

_WORKERS_START = 0.5
"""Seconds until worker processes are ready, if no run has measured it: between a fork and a spawn that imports pandas."""

_NODE_COST = 0.0003
"""Seconds that a node costs in addition if another process runs it: its messages and its hooks."""

_TRIED_WITHIN, _TRIED_SECONDS = 1.1, 1.0
"""If the nodes have not run sequentially, this is tried once if it is expected to lose at most this factor, or this many seconds.

Only processes have run the nodes then, and they slow each other down, so the model is too pessimistic here, and only here.
"""

_TRIED_AGAIN_WITHIN = 1.25
"""After `OLD_RUNS` runs, a runner is tried again if it took at most this many times as long as the best one, and is expected to
be faster by now."""

_CLEARLY_LESS = 0.5
"""If the nodes take less than this part of what they took then, so did the run. In processes they may slow each other down."""

_NO_LOSS = 1.02
"""The fewest workers are used whose makespan is at most this factor above that of all workers."""

_MOST_SIMULATED = 5_000
"""For larger plans only one number of workers is simulated: a simulation takes about 20 µs a node."""


class Estimate(NamedTuple):
    """How long a plan is expected to take under one runner.

    Attributes:
        runner: the runner's name.
        workers: its number of workers.
        seconds: the expected duration of the run.
        runs: number of earlier runs with this runner and exactly these nodes.
        model: the duration of the run by the model, from the nodes of recent runs.
        age: number of runs since the latest of those runs; 0 if there are none.
        by_now: the duration of those runs, as much shorter as the nodes are by now, if these are clearly shorter.
    """

    runner: str
    workers: int
    seconds: float
    runs: int
    model: float
    age: int = 0
    by_now: float = 0.0


class Choice(NamedTuple):
    """The runner for a plan.

    Attributes:
        runner: its name.
        workers: its number of workers.
        reason: why it was chosen, in words.
        valid_up_to: the same choice would be made again unless a run with this runner takes longer than this many seconds.
    """

    runner: str
    workers: int
    reason: str
    valid_up_to: float = 0.0


def choose_runner_for(plan: Plan, past: Sequence[RunTimes], most_workers: int, limits: Mapping[str, int] | None = None) -> Choice:
    """Choose the runner that is expected to run a plan fastest.

    Args:
        plan: the plan.
        past: earlier runs, the latest first; runs of other nodes are ignored.
        most_workers: number of workers that a runner may use.
        limits: the available amount of each resource; no node may need more.

    Returns:
        The runner, with the number of workers and the reason.
    """
    names = [node.name for node in plan.nodes]
    if plan.timeouts:
        why = "nodes have timeouts, and only a process can be ended while it runs a node"
        return Choice(PARALLEL, most_workers, why, math.inf)
    wanted = frozenset(names)
    known = wanted.intersection(name for run in past for name in run.nodes)
    are_known = 2 * len(known) > len(names)
    nothing_gained = _why_workers_gain_nothing(plan, most_workers, are_known=are_known)
    if nothing_gained is not None:
        return Choice(SEQUENTIAL, 1, f"{nothing_gained}, so workers would gain nothing", math.inf)
    if not are_known:
        return Choice(PARALLEL, most_workers, f"{len(names) - len(known)} of {_nodes(len(names))} have not run yet")
    estimates = estimate_runners(plan, past, most_workers, limits)
    best = min(estimates, key=lambda each: each.seconds)
    others = [each for each in estimates if each is not best]
    limit = max(_TRIED_WITHIN * best.seconds, best.seconds + _TRIED_SECONDS)
    tried = next((each for each in others if each.runner == SEQUENTIAL and not each.runs and each.seconds <= limit), None)
    if tried is not None and best.runs:
        return Choice(tried.runner, tried.workers, f"{_expected(tried)}, not tried yet; {_expected(best)} {_with(best)}")
    old = next((each for each in others if _may_be_faster_by_now(each, best)), None)
    if old is not None:
        why = f"{old.model:.3g} s expected, not tried for {old.age} runs; {_expected(best)} {_with(best)}"
        return Choice(old.runner, old.workers, why)
    compared = ", ".join(f"{each.seconds:.3g} s {_with(each)}" for each in others)
    valid_up_to = min(each.seconds for each in others) if best.runs >= ENOUGH_RUNS else 0.0
    return Choice(best.runner, best.workers, f"{_expected(best)}, {compared}", valid_up_to)


def estimate_runners(
    plan: Plan, past: Sequence[RunTimes], most_workers: int, limits: Mapping[str, int] | None = None
) -> tuple[Estimate, ...]:
    """Estimate how long a plan takes sequentially, in processes, and in threads if it has run in threads before.

    Args:
        plan: the plan; the duration of at least one of its nodes is known.
        past: earlier runs, the latest first.
        most_workers: number of workers that a runner may use.
        limits: see `choose_runner_for`.
    """
    wanted = {node.name for node in plan.nodes}
    same: dict[str, dict[int, RunTimes]] = {SEQUENTIAL: {}, PARALLEL: {}, THREAD: {}}
    for age, run in enumerate(past):
        if run.runner in same and run.nodes.keys() == wanted and len(same[run.runner]) < _RECENT_RUNS:
            same[run.runner][age] = run
    alone = _preparation(past)
    latest = [_in_nodes(run) for run in past if run.nodes.keys() == wanted][:ENOUGH_RUNS]
    now = median(latest) if latest else math.inf
    serial = _judge(SEQUENTIAL, 1, same[SEQUENTIAL], alone + sum(_node_seconds(plan, past, SEQUENTIAL)), now)
    seconds = [each + _NODE_COST for each in _node_seconds(plan, past, PARALLEL)]
    start_ups = [run.start_up for run in past if run.runner == PARALLEL]
    start_up = median(start_ups[:_RECENT_RUNS]) if start_ups else alone + _WORKERS_START
    workers, makespan = most_workers, sum(seconds) / most_workers
    if start_up + makespan < serial.seconds or same[THREAD]:  # else no schedule could be fast enough: it is not simulated
        workers, makespan = _fewest_workers(plan, seconds, most_workers, limits)
    estimates = [serial, _judge(PARALLEL, workers, same[PARALLEL], start_up + makespan, now)]
    if same[THREAD]:
        estimates.append(_judge(THREAD, most_workers, same[THREAD], alone + makespan, now))
    return tuple(estimates)


def _why_workers_gain_nothing(plan: Plan, most_workers: int, *, are_known: bool) -> str | None:
    """Return why no two nodes of a plan can run at the same time, if they cannot.

    A chain of nodes that have not run yet may start in a worker nevertheless, as all such nodes do: they may crash their process.
    """
    if most_workers == 1:
        return "only one worker may be used"
    if len(plan.nodes) < 2:
        return _nodes(len(plan.nodes))
    if are_known and all(index in node.parents for index, node in enumerate(plan.nodes[1:])):
        return "each node uses what the one before it returns"
    return None


def _may_be_faster_by_now(estimate: Estimate, best: Estimate) -> bool:
    """Check whether a runner that was slower than the best one some time ago is worth another run."""
    was_close = estimate.by_now <= _TRIED_AGAIN_WITHIN * best.seconds
    return was_close and estimate.age >= OLD_RUNS and estimate.model < best.seconds


def _judge(runner: str, workers: int, runs: Mapping[int, RunTimes], model: float, now: float) -> Estimate:
    """Judge a runner by its runs of these nodes; by the model too, while there are few, for the first ones may be slow.

    Args:
        runner: the runner.
        workers: its number of workers.
        runs: its runs of these nodes; the keys are the numbers of runs since.
        model: how long the run takes by the model.
        now: how long all nodes together took in the latest runs, by whichever runner.
    """
    if not runs:
        return Estimate(runner, workers, model, 0, model)
    took = [run.seconds for run in runs.values()]
    seconds = median(took) if len(took) >= ENOUGH_RUNS else min(*took, model)
    then = median([_in_nodes(run) for run in runs.values()])
    by_now = seconds * now / then if now < _CLEARLY_LESS * then else seconds
    return Estimate(runner, workers, seconds, len(took), model, min(runs), by_now)


def _in_nodes(run: RunTimes) -> float:
    return sum(run.nodes.values())


def _preparation(past: Sequence[RunTimes]) -> float:
    """Return how many seconds a run takes before its first node if it starts no processes."""
    before = [run.start_up for run in past if run.runner in (SEQUENTIAL, THREAD)]
    return median(before[:_RECENT_RUNS]) if before else 0.0


def _node_seconds(plan: Plan, past: Sequence[RunTimes], runner: str) -> list[float]:
    """Return how long each node takes under a runner, as far as that runner ran it; else under another one."""
    known: dict[str, list[float]] = {}
    recent, earlier = past[:OLD_RUNS], past[OLD_RUNS:]
    for runs, preferred in ((recent, True), (recent, False), (earlier, True), (earlier, False)):
        for run in [each for each in runs if (each.runner == runner) is preferred][:_RECENT_RUNS]:
            for name, seconds in run.nodes.items():
                took = known.setdefault(name, [])
                if len(took) < ENOUGH_RUNS:
                    took.append(seconds)
    return expected_seconds(plan, {name: median(took) for name, took in known.items()}) or [0.0] * len(plan.nodes)


def _fewest_workers(
    plan: Plan, seconds: Sequence[float], most_workers: int, limits: Mapping[str, int] | None
) -> tuple[int, float]:
    """Return the fewest workers that are as fast as all of them, and the makespan with them."""
    best = simulate(plan, seconds, most_workers, limits=limits).makespan
    count = 2
    while count < most_workers and len(plan.nodes) <= _MOST_SIMULATED:
        makespan = simulate(plan, seconds, count, limits=limits).makespan
        if makespan <= _NO_LOSS * best:
            return count, makespan
        count *= 2
    return most_workers, best


def _nodes(count: int) -> str:
    return "1 node" if count == 1 else f"{count} nodes"


def _with(estimate: Estimate) -> str:
    if estimate.runner == SEQUENTIAL:
        return "sequentially"
    return f"in {estimate.workers} {'threads' if estimate.runner == THREAD else 'processes'}"


def _expected(estimate: Estimate) -> str:
    return f"{estimate.seconds:.3g} s expected"
