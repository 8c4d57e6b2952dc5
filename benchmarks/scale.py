"""How Treadle grows: the plan and scheduler alone, whole runs, many workers, namespaces, catalogs; who uses the processor."""

from __future__ import annotations

import functools
import gc
import statistics
import tempfile
import time
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import psutil
from figures import Figure, median_of, timed
from light import BUSY_SECONDS, NAP_SECONDS, busy, nap, noop

WIDTH = 50
LINEAR = 1.15
"""How much more than ten times as long ten times as many nodes may take."""


def figures(method: str, workers: int, repeats: int, *, quick: bool, first: bool) -> list[Figure]:
    """Return the figures of a start method.

    Args:
        method: the start method.
        workers: number of workers.
        repeats: repeats.
        quick: whether whole runs of 100,000 nodes are left out.
        first: whether this is the first method: what no method changes, and whole runs of 100,000 nodes, are measured once.
    """
    return [
        *(_plan_and_scheduler() if first else ()),
        *_whole_runs(method, workers, repeats, (1_000, 10_000, 100_000) if first and not quick else (1_000, 10_000)),
        *(_shapes(method, workers, (1_000, 10_000) if quick else (10_000, 100_000), measures_memory=not quick) if first else ()),
        *(_many_workers(method) if first else ()),
        *_processor(method, workers, 500 if quick else 2_000),
        *_namespaces(method, workers, repeats),
        *_large_catalog(method, workers, repeats),
    ]


def _band(count: int) -> list[Any]:
    """Nodes that each wait for one that is 50 before it."""
    from treadle import node

    return [
        node(noop, [f"d{index - WIDTH}"] if index >= WIDTH else "source", f"d{index}", name=f"n{index}") for index in range(count)
    ]


def _plan_and_scheduler() -> list[Figure]:
    from treadle import Catalog, Pipeline
    from treadle.execution.scheduling.simulator import simulate
    from treadle.planning import compile_plan

    found, before, peer_before = [], 0.0, 0.0
    for count in (1_000, 10_000, 100_000):
        peer = _graphlib_seconds(count) / count * 1e6
        least = []
        for _ in range(3):  # the least of each: of a single one, a share is pages of memory that are new
            nodes = _band(count)
            built, pipeline = timed(lambda nodes=nodes: Pipeline(nodes))
            compiled, plan = timed(lambda pipeline=pipeline: compile_plan(pipeline, Catalog({"source": 1})))
            scheduled, _ = timed(lambda plan=plan, count=count: simulate(plan, [1.0] * count, 2))
            least.append((built + compiled + scheduled, f"{built:.3f} + {compiled:.3f} + {scheduled:.3f} s"))
        seconds, parts = min(least)
        a_node = seconds / count * 1e6
        found.append(Figure(f"{count:,} nodes: pipeline + plan + scheduler alone", a_node, "µs a node", detail=parts))
        if before:
            what, growth, of_peer = f"growth from {count // 10:,} to {count:,} nodes, alone", a_node / before, peer / peer_before
            detail = f"graphlib's TopologicalSorter on the same graph: {of_peer:.2f} ×"
            found.append(Figure(f"{what}: time a node", growth, "×", LINEAR, detail))
            found.append(Figure(f"{what}: by that of graphlib", growth / of_peer, "×", LINEAR))
        before, peer_before = a_node, peer
    return found


def _graphlib_seconds(count: int) -> float:
    """Return how long the standard library takes to sort the graph of `_band`: the growth that the machine's caches cause."""
    from treadle.collector import collection_paused

    least = []
    for _ in range(3):
        graph = {f"n{index}": [f"n{index - WIDTH}"] if index >= WIDTH else [] for index in range(count)}
        with collection_paused():  # as while a plan is compiled
            took, order = timed(lambda graph=graph: list(TopologicalSorter(graph).static_order()))
        if len(order) != count:
            msg = f"graphlib sorted {len(order):,} of {count:,} nodes"
            raise SystemExit(msg)
        least.append(took)
    return min(least)


