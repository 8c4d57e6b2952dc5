"""Simulate a run on a virtual clock: the Scheduler of real runs, with workers that only take time.

Deterministic and pure: no process, thread or real clock. Tests compare makespans with lower bounds, and
`treadle sessions what-if` estimates how long a recorded run would have taken with other numbers of workers. Runs in the parent.
State: none.
"""

from __future__ import annotations

from collections import deque
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
    """The schedule of a simulated run.

    Attributes:
        workers: number of workers.
        makespan: seconds from start to end.
        starts: when each node started, in seconds, by plan index.
        placed: the worker of each node, from 1, by plan index.
    """

    workers: int
    makespan: float
    starts: tuple[float, ...]
    placed: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Bounds:
    """Lower bounds on the makespan of any schedule.

    Attributes:
        critical_path: seconds of the longest path, a bound for any number of workers.
        critical_nodes: the nodes on it, by plan index, in order.
        work: seconds of all nodes together.
    """

    critical_path: float
    critical_nodes: tuple[int, ...]
    work: float

    def lower(self, workers: int) -> float:
        """Return the lower bound for a number of workers, in seconds."""
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
        seconds: how long each node takes, by plan index.
        workers: number of workers; starting them and moving values takes no time.
        expected: the durations that the scheduler assumes; `seconds` if None.
        limits: the available amount of each resource; no node may need more. A resource without a limit is ignored.

    Returns:
        The schedule.
    """
    scheduler = Scheduler(plan, weights=seconds if expected is None else expected, depth=1, limits=limits)
    for worker in range(1, workers + 1):
        scheduler.add_worker(worker)
    starts, placed = [0.0] * len(plan.nodes), [0] * len(plan.nodes)
    running: list[tuple[float, int, int]] = []  # when it ends, its node, its worker
    waiting: dict[int, deque[int]] = {}  # the rest of each worker's job
    now = 0.0

    def start(node: int, worker: int) -> None:
        starts[node], placed[node] = now, worker
        heappush(running, (now + seconds[node], node, worker))

    while not scheduler.is_finished():
        scheduler.assign()
        while (instruction := scheduler.next_instruction()) is not None:
            if isinstance(instruction, RunJob):
                waiting[instruction.worker] = deque(instruction.nodes[1:])
                start(instruction.nodes[0], instruction.worker)
            elif isinstance(instruction, LoadValue):
                scheduler.value_arrived(instruction.dataset, SHARED)
        now, node, worker = heappop(running)
        scheduler.finish(node, worker, seconds[node])
        if waiting[worker]:
            start(waiting[worker].popleft(), worker)
    return Simulation(workers, now, tuple(starts), tuple(placed))


def bounds(plan: Plan, seconds: Sequence[float]) -> Bounds:
    """Compute lower bounds on the makespan of a plan.

    Args:
        plan: the plan.
        seconds: how long each node takes, by plan index.
    """
    if not plan.nodes:
        return Bounds(0.0, (), 0.0)
    remaining = longest_remaining_paths([node.children for node in plan.nodes], seconds)
    path = [max(range(len(plan.nodes)), key=lambda node: (remaining[node], -node))]
    while plan.nodes[path[-1]].children:
        path.append(max(plan.nodes[path[-1]].children, key=lambda node: (remaining[node], -node)))
    return Bounds(remaining[path[0]], tuple(path), sum(seconds))
