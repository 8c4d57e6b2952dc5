"""The part of the executor contract about worker processes: deaths, replacement, kills, and closing. State: none."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from treadle.execution.executors.events import WorkerDown, WorkerUp
from treadle.execution.protocol.messages import MAIN, Finished, Started
from treadle.pipeline import node
from treadle.testing.bench import Bench
from treadle.testing.fixtures import WORKERS, ContractFixtures
from treadle.testing.needs import needs

if TYPE_CHECKING:
    from collections.abc import Callable

    from treadle.testing.fixtures import Gate


class ProcessContract(ContractFixtures):
    """Tests of worker processes."""

    @needs("processes")
    def test_a_killed_worker_is_reported_with_its_node(self, own_bench: Bench) -> None:
        """A killed worker is reported with its pid and node; the other workers continue, and a new worker replaces it."""
        bench = own_bench
        bench.begin(
            node(lambda: os.kill(os.getpid(), signal.SIGKILL), None, "a", name="dies"),
            node(lambda: 1, None, "b", name="fine"),
        )
        bench.submit(2, "dies")
        down = bench.until(WorkerDown)
        assert (down.worker, down.pid, down.node) == (2, bench.pids[2], bench.nodes["dies"])
        assert down.started is not None
        assert isinstance(bench.run(1, "fine"), Finished)
        bench.executor.restart(2)
        up = bench.until(WorkerUp)
        assert (up.worker, up.pid) != (2, down.pid)
        assert isinstance(bench.run(2, "fine"), Finished)

    @needs("processes")
    def test_a_worker_that_exits_is_reported_with_its_node(self, own_bench: Bench) -> None:
        """A worker whose process exits is reported with its running node, even if that is the second node of a job."""
        bench = own_bench
        bench.begin(node(lambda: os._exit(5), None, "a", name="exits"), node(lambda: 1, None, "b", name="before"))
        bench.submit(1, "before", "exits")
        down = bench.until(WorkerDown)
        assert (down.worker, down.node) == (1, bench.nodes["exits"])

    @needs("processes", "local")
    def test_the_exit_code_of_a_lost_worker_is_reported(self, own_bench: Bench) -> None:
        """The exit code is positive for an exit and negative for a signal, as in `subprocess`."""
        bench = own_bench
        bench.begin(
            node(lambda: os._exit(5), None, "a", name="exits"),
            node(lambda: os.kill(os.getpid(), signal.SIGKILL), None, "b", name="dies"),
        )
        bench.submit(1, "exits")
        assert bench.until(WorkerDown).exitcode == 5
        bench.submit(2, "dies")
        assert bench.until(WorkerDown).exitcode == -signal.SIGKILL

    @needs("processes")
    def test_the_death_of_an_idle_worker_is_reported_without_a_node(self, own_bench: Bench, gate: Gate) -> None:
        """A worker that dies between jobs is reported without a node, during a run and between two runs."""
        bench = own_bench
        bench.begin(node(gate.killing, None, "a", name="last"), node(lambda: 1, None, "b", name="n"))
        bench.run(1, "last")
        gate.open()
        down = bench.until(WorkerDown)
        assert (down.worker, down.node) == (1, None)
        bench.run(2, "last")
        bench.end()
        killed = bench.pids[2]
        gate.open()
        bench.begin_again()
        ups: dict[int, int] = {}
        while len(ups) < WORKERS or ups.get(2, killed) == killed:
            for event in bench.executor.wait():
                if isinstance(event, WorkerDown):
                    assert event.node is None
                    bench.executor.restart(event.worker)
                    continue
                assert isinstance(event, WorkerUp), event
                if event.worker != MAIN:
                    ups[event.worker] = event.pid
        assert isinstance(bench.run(2, "n"), Finished)

    @needs("can_kill")
    def test_a_worker_can_be_killed_in_the_middle_of_a_node(self, own_bench: Bench, gate: Gate) -> None:
        """`running` returns the node and its start; `kill` ends the worker, which is reported; a new worker runs nodes."""
        bench = own_bench
        bench.begin(node(gate.waiting, None, "a", name="waits"), node(lambda: 2, None, "b", name="n"))
        bench.submit(1, "waits")
        started = bench.until(Started)
        ((worker, running),) = bench.executor.running().items()
        assert (worker, running[:2]) == (1, started[:2])
        assert running.at == pytest.approx(started.at)
        assert 0 < running.since <= time.monotonic()
        bench.executor.kill(1)
        down = bench.until(WorkerDown)
        assert (down.worker, down.node) == (1, bench.nodes["waits"])
        bench.executor.restart(1)
        bench.until(WorkerUp)
        assert isinstance(bench.run(1, "n"), Finished)

    @needs("processes")
    def test_a_forked_child_does_not_use_the_workers_connection(self, bench: Bench) -> None:
        """A child process that a node forked and that prints sends no facts of the worker, and does not close its connection."""

        def forks(_a: Any) -> int:
            pid = os.fork()
            if pid == 0:
                print("child", flush=True)  # noqa: T201 - the test is about printing
                os._exit(0)
            return os.waitpid(pid, 0)[1]

        bench.begin(node(lambda: 1, None, "a", name="before"), node(forks, "a", "b", name="forks"))
        reports = bench.run(bench.workers[0], "before", "forks", last=[("a", "forks")], local=["a"])
        assert [type(fact) for fact in reports] == [Finished, Finished]
        assert [bench.fact(event).node for event in bench.seen if isinstance(bench.fact(event), Finished)] == [0, 1]
        assert bench.value("b") == 0

    @needs("can_kill")
    def test_closing_kills_running_nodes(self, own_bench: Bench, gate: Gate) -> None:
        """`close(kill=True)` ends workers that are running a node."""
        bench = own_bench
        bench.begin(node(gate.waiting, None, "a", name="hangs"))
        bench.submit(1, "hangs")
        bench.until(Started)
        gate.hold()
        bench.executor.close(kill=True)
        gate.wait_until_killed()

    @needs("can_kill", "local")
    def test_a_killed_worker_leaves_no_process(self, own_bench: Bench, gate: Gate) -> None:
        """A worker that the executor kills, during a run or when it closes, has the exit code of a kill, and is reaped."""
        bench = own_bench
        bench.begin(node(gate.waiting, None, "a", name="hangs"))
        for worker in (1, 2):
            bench.submit(worker, "hangs")
            bench.until(Started)
        bench.executor.kill(1)
        assert bench.until(WorkerDown).exitcode == -signal.SIGKILL
        bench.executor.close(kill=True)
        assert not [pid for pid in bench.pids.values() if pid != os.getpid() and psutil.pid_exists(pid)]

    @needs("processes", "local")
    def test_closing_ends_the_processes(self) -> None:
        """After `close` no worker process exists."""
        bench = Bench(self.make_executor(WORKERS), WORKERS)
        bench.begin(node(lambda: 1, None, "a", name="n"))
        bench.run(1, "n")
        bench.end()
        bench.executor.close()
        assert not [pid for pid in bench.pids.values() if pid != os.getpid() and psutil.pid_exists(pid)]

    @pytest.mark.parametrize("kill", [False, True])
    def test_closing_frees_all_resources(self, kill: bool) -> None:  # noqa: FBT001 - a parameter of a test
        """After `close` all descriptors, threads and child processes are gone from this process; closing twice is no error."""

        def use() -> None:
            threads = set(threading.enumerate())
            bench = Bench(self.make_executor(WORKERS), WORKERS)
            bench.begin(node(lambda: bytearray(1_000_000), None, "a", name="n"), r=0)
            bench.run(bench.workers[-1], "n")
            bench.end()
            bench.executor.close(kill=kill)
            bench.executor.close()
            for thread in set(threading.enumerate()) - threads:
                thread.join(10)  # it may still be ending

        assert_frees_resources(use)

    def test_closing_an_unused_executor_frees_all_resources(self) -> None:
        """An executor that never ran anything can be closed too."""
        assert_frees_resources(lambda: self.make_executor(WORKERS).close())


def assert_frees_resources(use: Callable[[], None]) -> None:
    """Call a function again and again, until a call leaves this process with the same resources as the call before.

    The first calls may start what Python keeps, such as a forkserver, and connections of a client may still be closing. What a
    function does not free is more after each call.

    Args:
        use: makes an executor and closes it.
    """
    states = []
    for _ in range(6):
        use()
        states.append(open_resources())
        if len(states) > 1 and states[-1] == states[-2]:
            return
    assert states[-1] == states[-2]


def open_resources() -> tuple[list[str], list[str], list[int]]:
    """Return the resources that a closed executor must have freed: types of descriptors, names of threads, child processes."""
    gc.collect()
    files = [path.readlink() for path in Path("/proc/self/fd").iterdir() if path.is_symlink()]
    return (
        sorted(str(file).partition(":[")[0] for file in files),
        sorted(thread.name for thread in threading.enumerate()),
        sorted(child.pid for child in psutil.Process().children(recursive=True) if not _is_kept_by_python(child)),
    )


def _is_kept_by_python(process: psutil.Process) -> bool:
    """Return whether Python or loky keeps a child process until this process ends."""
    try:
        words = " ".join(process.cmdline())
    except psutil.Error:
        return True  # it has ended
    return "resource_tracker" in words or "forkserver import main" in words