def _whole_runs(method: str, workers: int, repeats: int, counts: tuple[int, ...]) -> list[Figure]:
    from treadle import Catalog, ParallelRunner, Pipeline

    pipelines = {count: Pipeline(_band(count)) for count in counts}
    seconds: dict[int, list[float]] = {count: [] for count in counts}
    others: dict[int, list[float]] = {count: [] for count in counts}
    with ParallelRunner(workers, start_method=method) as runner:
        for repeat in range(repeats + 1):
            for count, pipeline in pipelines.items():
                if count < 100_000 or repeat < 4:
                    # The first of two runs follows one of another pipeline: workers may no longer have its nodes.
                    for times in (others, seconds):
                        took, result = timed(lambda pipeline=pipeline: runner.run(pipeline, Catalog({"source": 1})))
                        if len(result) != WIDTH or set(result.values()) != {1}:
                            msg = f"{count:,} nodes: wrong results"
                            raise SystemExit(msg)
                        times[count] += [took] if repeat else []  # the first round starts workers and makes what is kept
    found, before = [], 0.0
    for count in counts:
        a_node = statistics.median(seconds[count]) / count * 1e6
        detail = f"after a run of another pipeline {statistics.median(others[count]) / count * 1e6:.1f}"
        found.append(Figure(f"{count:,} no-ops in a band of {WIDTH}, {method}, warm", a_node, "µs a node", detail=detail))
        if before:
            found.append(
                Figure(f"growth from {count // 10:,} to {count:,} nodes, {method}: time a node", a_node / before, "×", LINEAR)
            )
        before = a_node
    return found


def _shapes(method: str, workers: int, counts: tuple[int, int], *, measures_memory: bool) -> list[Figure]:
    """Return the growth of runs of other shapes, in processor time, and the memory that a node takes in the main process.

    Ten thousand nodes fit into what earlier runs of this process have freed, so they say nothing about memory.
    """
    from treadle import Catalog, ParallelRunner, Pipeline, node

    shapes = {
        f"a band of {WIDTH}": _band,
        "independent nodes": lambda count: [node(noop, "source", f"d{index}", name=f"n{index}") for index in range(count)],
        "a chain": lambda count: [
            node(noop, f"d{index - 1}" if index else "source", f"d{index}", name=f"n{index}") for index in range(count)
        ],
    }
    found = []
    for what, make in shapes.items():
        a_node = []
        for count in counts:
            with ParallelRunner(workers, start_method=method) as runner:
                runner.run(Pipeline(_band(2 * WIDTH)), Catalog({"source": 1}))
                before = _resident_bytes()
                pipeline = Pipeline(make(count))
                of_pipeline = _resident_bytes() - before
                used = time.process_time() + _children_seconds()
                result = runner.run(pipeline, Catalog({"source": 1}))
                a_node.append((time.process_time() + _children_seconds() - used) / count * 1e6)
                memory = _resident_bytes() - before
                del result, pipeline
        name = f"growth from {counts[0]:,} to {counts[1]:,} nodes, {what}, {method}: processor time a node"
        found.append(Figure(name, a_node[1] / a_node[0], "×", LINEAR, f"{a_node[1]:.0f} µs a node"))
        if measures_memory:
            detail = f"{of_pipeline / counts[1]:.0f} bytes of them are the pipeline's"
            name = f"{counts[1]:,} nodes, {what}: memory of the main process"
            found.append(Figure(name, memory / counts[1], "bytes a node", 3_500, detail))
    return found


def _many_workers(method: str) -> list[Figure]:
    """Return how close many workers come to the time that their naps take; waiting needs no core, but each message does."""
    from treadle import Catalog, ParallelRunner, Pipeline, node

    found = []
    for workers in (8, 64):
        each = 20
        pipeline = Pipeline([node(nap, "source", f"s{index}", name=f"s{index}") for index in range(each * workers)])
        with ParallelRunner(workers, start_method=method) as runner:
            run = functools.partial(runner.run, pipeline, Catalog({"source": 1}))
            cold, _ = timed(run)
            seconds, used = [], []
            for _ in range(3):
                before = time.process_time()
                seconds.append(timed(run)[0])
                used.append(time.process_time() - before)
        took, ideal = statistics.median(seconds), each * NAP_SECONDS
        what = f"{workers} workers, {each * workers:,} nodes of {NAP_SECONDS * 1000:.0f} ms, {method}"
        found.append(
            Figure(f"{what}: time, by the ideal", took / ideal, "×", 1 / 0.95, f"{cold:.2f} s with the start of the workers")
        )
        found.append(Figure(f"{what}: processor time of the parent", statistics.median(used) / took, "cores", 0.25))
    return found


