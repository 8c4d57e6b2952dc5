"""The work that every engine does: graphs of plain functions, described once, for all engines alike."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from light import LONG_SECONDS, SHORT_SECONDS, noop, wait_long, wait_short

ARRAY_BYTES = 64 * 1024 * 1024
FRAME_ROWS = ARRAY_BYTES // 8 // 8
RECORDS = 50_000


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
    live_bytes: int = 0
    """Bytes of the values that must be there at one time, whoever does the work; 0 where they are small."""
    bound_seconds: float = 0.0
    """Seconds that two workers cannot beat, where the tasks' own time is known."""
    cold: bool = False
    """Whether the workers are started in each run."""
    touch: Callable[..., int] = field(default=noop, compare=False)
    """What warms a worker up: a function that imports what the tasks need."""


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


def make_floats(value: float, rows: int = FRAME_ROWS) -> pd.DataFrame:
    """Make 64 MB in eight columns."""
    return pd.DataFrame({f"c{column}": np.full(rows, value) for column in range(8)})


def use_floats(frame: pd.DataFrame) -> pd.DataFrame:
    """Compute two columns anew."""
    return frame.assign(c0=frame["c1"] * 2 + frame["c2"], c3=np.sqrt(frame["c4"].to_numpy()))


def add_up_floats(*frames: pd.DataFrame) -> float:
    """Reduce all frames to one number."""
    return float(sum(frame["c0"].sum() for frame in frames))


def make_strings(value: float, rows: int = FRAME_ROWS, dtype: Any = None) -> pd.DataFrame:
    """Make a frame of strings."""
    names = pd.Series([f"name {index % 997}" for index in range(rows)], dtype=dtype)
    return pd.DataFrame({"name": names, "number": np.full(rows, value)})


def make_objects(value: float, rows: int = FRAME_ROWS) -> pd.DataFrame:
    """Make a frame of strings that are Python objects, as pandas before version 3 stores them."""
    return make_strings(value, rows, object)


def use_strings(frame: pd.DataFrame) -> pd.DataFrame:
    """Compute a column of strings anew."""
    return frame.assign(name=frame["name"].str.upper())


def count_strings(*frames: pd.DataFrame) -> int:
    """Count the strings that are upper case, in all frames."""
    return int(sum(frame["name"].str.isupper().sum() for frame in frames))


def make_dates(value: float, rows: int = FRAME_ROWS) -> pd.DataFrame:
    """Make dates with a time zone, in eight columns."""
    first = np.full(rows, int(value)).astype("M8[s]")
    return pd.DataFrame({f"c{column}": pd.Series(first).dt.tz_localize("UTC") for column in range(8)})


def use_dates(frame: pd.DataFrame) -> pd.DataFrame:
    """Compute two columns anew."""
    return frame.assign(c0=frame["c1"] + pd.Timedelta("1s"), c3=frame["c4"])


def count_dates(*frames: pd.DataFrame) -> int:
    """Count the dates of a second, in all frames."""
    return int(sum((frame["c0"].dt.second == 2).sum() for frame in frames))


def make_records(value: float) -> list[dict[str, Any]]:
    """Make a list of records."""
    first = dt.date(2024, 1, 1)
    days = [first + dt.timedelta(day) for day in range(365)]
    return [{"id": number, "value": value, "day": days[number % 365]} for number in range(RECORDS)]


