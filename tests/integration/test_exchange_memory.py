"""The memory limit of values: past it they go to files; without any space left there is one clear error."""

from __future__ import annotations

import contextlib
import gc
import os
import resource
from pathlib import Path

import numpy as np
import psutil
import pytest

from treadle import Catalog, MemoryDataset, ParallelRunner, Pipeline, node
from treadle.errors import DatasetError, NodeError, RunnerError
from treadle.events import DatasetReleased, NodeFinished
from treadle.execution.worker.bootstrap import this_worker

MEGABYTE = 1_000_000
METHODS = ("fork", "spawn", "forkserver", "loky")


def make(number):
    """Return 8 MB."""
    return np.full(MEGABYTE, float(number))


def make_dictionary(number):
    """Return 8 MB in a type that is never kept in the worker."""
    return {"array": np.full(MEGABYTE, float(number))}


MAKERS = (make, make_dictionary)


def total(*values):
    """Add up the first numbers of arrays, plain or in dictionaries."""
    return float(sum((value["array"] if isinstance(value, dict) else value)[0] for value in values))


def spilled():
    """List the sizes of this pool's value files in megabytes, and count the memory files that the main process has open."""
    spec = this_worker().spec
    files = [path.stat().st_size // MEGABYTE for path in Path(spec.scratch).glob("value-*")]
    open_files = 0
    for link in Path(f"/proc/{spec.parent_pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            open_files += "memfd:treadle" in str(link.readlink())
    return sorted(files), open_files


def leftovers(runner):
    """List the value files that a pool has left."""
    return list(Path(runner._executor.pool.spec.scratch).glob("value-*"))


@pytest.mark.parametrize("method", METHODS)
def test_past_the_limit_values_are_files(method):
    """Values that exceed the limit together are files while they are needed; the results are the same."""
    names = [f"value {number}" for number in range(8)]
    pipeline = Pipeline(
        [
            *[node(MAKERS[number % 2], f"params:{number}", name, name=f"make {name}") for number, name in enumerate(names)],
            node(lambda *_values: (spilled()[0], True), names, ["files", "looked"], name="look around"),
            node(lambda _looked, *values: total(*values), ["looked", *names], "total", name="total"),
        ]
    )
    with ParallelRunner(2, method, exchange_memory="33MB") as runner:
        result = runner.run(pipeline, Catalog({f"params:{number}": number for number in range(8)}))
        assert result["total"] == sum(range(8))
        assert set(result["files"]) == {8}
        assert 3 <= len(result["files"]) <= 8  # two that are made at once may both find room; what is published late is a file
        assert leftovers(runner) == []


def test_no_memory_at_all():
    """With a limit of 0 bytes, every large value is a file, also catalog inputs and results."""
    pipeline = Pipeline([node(lambda given: given + 1, "given", "made"), node(total, ["given", "made"], "total")])
    events = []
    with ParallelRunner(2, "fork", exchange_memory=0) as runner:
        result = runner.run(pipeline, Catalog({"given": make(1)}), observers=(events.append,))
        assert result["total"] == 3
    released = [event.dataset for event in events if isinstance(event, DatasetReleased)]
    assert sorted(released) == ["given", "made"]


@pytest.fixture
def small_files():
    """Limit files of this process and its children, on disk or in memory, to 20 MB."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20 * MEGABYTE, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def make_larger(number):
    """Return 40 MB in a type that is never kept in the worker."""
    return {"array": np.full(5 * MEGABYTE, float(number))}


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_no_room_anywhere(method, small_files):
    """A value without space fails its node with a full message; other outputs are kept, and nothing is left."""
    kept = MemoryDataset()
    pipeline = Pipeline(
        [
            node(make, "params:1", "small", name="fits"),
            node(lambda small: float(small[0]), "small", "first", name="first"),
            node(make_larger, ["first"], "large", name="too large"),
            node(total, "large", "total", name="total"),
            node(len, "large", "length", name="length"),
        ]
    )
    with ParallelRunner(2, method) as runner:
        with pytest.raises(NodeError) as caught:
            runner.run(pipeline, Catalog({"params:1": 1, "kept": kept}))
        cause = caught.value.__cause__
        assert isinstance(cause, DatasetError)
        scratch = runner._executor.pool.spec.scratch
        assert (cause.dataset, cause.node, caught.value.node) == ("large", "too large", "too large")
        for words in ("'large' of node 'too large'", "40.0 MB", "memory available", scratch, "free", "exchange_memory", "TMPDIR"):
            assert words in str(cause)
        assert leftovers(runner) == []
        assert runner.run(pipeline.to_nodes("first"), Catalog({"params:1": 1}))["first"] == 1


def test_no_room_for_what_the_catalog_gives(small_files):
    """An input without space fails the node that loads it; the error names both."""
    pipeline = Pipeline([node(len, "large", "length", name="measure")])
    with pytest.raises(NodeError, match=r"'measure' could not load 'large'.*There is no room for the value of 'large'"):
        ParallelRunner(1, "fork").run(pipeline, Catalog({"large": make_larger(0)}))


def test_no_room_to_bring_values_together(small_files, tmp_path):
    """If large values cannot be moved from their workers, the error of the node that needs them says so."""
    meeting = str(tmp_path / "meeting")
    os.mkfifo(meeting)

    def make_with(mode):
        with Path(meeting).open(mode):  # waits until the other is here, which is then in the other worker
            return np.ones(4 * MEGABYTE)

    pipeline = Pipeline(
        [
            node(lambda: make_with("w"), None, "a", name="make a"),
            node(lambda: make_with("r"), None, "b", name="make b"),
            node(total, ["a", "b"], "total", name="both"),
        ]
    )
    with pytest.raises(NodeError, match=r"There is no room for the value of '[ab]' of node 'both': 32\.0 MB") as caught:
        ParallelRunner(2, "fork").run(pipeline, Catalog())
    assert caught.value.node == "both"


@pytest.mark.parametrize("limit", ["much", "-5MB", -1, True, 1.5])
def test_a_limit_is_an_amount_of_memory(limit):
    """An invalid limit is an error before anything starts, and the error says what is valid."""
    with pytest.raises(RunnerError, match=r"exchange_memory is .*: give a whole number, or bytes as a text"):
        ParallelRunner(2, exchange_memory=limit)


@pytest.mark.parametrize("method", ["fork", "forkserver"])
def test_memory_is_given_back_in_time(method):
    """Each value is released after its last use, and not before: the memory files follow the events."""
    steps = 6
    nodes = [node(make_dictionary, "params:0", "d0", name="n0")]
    nodes += [
        node(lambda before, _other: {"array": before["array"] + 1}, [f"d{step - 1}", f"o{step - 1}"], f"d{step}", name=f"n{step}")
        for step in range(1, steps)
    ]
    nodes += [
        node(lambda value: (True, spilled()[1]), f"d{step}", [f"o{step}", f"seen{step}"], name=f"o{step}")
        for step in range(steps)
    ]
    events = []
    gc.collect()
    before = psutil.Process().num_fds()
    with ParallelRunner(2, method) as runner:
        result = runner.run(Pipeline(nodes), Catalog({"params:0": 0}), observers=(events.append,))
        released = {event.dataset: place for place, event in enumerate(events) if isinstance(event, DatasetReleased)}
        finished = {event.node: place for place, event in enumerate(events) if isinstance(event, NodeFinished)}
        for step in range(steps - 1):
            last = max(finished[f"n{step + 1}"], finished[f"o{step}"])
            assert last < released[f"d{step}"] <= last + 3
        assert max(result[f"seen{step}"] for step in range(steps)) <= 4
    del result
    gc.collect()
    assert psutil.Process().num_fds() <= before + 2


def test_nothing_of_a_run_waits_for_the_garbage_collector(any_runner):
    """A run's loop and scheduler do not refer to themselves: they are gone with the run, whatever its size."""
    from treadle.execution.loop.loop import RunLoop
    from treadle.execution.scheduling.scheduler import Scheduler

    pipeline = Pipeline([node(lambda x: x + 1, "x", "y", name="add"), node(lambda y: y * 2, "y", "z", name="double")])
    any_runner.run(pipeline, Catalog({"x": 1}))
    gc.collect()
    gc.disable()
    try:
        assert dict(any_runner.run(pipeline, Catalog({"x": 1}))) == {"z": 4}
        assert [each for each in gc.get_objects() if isinstance(each, (RunLoop, Scheduler))] == []
    finally:
        gc.enable()
