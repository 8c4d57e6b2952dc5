"""How busy the workers of a run were, how many nodes ran at a time, and how much memory was used. State: none."""

from __future__ import annotations

from bisect import bisect_right
from itertools import pairwise
from typing import TYPE_CHECKING

from treadle.named_tuple import NamedTuple
from treadle.observe.store.run_graph import MEMORY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from treadle.observe.report.timeline import Timeline
    from treadle.observe.store import NodeRecord, RunRecord

POINTS = 400
"""Number of points of a curve."""


class Memory(NamedTuple):
    """The memory of a run over time; times are seconds after its start, sizes are bytes.

    Attributes:
        limit: bytes that the run may use; None if unknown.
        times: of the samples.
        processes: (name, bytes at each time, None if it did not run) of each process.
        peak: the largest sum over all processes.
    """

    limit: int | None
    times: tuple[float, ...]
    processes: tuple[tuple[str, tuple[int | None, ...]], ...]
    peak: int


def concurrency(timeline: Timeline) -> list[tuple[float, float]]:
    """Return how many nodes ran on average in each of many equal parts of the run.

    Args:
        timeline: the run.

    Returns:
        (seconds after the start, number of nodes) of each part; empty for a run without nodes.
    """
    if not timeline.attempts or timeline.wall <= 0:
        return []
    changes: dict[float, int] = {}
    for each in timeline.attempts:
        changes[each.started] = changes.get(each.started, 0) + 1
        changes[each.finished] = changes.get(each.finished, 0) - 1
    times = sorted(changes)
    running, areas, counts = 0, [0.0], []
    for index, at in enumerate(times):
        if index:
            areas.append(areas[-1] + running * (at - times[index - 1]))
        running += changes[at]
        counts.append(running)

    def area(until: float) -> float:
        index = bisect_right(times, until) - 1
        return 0.0 if index < 0 else areas[index] + counts[index] * (until - times[index])

    width = timeline.wall / POINTS
    edges = [part * width for part in range(POINTS + 1)]
    return [(start, (area(end) - area(start)) / width) for start, end in pairwise(edges)]


def busy_seconds(timeline: Timeline) -> dict[str, float]:
    """Return how long each worker ran nodes, by its name."""
    busy = dict.fromkeys(timeline.workers, 0.0)
    for each in timeline.attempts:
        busy[each.worker] += each.seconds
    return busy


def memory_of(run: RunRecord) -> Memory | None:
    """Return the memory of a run; None if there are no samples."""
    record = run.memory
    if record is None or not record.times:
        return None
    times = tuple(round(at - run.started, 3) for at in record.times)
    sums = [sum(sizes[index] or 0 for _name, sizes in record.processes) for index in range(len(times))]
    return Memory(record.limit, times, record.processes, max(sums))


def moved_bytes(timeline: Timeline, sizes: Mapping[str, int]) -> int:
    """Return how many bytes of values in memory were used by other workers than the one that made them.

    Args:
        timeline: the run.
        sizes: bytes of each dataset, by name.
    """
    graph = timeline.graph
    known = {index: sizes[each.name] for index, each in enumerate(graph.datasets) if each.kind == MEMORY and each.name in sizes}
    if not known:
        return 0
    last = timeline.last
    made_by = {dataset: index for index, node in enumerate(graph.nodes) for dataset in node.outputs}
    moved: set[tuple[int, str]] = set()
    for index, attempt in last.items():
        for dataset in graph.nodes[index].inputs:
            if dataset in known:
                maker = last.get(made_by.get(dataset, -1))
                if maker is not None and maker.worker != attempt.worker:
                    moved.add((dataset, attempt.worker))
    return sum(known[dataset] for dataset, _worker in moved)


def dataset_sizes(nodes: Sequence[NodeRecord]) -> dict[str, int]:
    """Return the bytes of each dataset whose size is recorded, by name."""
    sizes: dict[str, int] = {}
    for node in nodes:
        sizes.update(node.sizes)
        sizes.update((each.dataset, each.size) for each in node.outputs if each.size is not None)
    return sizes