def use_records(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Compute a field of each record anew."""
    return [{**row, "value": row["value"] + 1} for row in rows]


def add_up_records(*lists: list[dict[str, Any]]) -> float:
    """Reduce all records to one number."""
    return sum(row["value"] for rows in lists for row in rows)


def touch(*_inputs: Any) -> int:
    """Use what the data needs, little of it: a worker has then imported it."""
    use_strings(make_strings(1.0, 10)), use_floats(make_floats(1.0, 10)), use_dates(make_dates(1.0, 10))
    return 1


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


def _branches(
    make: Callable[..., Any], use: Callable[..., Any], reduce: Callable[..., Any], branches: int, steps: int
) -> tuple[Task, ...]:
    """Return branches that hand a value from task to task, and one task that takes them all."""
    tasks = []
    for branch in range(branches):
        names = [f"d_{branch}_{step}" for step in range(steps + 1)]
        tasks.append(Task(f"make_{branch}", make, ("value",), names[0]))
        tasks += [Task(f"step_{branch}_{place}", use, (names[place - 1],), names[place]) for place in range(1, steps + 1)]
    return (*tasks, Task("last", reduce, tuple(f"d_{branch}_{steps}" for branch in range(branches)), "total"))


def arrays(branches: int = 6, steps: int = 3) -> Workload:
    """Branches that hand a 64 MB array from task to task, and one task that takes them all."""
    tasks = _branches(make_array, add_one, add_up, branches, steps)
    total = branches * (1 + steps) * (ARRAY_BYTES // 8)
    return Workload(
        f"{branches} × 64 MB arrays, {len(tasks)} nodes",
        tasks,
        {"value": 1.0},
        ("total",),
        lambda results: results["total"] == float(total),
        "each branch changes its array in place three times; the last task sums all",
        live_bytes=branches * ARRAY_BYTES,
        touch=touch,
    )


@dataclass(frozen=True)
class Kind:
    """A kind of frame: how it is made, used and reduced to a number, and what that number is for one frame."""

    make: Callable[..., pd.DataFrame]
    use: Callable[[pd.DataFrame], pd.DataFrame]
    reduce: Callable[..., Any]
    result: float
    about: str


KINDS = {
    "floats": Kind(make_floats, use_floats, add_up_floats, FRAME_ROWS * 3.0, "64 MB of floats a frame"),
    "strings": Kind(make_strings, use_strings, count_strings, FRAME_ROWS, f"{FRAME_ROWS:,} strings and a number a frame"),
    "string objects": Kind(make_objects, use_strings, count_strings, FRAME_ROWS, f"{FRAME_ROWS:,} strings as Python objects"),
    "dates": Kind(make_dates, use_dates, count_dates, FRAME_ROWS, "64 MB of dates with a time zone a frame"),
}


def frames(kind: str, branches: int = 6, steps: int = 3) -> Workload:
    """The same with DataFrames of a kind."""
    chosen = KINDS[kind]
    tasks = _branches(chosen.make, chosen.use, chosen.reduce, branches, steps)
    return Workload(
        f"{branches} × DataFrames of {kind}, {len(tasks)} nodes",
        tasks,
        {"value": 1.0},
        ("total",),
        lambda results: results["total"] == branches * chosen.result,
        chosen.about,
        live_bytes=branches * _frame_bytes(chosen),
        touch=touch,
    )


def records(branches: int = 6, steps: int = 3) -> Workload:
    """The same with lists of records, as from a database or a web API: Python objects in containers."""
    tasks = _branches(make_records, use_records, add_up_records, branches, steps)
    return Workload(
        f"{branches} × lists of {RECORDS:,} records, {len(tasks)} nodes",
        tasks,
        {"value": 1.0},
        ("total",),
        lambda results: results["total"] == branches * (1.0 + steps) * RECORDS,
        "dictionaries with an integer, a float and a date",
        touch=touch,
    )


def _frame_bytes(kind: Kind) -> int:
    """Return the size of a frame after its first step, from a smaller one: its columns, and columns that pandas still holds.

    Columns of floats share one array. Those that a step replaces stay in it beside the new ones, in every engine.
    """
    rows = FRAME_ROWS // 64
    made = kind.make(1.0, rows)
    used = kind.use(made)
    held = sum(used[name].nbytes for name in ("c0", "c3")) if kind.make is make_floats else 0
    return 64 * (int(used.memory_usage(index=False, deep=True).sum()) + held)


def hidden_path(short: int = 60, long: int = 10) -> Workload:
    """A chain of long tasks hidden among short ones that wait for nothing: who starts it late waits for it."""
    tasks = [Task(f"short_{index}", wait_short, ("source",), f"s_{index}") for index in range(short)]
    tasks += [Task(f"long_{link}", wait_long, (f"l_{link - 1}" if link else "source",), f"l_{link}") for link in range(long)]
    results = (*(task.output for task in tasks if task.output.startswith("s_")), f"l_{long - 1}")
    bound = max(long * LONG_SECONDS, (long * LONG_SECONDS + short * SHORT_SECONDS) / 2)
    about = f"sleeps of {SHORT_SECONDS} s and a chain of sleeps of {LONG_SECONDS} s; two workers cannot beat {bound:.2f} s"
    name = "long path among short nodes"
    return Workload(name, tuple(tasks), {"source": 0}, results, _all_ones(results), about, bound_seconds=bound)


def small(*, cold: bool) -> Workload:
    """Six nodes as a small project has them: one that reads, two that clean, one that joins, two that use it."""
    wiring = "read source", "clean read", "check read", "join clean check", "fit join", "plot join"
    tasks = tuple(Task(name, noop, tuple(inputs), name) for name, *inputs in map(str.split, wiring))
    name = "6 nodes, workers started for them" if cold else "6 nodes"
    about = "no-ops, wired as a small project is" + ("; Python is up and Treadle imported" if cold else "")
    return Workload(name, tasks, {"source": 0}, ("fit", "plot"), _all_ones(("fit", "plot")), about, cold=cold)


def _all_ones(names: tuple[str, ...]) -> Callable[[dict[str, Any]], bool]:
    return lambda results: len(results) == len(names) and all(results[name] == 1 for name in names)


def workloads() -> list[Workload]:
    """Return the workloads that every engine can do."""
    return [
        small(cold=False),
        independent(1_000),
        independent(10_000),
        layered(20, 50),
        chain(300),
        arrays(),
        frames("floats"),
        frames("strings"),
        frames("string objects"),
        frames("dates"),
        records(),
        hidden_path(),
        small(cold=True),
    ]
