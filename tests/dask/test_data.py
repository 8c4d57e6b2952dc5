"""Where the values of a run are, on a dask cluster: in the workers, from which other workers read them."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from distributed.comm import tcp

from treadle import Catalog, NodePolicy, Pipeline, node
from treadle.events import NodeStarted
from treadle.execution.runners.dask import DaskRunner

SIZE = 4_000_000
"""Numbers in a large array, which has eight times as many bytes."""
FEW_BYTES = 1_000_000
"""More than the description of a run and the facts of some nodes take."""


@pytest.fixture(scope="module")
def runner(client):
    """A runner that is kept between the tests."""
    with DaskRunner(client=client) as made:
        yield made


def _counting():
    def count(dask_scheduler=None):
        """Count the bytes that this process reads and writes from now on; return what restores it, and the count."""
        from distributed.comm import tcp

        read, write, counts = tcp.read_bytes_rw, tcp.TCP.write, {"bytes": 0}

        async def counted_read(stream, n):
            counts["bytes"] += n
            return await read(stream, n)

        async def counted_write(self, *args, **kwargs):
            written = await write(self, *args, **kwargs)
            counts["bytes"] += written
            return written

        def stop():
            tcp.read_bytes_rw, tcp.TCP.write = read, write
            return counts["bytes"]

        tcp.read_bytes_rw, tcp.TCP.write = counted_read, counted_write
        if dask_scheduler is not None:
            dask_scheduler.treadle_test_stop = stop
            return None
        return stop

    return count


def test_large_values_do_not_pass_through_client_or_scheduler(client, runner, attend):
    """A value that a second worker reads, and one that goes back to the first, are sent from worker to worker."""

    def use(array):
        attend()
        return array + 1.0, os.getpid()

    nodes = [
        node(lambda: np.zeros(SIZE), None, "made", name="make"),
        node(use, "made", ["left", "left_pid"], name="use_left"),
        node(use, "made", ["right", "right_pid"], name="use_right"),
        node(lambda left, right: float((left + right).sum()), ["left", "right"], "sum", name="sum"),
    ]
    runner.run(Pipeline([node(lambda: 1, None, "a", name="warm_up")]), Catalog())  # the code is sent
    count = _counting()
    client.run_on_scheduler(count)
    stop = count()
    try:
        results = dict(runner.run(Pipeline(nodes), Catalog()))
    finally:
        in_driver = stop()
        in_scheduler = client.run_on_scheduler(lambda dask_scheduler: dask_scheduler.treadle_test_stop())
    assert results["sum"] == 2.0 * SIZE
    assert results["left_pid"] != results["right_pid"]
    assert 0 < in_driver < FEW_BYTES
    assert 0 < in_scheduler < FEW_BYTES
    assert tcp.TCP.write.__name__ == "write"


def test_a_node_runs_where_its_largest_input_is(runner, attend):
    """Two large values were made in two workers: their consumers run in the same ones, wherever small inputs come from."""

    def make(other):
        attend()
        return np.full(SIZE, other), os.getpid()

    nodes = []
    for index, other in ((0, 1), (1, 0)):
        nodes += [
            node(make, f"n{index}", [f"array_{index}", f"made_{index}"], name=f"make_{index}"),
            node(
                lambda _array, mine, other: (mine, other, os.getpid()),
                [f"array_{index}", f"made_{index}", f"made_{other}"],
                f"used_{index}",
                name=f"use_{index}",
            ),
        ]
    results = dict(runner.run(Pipeline(nodes), Catalog({"n0": 1.0, "n1": 2.0})))
    for mine, other, used in results.values():
        assert used == mine
        assert used != other


def test_values_are_released_when_no_node_needs_them(client, runner):
    """During a run workers hold what is still needed, and after it nothing."""

    def held(_sum=None):
        from distributed import get_worker

        slots = [slot for pool in get_worker()._treadle_host.pools.values() for slot in pool._runs.values()]
        values = [value for slot in slots for value in slot.run._values._values.values()]
        return sum(value.nbytes for value in values if hasattr(value, "nbytes"))

    nodes = [
        node(lambda: np.ones(SIZE), None, "made", name="make"),
        node(lambda made: float(made.sum()), "made", "sum", name="sum"),
        node(lambda made, _sum: float(made.max()), ["made", "sum"], "max", name="max"),
        node(held, "max", "held", name="look"),
    ]
    assert runner.run(Pipeline(nodes), Catalog())["held"] == 0

    def left(dask_worker):
        return [run for pool in dask_worker._treadle_host.pools.values() for run in pool._runs]

    assert list(client.run(left).values()) == [[], []]


def test_a_node_of_the_main_process_reads_a_value_from_the_cluster(runner):
    """A large value goes from a worker to the main process and back to a worker, and several nodes can read it."""
    here = NodePolicy(run_in="main")
    nodes = [
        node(lambda: np.ones(SIZE), None, "made", name="make"),
        node(lambda made: (made * 2, os.getpid()), "made", ["doubled", "pid"], name="double", policy=here),
        node(lambda made: float(made.sum()), "made", "sum", name="sum", policy=here),
        node(lambda made, doubled: float((made + doubled).sum()), ["made", "doubled"], "total", name="total"),
    ]
    assert dict(runner.run(Pipeline(nodes), Catalog())) == {"pid": os.getpid(), "sum": 1.0 * SIZE, "total": 3.0 * SIZE}


def test_a_value_is_made_again_if_its_worker_dies_before_the_main_process_reads_it(runner):
    """The node of the main process waits until the value is there again, and has one attempt."""
    here, events = NodePolicy(run_in="main"), []
    nodes = [
        node(lambda: (np.ones(SIZE), os.getpid()), None, ["made", "pid"], name="make"),
        node(lambda pid: os.kill(pid, signal.SIGKILL) or 1, "pid", "killed", name="kill", policy=here),
        node(lambda made, _killed: float(made.sum()), ["made", "killed"], "sum", name="sum", policy=here),
        node(bool, "killed", "was_killed", name="other", policy=here),  # so `kill` and `sum` are two jobs
    ]
    result = dict(runner.run(Pipeline(nodes), Catalog(), observers=[events.append]))
    assert result == {"sum": 1.0 * SIZE, "was_killed": True}
    started = [event.node for event in events if isinstance(event, NodeStarted)]
    assert started.count("make") == 2
    assert started.count("sum") == 1


def test_adaptive_scaling_keeps_a_worker_that_has_values(client, runner, attend, tmp_path):
    """While a value waits for its consumer, the worker that has it runs a task that dask considers long-running."""
    file = str(tmp_path / "kept")

    def long_running(dask_scheduler):
        return [worker.address for worker in dask_scheduler.workers.values() if worker.long_running]

    def wait_for_kept():
        """Write down the workers with a long-running task, once there is one."""
        end = time.monotonic() + 60
        while not (kept := client.run_on_scheduler(long_running)):
            assert time.monotonic() < end
            time.sleep(0.02)
        Path(file).write_text(" ".join(kept))

    def make():
        from distributed import get_worker

        attend()
        return np.ones(SIZE), get_worker().address

    def wait_for_file():
        attend()
        path, end = Path(file), time.monotonic() + 60
        while not (path.exists() and path.read_text()):
            assert time.monotonic() < end
            time.sleep(0.02)
        return path.read_text()

    def use(array, maker, kept):  # in either worker
        return float(array.sum()), maker, kept

    nodes = [
        node(make, None, ["array", "maker"], name="make"),
        node(wait_for_file, None, "kept", name="wait"),
        node(use, ["array", "maker", "kept"], "used", name="use"),
    ]
    with ThreadPoolExecutor(1) as threads:
        watched = threads.submit(wait_for_kept)
        total, maker, kept = runner.run(Pipeline(nodes), Catalog())["used"]
        watched.result()
    assert (total, kept) == (1.0 * SIZE, maker)


def test_nodes_run_in_a_worker_that_dask_has_paused(changing_cluster, monkeypatch, caplog):
    """The values of a run fill its only worker, and only more nodes release them: they run, and a warning says so."""
    monkeypatch.setenv("DASK_DISTRIBUTED__WORKER__MEMORY__PAUSE", "0.1")
    monkeypatch.setenv("DASK_DISTRIBUTED__WORKER__MEMORY__MONITOR_INTERVAL", "20ms")

    def wait_until_paused(made):
        from distributed import Worker

        (worker,) = Worker._instances  # `get_worker` does not find a paused one
        turn = threading.Event()
        while worker.status.name != "paused":
            turn.wait(0.01)
        return float(made[0])

    nodes = [
        node(lambda: np.ones(5 * SIZE), None, "made", name="make"),
        node(wait_until_paused, "made", "first", name="wait"),
        node(lambda made, first: float(made.sum()) + first, ["made", "first"], "sum", name="sum"),
    ]
    cluster = changing_cluster
    with cluster.client() as client, DaskRunner(client=client) as mine, caplog.at_level(logging.WARNING):
        cluster.start_workers(client, 0)
        cluster.start_worker("small", "--no-nanny", "--memory-limit", "2GiB")
        assert dict(mine.run(Pipeline(nodes), Catalog())) == {"sum": 5.0 * SIZE + 1}
    cluster.processes["worker-small"].kill()  # it stays paused, and dask retires no such worker
