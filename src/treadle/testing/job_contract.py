"""The part of the executor contract about jobs: how they run, fail, are cancelled and reported. State: none."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from treadle.execution.executors.events import Report, separate
from treadle.execution.protocol.messages import MAIN, Failed, Finished, JobsReturned, Started
from treadle.pipeline import node
from treadle.testing.fixtures import WORKERS, ContractFixtures
from treadle.testing.needs import needs

if TYPE_CHECKING:
    from treadle.execution.executors.events import PoolEvent
    from treadle.testing.bench import Bench
    from treadle.testing.fixtures import Gate


class JobContract(ContractFixtures):
    """Tests of jobs."""

    def test_begin_announces_the_workers(self, bench: Bench) -> None:
        """Each run reports each worker as ready with its pid (this process's pid for threads); each worker has a unique label."""
        assert bench.begin(node(lambda: 1, None, "a", name="n")) == frozenset()
        assert set(bench.workers) <= set(bench.pids)
        if bench.capabilities.processes:
            assert bench.executor.label(MAIN) == "main"
        else:
            assert {bench.pids[worker] for worker in bench.workers} == {os.getpid()}
        labels = [bench.executor.label(worker) for worker in bench.workers]
        assert len(set(labels)) == len(labels)

    @needs("processes", "local")
    def test_each_worker_is_a_separate_process(self, bench: Bench) -> None:
        """The workers have different pids, and none has the pid of this process."""
        bench.begin(node(os.getpid, None, "pid", name="n"))
        for worker in bench.workers:
            bench.run(worker, "n")
            assert bench.value("pid") == bench.pids[worker]
        assert len({os.getpid(), *(bench.pids[worker] for worker in bench.workers)}) == 1 + WORKERS

    def test_a_job_is_reported_step_by_step(self, bench: Bench) -> None:
        """A node is reported as Started (optional) and Finished, with ordered times and its worker; its value is available."""
        bench.begin(node(lambda r: r + 1, "r", "a", name="n"), r=0)
        bench.put("r", 41)
        for worker in bench.workers:
            fact = bench.run(worker, "n")
            reports = [event for event in bench.seen if isinstance(event, Report)]
            # A worker need not report the start of a short node separately: its Finished contains the time.
            assert [type(report.fact) for report in reports][-2:] in ([Started, Finished], [Finished])
            assert {report.worker for report in reports} == {worker}
            assert {bench.fact(report).node for report in reports} == {bench.nodes["n"]}
            assert fact.started <= fact.at
            assert min(fact.load_seconds, fact.run_seconds, fact.save_seconds) >= 0
        assert bench.value("a") == 42
        assert bench.detach("a") == (None, None)

    def test_a_job_of_several_nodes_passes_values_between_them(self, bench: Bench) -> None:
        """A value that only the job uses is not reported, and an input of two nodes reaches both."""
        bench.begin(node(lambda r: [r], "r", "a", name="first"), node(lambda a, r: [*a, r], ["a", "r"], "b", name="second"), r=0)
        bench.put("r", 5)
        worker = bench.workers[-1]
        first, second = bench.run(worker, "first", "second", last=[("r", "second"), ("a", "second")], local=["a"])
        assert first.outputs == ()
        assert (first.node, second.node) == (bench.nodes["first"], bench.nodes["second"])
        assert bench.value("b") == [5, 5]

    def test_a_failure_is_a_fact(self, bench: Bench) -> None:
        """A node that raises is reported with its failure and the unstarted nodes of its job; the worker continues."""

        def fail(r: Any) -> None:
            raise ValueError(f"no {r}")

        bench.begin(
            node(fail, "r", "a", name="fails"),
            node(lambda a: a, "a", "b", name="never"),
            node(lambda: 1, None, "c", name="good"),
            r=0,
        )
        bench.put("r", [0, 1, 2])
        worker = bench.workers[0]
        bench.submit(worker, "fails", "never", local=["a"])
        failed = bench.until(Failed)
        assert failed.node == bench.nodes["fails"]
        assert failed.dropped == (bench.nodes["never"],)
        assert (failed.failure.type_name, failed.failure.message) == ("ValueError", "no [0, 1, 2]")
        assert "in fail" in failed.failure.traceback
        assert (failed.original is None) == bench.capabilities.processes
        assert isinstance(bench.run(worker, "good"), Finished)

    def test_an_exit_is_a_failure_of_its_node(self, bench: Bench) -> None:
        """A node that calls sys.exit fails, and its worker continues."""
        bench.begin(node(lambda: sys.exit(3), None, "a", name="exits"), node(lambda: 1, None, "b", name="good"))
        failed = bench.run(bench.workers[0], "exits")
        assert failed.failure.type_name == "SystemExit"
        assert isinstance(bench.run(bench.workers[0], "good"), Finished)

    def test_a_worker_without_jobs_can_be_cancelled(self, bench: Bench) -> None:
        """Cancelling an idle worker returns no job, and the next job runs."""
        bench.begin(node(lambda: 1, None, "a", name="n"))
        bench.executor.cancel(bench.workers[0])
        bench.flush()
        assert isinstance(bench.run(bench.workers[0], "n"), Finished)

    @needs("concurrent")
    def test_queued_jobs_can_be_cancelled(self, bench: Bench, gate: Gate) -> None:
        """A cancel returns the queued jobs that have not started when it arrives, and the worker accepts jobs again."""
        names = [f"n{index}" for index in range(200)]
        bench.begin(*[node(gate.waiting, None, f"x{index}", name=name) for index, name in enumerate(names)])
        worker = bench.workers[0]
        bench.submit(worker, names[0])
        bench.until(Started)
        for name in names[1:]:
            bench.submit(worker, name)
        ended, returned = _cancel_and_open(bench, worker, gate, len(names))
        assert returned, "the worker ran all jobs"
        assert sorted([*ended, *returned]) == sorted(bench.nodes[name] for name in names)
        assert isinstance(bench.run(worker, names[-1]), Finished)

    @needs("concurrent")
    def test_the_rest_of_a_job_can_be_cancelled(self, bench: Bench, gate: Gate) -> None:
        """A cancel during the first node of a job returns the nodes that have not started when the cancel arrives."""
        chain = [node(gate.waiting, f"x{n - 1}" if n else None, f"x{n}", name=f"n{n}") for n in range(200)]
        bench.begin(*chain)
        worker = bench.workers[0]
        passed = [f"x{n}" for n in range(len(chain) - 1)]
        last = [(name, f"n{n + 1}") for n, name in enumerate(passed)]
        bench.submit(worker, *(each.name for each in chain), last=last, local=passed)
        bench.until(Started)
        ended, returned = _cancel_and_open(bench, worker, gate, len(chain))
        assert returned, "the worker ran the whole job"
        assert [*ended, *returned] == [bench.nodes[each.name] for each in chain]

    def test_a_job_of_nodes_that_wait_runs_to_its_end(self, bench: Bench, gate: Gate) -> None:
        """A job whose first node blocks continues with its second node."""
        bench.begin(node(gate.waiting, None, "a", name="first"), node(lambda a: a, "a", "b", name="second"))
        bench.submit(bench.workers[0], "first", "second", last=[("a", "second")], local=["a"], flush=True)
        opener = threading.Thread(target=gate.open)
        opener.start()
        assert [each.node for each in bench.all_until(Finished, 2)] == [bench.nodes["first"], bench.nodes["second"]]
        opener.join()

    @needs("queues")
    def test_independent_nodes_behind_a_long_one_are_returned(self, bench: Bench, gate: Gate) -> None:
        """A job of independent nodes does not hold them back while its first node takes long; another worker can run them."""
        names = [f"n{index}" for index in range(6)]
        rest = [node(lambda a: a, "p", f"x{index}", name=name) for index, name in enumerate(names[1:], 1)]
        bench.begin(node(gate.waiting, None, "x0", name=names[0]), *rest, p=7)
        bench.put("p", 7)
        worker, other = bench.workers[:2]
        bench.submit(worker, *names, independent=True)
        returned: list[int] = []
        while len(returned) < len(rest):
            returned += [each for fact in bench.all_until(JobsReturned, 1) for each in fact.nodes]
        assert returned == [bench.nodes[name] for name in names[1:]]
        bench.run(other, *names[1:], independent=True)
        assert bench.value(f"x{len(rest)}") == 7
        opener = threading.Thread(target=gate.open)
        opener.start()
        assert bench.until(Finished).node == bench.nodes[names[0]]
        opener.join()

    @needs("returns_rest")
    def test_the_rest_of_a_returnable_job_can_run_elsewhere(self, bench: Bench, gate: Gate) -> None:
        """The nodes behind a long one are returned, and what it makes, for its job alone until then, can be transferred."""
        bench.begin(
            node(gate.waiting, None, "a", name="long"),
            node(lambda a: f"{a}, {a}", "a", "b", name="second"),
            node(len, "b", "c", name="third"),
        )
        worker, other = bench.workers[:2]
        last = [("a", "second"), ("b", "third")]
        bench.submit(worker, "long", "second", "third", last=last, local=["a", "b"], returnable=True)
        assert bench.until(JobsReturned).nodes == (bench.nodes["second"], bench.nodes["third"])
        opener = threading.Thread(target=gate.open)
        opener.start()
        finished = bench.until(Finished)
        opener.join()
        assert (finished.node, dict(finished.outputs)) == (bench.nodes["long"], {})
        assert bench.transfer(bench.numbers["a"], worker).handle.load() == "through"
        bench.run(other, "second", "third", last=last, local=["b"])
        assert bench.value("c") == len("through, through")

    @needs("concurrent")
    def test_independent_nodes_of_a_job_can_be_cancelled(self, bench: Bench, gate: Gate) -> None:
        """A cancel during a job of independent nodes returns those that have not started, each once."""
        names = [f"n{index}" for index in range(200)]
        bench.begin(*[node(gate.waiting, None, f"x{index}", name=name) for index, name in enumerate(names)])
        worker = bench.workers[0]
        bench.submit(worker, *names, independent=True)
        ended, returned = _cancel_and_open(bench, worker, gate, len(names))
        assert returned, "the worker ran all nodes"
        assert sorted([*ended, *returned]) == sorted(bench.nodes[name] for name in names)
        assert isinstance(bench.run(worker, names[-1]), Finished)

    def test_independent_nodes_behind_a_failed_one_run_or_are_reported(self, bench: Bench) -> None:
        """The later nodes of a job whose node failed either run, or are reported as not started and can run in another job."""

        def fail() -> None:
            raise ValueError

        bench.begin(
            node(lambda: 1, None, "a", name="good"), node(fail, None, "b", name="bad"), node(lambda: 3, None, "c", name="c")
        )
        worker = bench.workers[0]
        bench.submit(worker, "good", "bad", "c", independent=True)
        ended, returned = _ended_and_returned(bench, 3)
        assert sorted([*ended, *returned]) == sorted(bench.nodes.values())
        if returned:
            assert returned == [bench.nodes["c"]]
            bench.run(worker, "c")
        assert bench.value("c") == 3

    @needs("processes")
    def test_the_rest_of_a_job_of_the_main_worker_can_be_cancelled(self, bench: Bench) -> None:
        """A cancel between two nodes of a job in the main process returns the unstarted nodes."""
        bench.begin(node(lambda: 1, None, "a", name="first"), node(lambda a: a, "a", "b", name="second"))
        bench.submit(MAIN, "first", "second", last=[("a", "second")], local=["a"])
        bench.until(Finished)
        bench.executor.cancel(MAIN)
        assert bench.until(JobsReturned).nodes == (bench.nodes["second"],)

    def test_runs_follow_each_other(self, bench: Bench) -> None:
        """The next run has its own nodes and values under the same indices."""
        for text in ("one", "two"):
            bench.begin(node(lambda text=text: text, None, "a", name="n"))
            bench.run(bench.workers[0], "n")
            assert bench.value("a") == text
            bench.end()

    def test_a_run_that_ends_before_its_jobs_does_not_disturb_the_next(self, bench: Bench) -> None:
        """A job that was submitted and not waited for has no effect on the next run."""
        bench.begin(node(lambda: 1, None, "a", name="n"))
        bench.submit(bench.workers[0], "n")
        bench.end()
        self._check_next_run(bench)

    @needs("concurrent")
    def test_a_run_that_ends_during_a_node_does_not_disturb_the_next(self, bench: Bench, gate: Gate) -> None:
        """The next run does not receive facts of a job that was running when the last run ended."""
        bench.begin(node(gate.waiting, None, "a", name="old"))
        bench.submit(bench.workers[0], "old")
        bench.until(Started)
        bench.end()
        gate.open()
        self._check_next_run(bench)

    @staticmethod
    def _check_next_run(bench: Bench) -> None:
        bench.begin(node(lambda: "new", None, "b", name="new"))
        finished = bench.run(bench.workers[0], "new")
        assert {type(bench.fact(event)) for event in bench.seen} <= {Started, Finished, JobsReturned}
        assert finished.node == 0
        assert bench.value("b") == "new"

    @needs("unreported")
    def test_the_last_events_have_every_finished_node(self, own_bench: Bench, gate: Gate) -> None:
        """`last_events` has the reports of finished nodes that `wait` has not returned, even if their worker is busy.

        It may repeat those of the last `wait`.
        """
        bench = own_bench
        nodes = [node(_count, f"x{n - 1}" if n else None, f"x{n}", name=f"n{n}") for n in range(5)]
        bench.begin(*nodes, node(gate.waiting, "x4", "y", name="waits"))
        passed = [f"x{n}" for n in range(5)]
        last = [*((f"x{n}", f"n{n + 1}") for n in range(4)), ("x4", "waits")]
        bench.submit(bench.workers[0], *(each.name for each in nodes), "waits", last=last, local=passed, flush=True)
        holder = threading.Thread(target=gate.hold)
        holder.start()
        events: list[PoolEvent] = []
        while holder.is_alive():  # a pool may need several calls until the job runs
            events += bench.executor.wait(0.02)
        events += bench.executor.last_events({})
        facts = [bench.fact(event) for event in separate(events)]
        finished = dict.fromkeys(fact.node for fact in facts if isinstance(fact, Finished))
        assert list(finished) == [bench.nodes[each.name] for each in nodes]
        gate.close()  # a thread runs until its node returns

    def test_a_wait_ends_at_its_timeout(self, bench: Bench) -> None:
        """If nothing happens, `wait` returns an empty list when its timeout is over."""
        bench.begin(node(lambda: 1, None, "a", name="n"))
        for _ in range(20):  # events of the start arrive first
            if not bench.executor.wait(0.02):
                break
        assert bench.executor.wait(0.02) == []
        assert isinstance(bench.run(bench.workers[0], "n"), Finished)


def _count(number: int = 0) -> int:
    return number + 1


def _open_for_each(gate: Gate, count: int) -> None:
    """Open the gate `count` times, once for each node that waits; stop when the test has closed its socket."""
    with suppress(OSError):
        for _ in range(count):
            gate.open()


def _cancel_and_open(bench: Bench, worker: int, gate: Gate, count: int) -> tuple[list[int], list[int]]:
    """Cancel the jobs of a worker, let so many nodes pass the gate, and return those that ended and those that are returned."""
    bench.executor.cancel(worker)
    bench.flush()
    opener = threading.Thread(target=_open_for_each, args=(gate, count), daemon=True)
    opener.start()
    return _ended_and_returned(bench, count)


def _ended_and_returned(bench: Bench, count: int) -> tuple[list[int], list[int]]:
    """Wait until so many nodes have ended or are returned; return both, each in the order in which they were reported."""
    ended: list[int] = []
    returned: list[int] = []
    while len(ended) + len(returned) < count:
        for event in bench.wait():
            fact = bench.fact(event)
            assert isinstance(fact, (Started, Finished, Failed, JobsReturned)), fact
            if isinstance(fact, (Finished, Failed)):
                ended.append(fact.node)
            if isinstance(fact, (Failed, JobsReturned)):
                returned += fact.dropped if isinstance(fact, Failed) else fact.nodes
    return ended, returned