def _resident_bytes() -> int:
    """Return the memory of this process; pages that forked workers share count, whether they still share them or not."""
    gc.collect()
    return psutil.Process().memory_info().rss


def _processor(method: str, workers: int, count: int) -> list[Figure]:
    from treadle import Catalog, ParallelRunner, Pipeline, node

    pipeline = Pipeline([node(busy, "source", f"b{index}", name=f"b{index}") for index in range(count)])
    with ParallelRunner(workers, start_method=method) as runner:
        dict(runner.run(Pipeline([node(busy, "source", "warm", name="warm")]), Catalog({"source": 1})))
        theirs, ours = _children_seconds(), time.process_time()
        took, _ = timed(lambda: dict(runner.run(pipeline, Catalog({"source": 1}))))
        ours, theirs = time.process_time() - ours, _children_seconds() - theirs
    detail = f"parent {ours:.2f} s, workers {theirs:.2f} s, of {took:.2f} s"
    what = f"{count:,} nodes of 1 ms, {method}"
    return [
        Figure(f"{what}: processor time of the parent, by that of the workers", ours / theirs, "×", 1.0, detail),
        Figure(f"{what}: time, by the work shared out evenly", took * workers / count / BUSY_SECONDS, "×"),
    ]


def _children_seconds() -> float:
    total = 0.0
    for process in psutil.Process().children(recursive=True):
        try:
            times = process.cpu_times()
        except psutil.Error:
            continue
        total += times.user + times.system
    return total


def _namespaces(method: str, workers: int, repeats: int) -> list[Figure]:
    from treadle import Catalog, ParallelRunner, Pipeline, node, pipeline
    from treadle.planning import compile_plan

    copies, length = 500, 10
    base = Pipeline(
        [node(noop, f"s{index - 1}" if index else "source", f"s{index}", name=f"n{index}") for index in range(length)]
    )

    def build() -> Any:
        return sum((pipeline(base, inputs="source", namespace=f"copy_{index}") for index in range(copies)), Pipeline([]))

    built = median_of(build, 3)
    whole = build()
    compiled = median_of(lambda: compile_plan(whole, Catalog({"source": 1})), 3)
    with ParallelRunner(workers, start_method=method) as runner:
        ran = median_of(lambda: runner.run(whole, Catalog({"source": 1})), min(repeats, 3))
    what = f"{copies} namespaced copies of a pipeline of {length} nodes"
    return [
        Figure(f"{what}: made and added up", built, detail=f"{built / copies / length * 1e6:.0f} µs a node"),
        Figure(f"{what}: plan", compiled, detail=f"{compiled / copies / length * 1e6:.0f} µs a node"),
        Figure(f"{what}: run, {method}, warm", ran, detail=f"{ran / copies / length * 1e6:.0f} µs a node"),
    ]


def _large_catalog(method: str, workers: int, repeats: int) -> list[Figure]:
    from treadle import Catalog, ParallelRunner, Pipeline, node

    used, entries = 50, 2_000
    with tempfile.TemporaryDirectory() as folder:
        for index in range(used):
            (Path(folder) / f"in_{index}.txt").write_text("x", encoding="utf-8")
        config = {f"in_{index}": {"type": "text.TextDataset", "filepath": f"{folder}/in_{index}.txt"} for index in range(entries)}
        pipeline = Pipeline([node(len, f"in_{index}", f"n_{index}", name=f"n_{index}") for index in range(used)])
        with ParallelRunner(workers, start_method=method) as runner:

            def run(count: int) -> int:
                catalog = Catalog.from_config(dict(list(config.items())[:count]))
                return sum(runner.run(pipeline, catalog).values())

            if run(entries) != used:
                msg = "a large catalog: wrong results"
                raise SystemExit(msg)
            small, large = median_of(lambda: run(used), repeats), median_of(lambda: run(entries), repeats)
    detail = f"{small:.4f} s with the {used} entries alone"
    return [Figure(f"catalog of {entries:,} entries, {used} of them used, {method}, warm", large, detail=detail)]
