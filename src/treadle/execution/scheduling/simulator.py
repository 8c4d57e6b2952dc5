"""Run a plan on a virtual clock: the very Scheduler of real runs, with workers that only take time.

Deterministic, and pure: no process, thread or real clock. Tests hold makespans against lower bounds with it, and
`treadle sessions what-if` tells what a recorded run would have taken on other numbers of workers.
"""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heappop, heappush
from typing import TYPE_CHECKING

from treadle.execution.protocol.placement import SHARED
from treadle.execution.scheduling.instructions import LoadValue, RunJob
from treadle.execution.scheduling.scheduler import Scheduler
from treadle.planning.priority import longest_remaining_paths

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from treadle.planning import Plan


@dataclass(frozen=True, slots=True)
class Simulation:
    """What a simulated run took.

    Attributes:
        workers: number of workers.
        makespan: seconds from start to end.
        starts: when each node began, in seconds, by plan index.
        placed: the worker of each node, from 1, by plan index.
    """

    workers: int
    makespan: float
    starts: tuple[float, ...]
    placed: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Bounds:
    """What no schedule can beat.

    Attributes:
        critical_path: seconds of the longest path, which bounds any number of workers.
        critical_nodes: the nodes on it, by plan index, in order.
        work: seconds of all nodes together.
    """

    critical_path: float
    critical_nodes: tuple[int, ...]
    work: float

    def lower(self, workers: int) -> float:
        """Return the least seconds that so many workers can take."""
        return max(self.critical_path, self.work / workers)


def simulate(
    plan: Plan,
    seconds: Sequence[float],
    workers: int,
    *,
    expected: Sequence[float] | None = None,
    limits: Mapping[str, int] | None = None,
) -> Simulation:
    """Run a plan on a virtual clock.

    Args:
        plan: the plan.
        seconds: what each node takes, by plan index.
        workers: number of workers; they take no time to start, and values no time to travel.
        expected: what the scheduler believes that nodes take; `seconds` where None.
        limits: how much there is of each resource that nodes need; no node may need more. What is not limited is not scarce.

    Returns:
        What the run took.
    """
    scheduler = Scheduler(plan, weights=seconds if expected is None else expected, depth=1, limits=limits)
    for worker in range(1, workers + 1):
        scheduler.add_worker(worker)
    starts, placed = [0.0] * len(plan.nodes), [0] * len(plan.nodes)
    running: list[tuple[float, int, int]] = []  # when it ends, its node, its worker
    waiting: dict[int, list[int]] = {}  # the rest of each worker's job
    now = 0.0

    def begin(node: int, worker: int) -> None:
        starts[node], placed[node] = now, worker
        heappush(running, (now + seconds[node], node, worker))

    while not scheduler.is_finished():
        scheduler.assign()
        while (instruction := scheduler.next_instruction()) is not None:
            if isinstance(instruction, RunJob):
                waiting[instruction.worker] = list(instruction.nodes[1:])
                begin(instruction.nodes[0], instruction.worker)
            elif isinstance(instruction, LoadValue):
                scheduler.value_arrived(instruction.dataset, SHARED)
        now, node, worker = heappop(running)
        scheduler.finish(node, worker, seconds[node])
        if waiting[worker]:
            begin(waiting[worker].pop(0), worker)
    return Simulation(workers, now, tuple(starts), tuple(placed))


def bounds(plan: Plan, seconds: Sequence[float]) -> Bounds:
    """Return what no schedule of a plan can beat.

    Args:
        plan: the plan.
        seconds: what each node takes, by plan index.
    """
    if not plan.nodes:
        return Bounds(0.0, (), 0.0)
    remaining = longest_remaining_paths([node.children for node in plan.nodes], seconds)
    path = [max(range(len(plan.nodes)), key=lambda node: (remaining[node], -node))]
    while plan.nodes[path[-1]].children:
        path.append(max(plan.nodes[path[-1]].children, key=lambda node: (remaining[node], -node)))
    return Bounds(remaining[path[0]], tuple(path), sum(seconds))
