"""The work that every engine does: graphs of plain functions, described once, for all engines alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

ARRAY_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class Task:
    """One function call: `output = func(*inputs)`, datasets by name."""

    name: str
    func: Callable[..., Any]
    inputs: tuple[str, ...]
    output: str


@dataclass(frozen=True)
class Workload:
    """A graph of tasks in a topological order, its sources, and what its results must be."""

    name: str
    tasks: tuple[Task, ...]
    sources: dict[str, Any]
    results: tuple[str, ...]
    expected: Callable[[dict[str, Any]], bool] = field(compare=False)
    about: str = ""


def noop(*_inputs: Any) -> int:
    """Do nothing: what is measured is the engine."""
    return 1


def make_array(value: float) -> np.ndarray:
    """Make 64 MB."""
    return np.full(ARRAY_BYTES // 8, value)


def add_one(array: np.ndarray) -> np.ndarray:
    """Change every element, in place: each engine must have given this task its own array."""
    array += 1
    return array


def add_up(*arrays: np.ndarray) -> float:
    """Reduce all arrays to one number."""
    return float(sum(array.sum() for array in arrays))


def independent(count: int) -> Workload:
    """`count` tasks that know nothing of each other."""
    tasks = tuple(Task(f"noop_{index}", noop, (), f"out_{index}") for index in range(count))
    results = tuple(task.output for task in tasks)
    return Workload(f"{count:,} no-ops", tasks, {}, results, _all_ones(results), "independent tasks that do nothing")


def layered(layers: int, width: int) -> Workload:
    """Layers of tasks, each of which waits for its two neighbours in the layer before."""
    tasks = []
    for layer in range(layers):
        for place in range(width):
            before = (f"d_{layer - 1}_{place}", f"d_{layer - 1}_{(place + 1) % width}") if layer else ("source",)
            tasks.append(Task(f"n_{layer}_{place}", noop, before, f"d_{layer}_{place}"))
    results = tuple(f"d_{layers - 1}_{place}" for place in range(width))
    name = f"{layers} layers of {width}"
    return Workload(name, tuple(tasks), {"source": 0}, results, _all_ones(results), "no-ops that wait for two neighbours")


def chain(length: int) -> Workload:
    """Tasks that wait for one another, one by one."""
    tasks = tuple(
        Task(f"link_{index}", noop, (f"c_{index - 1}" if index else "source",), f"c_{index}") for index in range(length)
    )
    results = (f"c_{length - 1}",)
    return Workload(f"chain of {length}", tasks, {"source": 0}, results, _all_ones(results), "no-ops in a row")


def arrays(branches: int = 6, steps: int = 3) -> Workload:
    """Branches that hand a 64 MB array from task to task, and one task that takes them all."""
    tasks = []
    for branch in range(branches):
        tasks.append(Task(f"make_{branch}", make_array, ("value",), f"a_{branch}_0"))
        for step in range(1, steps + 1):
            tasks.append(Task(f"step_{branch}_{step}", add_one, (f"a_{branch}_{step - 1}",), f"a_{branch}_{step}"))
    tasks.append(Task("add_up", add_up, tuple(f"a_{branch}_{steps}" for branch in range(branches)), "total"))
    total = branches * (1 + steps) * (ARRAY_BYTES // 8)
    return Workload(
        f"{branches} × 64 MB arrays, {len(tasks)} nodes",
        tuple(tasks),
        {"value": 1.0},
        ("total",),
        lambda results: results["total"] == float(total),
        "each branch changes its array in place three times; the last task sums all",
    )


def _all_ones(names: tuple[str, ...]) -> Callable[[dict[str, Any]], bool]:
    return lambda results: len(results) == len(names) and all(results[name] == 1 for name in names)


def workloads(*, quick: bool) -> list[Workload]:
    """Return the workloads, fewer where it must be quick."""
    chosen = [independent(1000), arrays()]
    if not quick:
        chosen[1:1] = [layered(20, 50), chain(300), independent(6)]
    return chosen
