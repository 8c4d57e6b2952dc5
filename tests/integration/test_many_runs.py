"""Neither a process that runs pipelines for weeks nor its workers grow, even if no node has run before."""

from __future__ import annotations

import gc
import os
import sys
import threading
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import pytest

from treadle import AutoRunner, Catalog, Pipeline, node
from treadle.errors import NodeError
from treadle.execution.executors.loky import wirings
from treadle.execution.runners import runner as runners

RUNS = 40
LENGTH = 12
WAYS = ["sequential", "thread", "fork", "spawn", "forkserver", "loky", "auto"]


def add(number):
    """Return one more."""
    return number + 1


def fail(number):
    """Fail."""
    raise ValueError(number)


def size(_source=None):
    """Return this process, and its numbers of objects, allocated pieces of memory, threads and open descriptors."""
    gc.collect()
    descriptors = len(list(Path("/proc/self/fd").iterdir())) if sys.platform == "linux" else 0
    return os.getpid(), (len(gc.get_objects()), sys.getallocatedblocks(), threading.active_count(), descriptors)


def run_ever_new(runner, numbers):
    """Run pipelines whose names no earlier run had. In some of them a node fails, and all have one that is pickled by value."""
    for number in numbers:
        names = [f"{number}_{index}" for index in range(LENGTH)]
        nodes = [node(add, before, after, name=f"add {after}") for before, after in pairwise(names)]
        nodes.append(node(lambda value: value, names[0], f"same {number}", name=f"same {number}"))
        if number % 4 == 0:
            nodes.append(node(fail, names[-1], f"none {number}", name=f"fail {number}"))
        with suppress(NodeError):
            runner.run(Pipeline(nodes), Catalog({names[0]: number}))


def sizes(runner):
    """Return the sizes of this process and of its workers."""
    found = dict([size()])
    while len(found) < (3 if runner.has_processes and runner.name != "auto" else 1):
        found |= dict(runner.run(Pipeline([node(size, "a", f"size {each}") for each in range(4)]), Catalog({"a": 1})).values())
    return found


def least_growth(sizes):
    """Return the smallest growth from one size to the next: what is imported or cached once grows in one phase only."""
    return min(after - before for before, after in pairwise(sizes))


@pytest.mark.parametrize("way", WAYS)
def test_no_process_grows_with_the_number_of_runs(monkeypatch, runner_for, way):
    """What is kept for later runs is limited; the limits are reached soon here."""
    monkeypatch.setattr(wirings, "KEPT_BYTES", 10_000)
    monkeypatch.setattr(runners, "MOST_DURATIONS", 100)
    phases = []
    with AutoRunner(2) if way == "auto" else runner_for(way) as runner:
        for phase in range(3):
            run_ever_new(runner, range(phase * RUNS, (phase + 1) * RUNS))
            phases.append(sizes(runner))
    for process, last in phases[-1].items():
        objects, pieces, threads, descriptors = zip(*[each[process] for each in phases], strict=True)
        assert least_growth(objects) < RUNS  # not one for each run
        assert least_growth(pieces) < 4 * RUNS
        assert last[2:] == (threads[0], descriptors[0])
