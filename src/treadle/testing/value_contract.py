"""The part of the executor contract about values: isolation, transfer, release, and values that cannot be sent. State: none."""

from __future__ import annotations

import gc
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from treadle.execution.protocol.messages import MAIN, Failed, Finished, JobsReturned, Transferred
from treadle.io.memory import MemoryDataset
from treadle.pipeline import node
from treadle.testing.fixtures import ContractFixtures
from treadle.testing.needs import needs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from treadle.testing.bench import Bench
    from treadle.testing.fixtures import Gate

LENGTH = 100_000
"""Length of an array that is too large for any backend to send as a small value."""


class ValueContract(ContractFixtures):
    """Tests of values."""

    @pytest.mark.parametrize("length", [4, LENGTH])
    def test_nodes_do_not_see_each_others_changes(self, bench: Bench, length: int) -> None:
        """If a node modifies its input, other nodes and the result do not see the change, for small and large values."""

        def spoil(values: Any) -> float:
            values[0] = -1.0
            return float(values[0])

        bench.begin(
            node(lambda: np.arange(float(length)) + 1, None, "values", name="make"),
            node(spoil, "values", "spoilt", name="spoil"),
            node(lambda values: float(values[0]), "values", "seen", name="look"),
        )
        bench.run(bench.workers[0], "make")
        bench.run(bench.workers[0], "spoil")
        bench.run(bench.workers[-1], "look")
        assert bench.value("spoilt") == -1.0
        assert bench.value("seen") == 1.0
        assert bench.value("values")[0] == 1.0

    def test_large_values_cross_between_workers(self, bench: Bench) -> None:
        """A worker receives a value of another worker completely, and may write to it."""
        big = np.arange(float(LENGTH))
        bench.begin(node(lambda: big * 2, None, "a", name="make"), node(lambda a: a.sum(), "a", "b", name="take"))
        finished = bench.run(bench.workers[0], "make")
        if bench.capabilities.processes:
            assert dict(finished.outputs)[bench.numbers["a"]].size >= big.nbytes
            assert bench.executor.size(bench.numbers["a"]) >= big.nbytes
        bench.run(bench.workers[-1], "take", last=[("a", "take")])
        assert bench.value("b") == big.sum() * 2

    def test_released_values_are_gone(self, bench: Bench) -> None:
        """After a release the store does not have the value; releasing twice is no error."""
        bench.begin(node(lambda r: r, "r", "a", name="n"), r=0)
        bench.put("r", np.arange(float(LENGTH)))
        bench.release("r")
        bench.release("r")
        assert bench.executor.size(bench.numbers["r"]) == 0
        assert bench.detach("r") == (None, None)

    def test_the_last_chunk_of_a_generator_is_stored(self, bench: Bench) -> None:
        """If a generator yields several chunks of a dataset, the last one is stored, as it was when it was yielded."""

        def chunks() -> Iterator[Any]:
            yield np.zeros(300_000)
            yield threading.Lock()
            last = np.ones(10)
            yield last
            last += 1

        def changes() -> Iterator[Any]:
            last = np.zeros(300_000)
            yield last
            last += 1

        bench.begin(
            node(chunks, None, "a", name="chunks"),
            node(changes, None, "b", name="changes"),
            node(lambda a, b: (a.size, float(a.sum() + b.sum())), ["a", "b"], "c", name="take"),
        )
        worker = bench.workers[0]
        bench.run(worker, "chunks")
        bench.run(worker, "changes")
        bench.run(worker, "take", last=[("a", "take"), ("b", "take")])
        assert bench.value("c") == (10, 10.0)

    @needs("processes")
    def test_a_value_can_be_transferred_while_its_worker_is_busy(self, bench: Bench, gate: Gate) -> None:
        """A worker transfers a value that another worker needs while it runs a long node."""
        pause = threading.Event
        bench.begin(
            node(lambda: np.ones(300_000), None, "big", name="make"),
            node(lambda: pause().wait(0.005), None, "p", name="short"),
            node(gate.waiting, "p", "q", name="long"),
            node(lambda big: float(big.sum()), "big", "r", name="take"),
        )
        first, second = bench.workers
        made = bench.run(first, "make")
        placement = dict(made.outputs)[bench.numbers["big"]].placement
        stays = placement.worker == first and not placement.direct
        bench.submit(first, "short", "long", last=[("p", "long")], local=["p"])
        bench.submit(second, "take")  # requests the value from the first worker, which has just received a job
        transferred, ended = [], set()
        while bench.nodes["take"] not in ended:  # it finishes while the long node waits
            facts = [bench.fact(event) for event in bench.wait()]
            transferred += [fact.dataset for fact in facts if isinstance(fact, Transferred)]
            ended |= {fact.node for fact in facts if isinstance(fact, Finished)}
            if any(isinstance(fact, JobsReturned) for fact in facts):  # the worker was still running an earlier node
                bench.submit(second, "take")
        assert transferred == ([bench.numbers["big"]] if stays else [])
        assert bench.nodes["long"] not in ended
        assert bench.value("r") == 300_000
        gate.open()
        while bench.nodes["long"] not in ended:
            ended |= {fact.node for fact in map(bench.fact, bench.wait()) if isinstance(fact, Finished)}

    def test_an_unpicklable_value_stays_in_its_worker(self, bench: Bench) -> None:
        """An unpicklable value stays in the worker that made it, and the next job there can load it."""
        bench.begin(node(threading.Lock, None, "lock", name="make"), node(lambda lock: lock.acquire(), "lock", "b", name="take"))
        worker = bench.workers[-1]
        finished = bench.run(worker, "make")
        if bench.capabilities.processes:
            ((dataset, handle),) = finished.outputs
            assert dataset == bench.numbers["lock"]
            assert (handle.placement.worker, handle.placement.movable) == (worker, False)
            assert "lock" in handle.placement.reason
        bench.run(worker, "take", last=[("lock", "take")])
        assert bench.value("b") is True

    def test_a_value_that_cannot_be_sent_needs_the_main_process(self, bench: Bench) -> None:
        """`put` pins an unpicklable value to the main process if the workers are other processes."""
        elsewhere = bench.capabilities.processes
        lock = threading.Lock()
        bench.begin(node(lambda lock: lock.locked(), "lock", "b", name="n"), lock=MemoryDataset(lock, copy_mode="assign"))
        placement = bench.put("lock", lock)
        assert placement.worker == (MAIN if elsewhere else None)
        assert placement.movable != elsewhere
        bench.run(MAIN if elsewhere else bench.workers[0], "n")
        assert bench.value("b") is False
        assert bench.value("lock") is lock

    @needs("processes")
    def test_the_main_worker_runs_here(self, bench: Bench) -> None:
        """If workers are processes, MAIN is the calling thread, and its values can be sent to the workers."""
        big, here = np.arange(float(LENGTH)), threading.get_ident()
        seen: list[int] = []

        def make() -> Any:
            seen.append(threading.get_ident())
            return big

        bench.begin(
            node(make, None, "a", name="main"),
            node(lambda a: a.sum(), "a", "b", name="take"),
        )
        assert isinstance(bench.run(MAIN, "main"), Finished)
        bench.run(bench.workers[0], "take")
        assert seen == [here]
        assert bench.value("b") == big.sum()

    @needs("local")
    def test_an_ended_run_leaves_no_files_open(self, bench: Bench) -> None:
        """Values of jobs that failed or never ran are freed in this process and in the workers."""

        def open_files() -> int:
            gc.collect()
            return len(list(Path("/proc/self/fd").iterdir()))

        def fail() -> None:
            raise ValueError

        counts = []
        for _ in range(3):
            bench.begin(
                node(fail, None, "a", name="fails"),
                node(lambda a, r: (a, r), ["a", "r"], "b", name="never"),
                node(lambda: 1, None, "c", name="last"),
                r=0,
            )
            bench.put("r", np.arange(float(LENGTH)))
            bench.submit(bench.workers[0], "fails", "never", local=["a"])
            bench.until(Failed)
            bench.end()
            bench.begin(node(open_files, None, "c", name="last"))
            in_workers = []
            for worker in bench.workers:
                bench.run(worker, "last")  # when it has finished, the worker has handled all earlier commands
                in_workers.append(bench.value("c"))
            bench.end()
            counts.append((open_files(), in_workers))
        assert counts[1] == counts[2]
