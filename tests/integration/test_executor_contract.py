"""The contract of executors: one suite over this thread, threads, and worker processes under every start method."""

from __future__ import annotations

import dataclasses
import gc
import multiprocessing
import os
import signal
import sys
import threading
import time
from multiprocessing import forkserver, resource_tracker
from pathlib import Path

import numpy as np
import psutil
import pytest

from treadle import Catalog, MemoryDataset, Pipeline, node
from treadle.execution.executors.events import Report, SetupFailed, WorkerDown, WorkerUp
from treadle.execution.executors.loky.pool import loky_executor
from treadle.execution.executors.serial import serial_executor
from treadle.execution.executors.threads import thread_executor
from treadle.execution.packing.bundle import RunBundle
from treadle.execution.packing.worker_spec import fingerprint, make_worker_spec
from treadle.execution.processes.start_method import StartMethod, available_start_methods
from treadle.execution.protocol.handles import Inline, LocalValue, PinnedValue, RemoteValue
from treadle.execution.protocol.messages import MAIN, Failed, Finished, JobsReturned, Started, Transferred
from treadle.execution.protocol.placement import SHARED
from treadle.execution.scheduling.instructions import RunJob
from treadle.planning import compile_plan

WORKERS = 2
METHODS = [method.value for method in available_start_methods()]
KINDS = ["serial", "threads", *METHODS]
BIG = np.arange(100_000.0)


def make_executor(kind, **changes):
    """Make an executor by its name; `changes` are made to the spec of worker processes."""
    if kind == "serial":
        return serial_executor()
    if kind == "threads":
        return thread_executor(WORKERS)
    method = StartMethod(kind)

    def spec(scratch):
        return dataclasses.replace(make_worker_spec(method, WORKERS, scratch, fingerprint([])), **changes)

    return loky_executor(WORKERS, method, spec)


class Bench:
    """An executor under test, with what scheduler and loop would do for it."""

    def __init__(self, executor):
        self.executor = executor
        self.plan = None
        self.pids = {}
        self.placements = {}
        self.copies = {}
        self.backlog = []

    @property
    def workers(self):
        """Numbers of the workers that take ordinary jobs."""
        if self.executor.capabilities.label == "main":
            return (MAIN,)
        return tuple(range(1, WORKERS + 1))

    def begin(self, *nodes, **data):
        """Begin a run of these nodes and wait until every worker is up."""
        self.plan = compile_plan(Pipeline(nodes), Catalog(data))
        self.numbers = {dataset.name: number for number, dataset in enumerate(self.plan.datasets)}
        self.nodes = {planned.name: number for number, planned in enumerate(self.plan.nodes)}
        self.placements, self.copies, self.backlog = {}, {}, []
        main_only = self.executor.begin(RunBundle("run", self.plan, Catalog(data), None))
        self.pids = {}
        while not set(self.workers) <= set(self.pids):
            for event in self.executor.wait():
                assert isinstance(event, WorkerUp), event
                self.pids[event.worker] = event.pid
        return main_only

    def wait(self):
        """Return events, and note where the values are that they report."""
        if self.backlog:
            events, self.backlog = self.backlog, []
            return events
        events = self.executor.wait()
        for event in events:
            fact = self.fact(event)
            if isinstance(fact, Finished):
                self.placements.update((dataset, handle.placement) for dataset, handle in fact.outputs)
            elif isinstance(fact, Transferred):
                self.placements[fact.dataset] = fact.handle.placement
        return events

    def transfer(self, dataset, worker):
        """Have a worker give a value to the store; return what it answers."""
        self.executor.transfer(dataset, worker)
        seen = []
        while not (found := [fact for fact in map(self.fact, seen) if isinstance(fact, Transferred) and fact.dataset == dataset]):
            seen += self.wait()
        self.backlog = seen + self.backlog
        return found[0]

    def submit(self, worker, *names, last=(), local=()):
        """Submit a job of nodes, by name; values that are in another worker are transferred first."""
        made = {name for each in names for name in self.node(each).outputs}
        inputs = dict.fromkeys(name for each in names for name in self.node(each).inputs)
        inputs = [number for number in inputs if number not in made and self.plan.datasets[number].in_memory]
        job = RunJob(
            worker,
            tuple(self.nodes[name] for name in names),
            tuple(number for number in inputs if self.travels(number, worker)),
            tuple((self.numbers[dataset], self.nodes[name]) for dataset, name in last),
            tuple(self.numbers[dataset] for dataset in local),
        )
        self.executor.submit(job)

    def travels(self, dataset, worker):
        """Say whether a value travels with a job, once it is in the store or in the job's worker."""
        placement = self.placements.get(dataset, SHARED)
        if placement.worker not in (None, worker) and placement.movable:
            self.transfer(dataset, placement.worker)
            placement = self.placements[dataset]
        if placement.worker is not None:
            return False
        copies = self.copies.setdefault(dataset, set())
        if worker in copies:
            return False
        if placement.retained and worker != MAIN:
            copies.add(worker)
        return True

    def node(self, name):
        return self.plan.nodes[self.nodes[name]]

    def release(self, name):
        """Release a value here and in the workers that have it."""
        number = self.numbers[name]
        holder = self.placements.pop(number, SHARED).worker
        holders = self.copies.pop(number, set()) | ({holder} if holder is not None else set())
        self.executor.release(number, tuple(sorted(holders)))

    def until(self, kind, count=1):
        """Wait for some facts (or events) of a kind; return them, and keep all that came in `seen`."""
        self.seen = []
        while sum(isinstance(self.fact(event), kind) for event in self.seen) < count:
            self.seen += self.wait()
        found = [self.fact(event) for event in self.seen if isinstance(self.fact(event), kind)]
        return found[0] if count == 1 else found

    def run(self, worker, *names, **job):
        """Run a job to its end, again where it comes back unbegun; return the report of its node, or those of its nodes."""
        self.submit(worker, *names, **job)
        self.seen, reports = [], []
        while len(reports) < len(names):
            for event in self.wait():
                self.seen.append(event)
                fact = self.fact(event)
                if isinstance(fact, JobsReturned):  # what the worker is in takes long, and another might have been free
                    self.submit(worker, *names, **job)
                elif isinstance(fact, (Finished, Failed)):
                    reports.append(fact)
        return reports[0] if len(names) == 1 else reports

    @staticmethod
    def fact(event):
        return event.fact if isinstance(event, Report) else event

    def put(self, name, value):
        placement = self.placements[self.numbers[name]] = self.executor.put(self.numbers[name], value)
        return placement

    def value(self, name):
        """Take a value out of the executor."""
        handle = self.executor.detach(self.numbers[name])
        value = handle.load()
        handle.close()
        return value

    def flush(self):
        """Make sure that what was submitted so far is on its way."""
        if is_process(self):
            self.executor.pool.flush()

    def end(self):
        if self.plan is not None:
            self.executor.end()


@pytest.fixture(scope="module", params=KINDS)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def warm(kind):
    """One executor a kind, which all tests that leave it whole share."""
    executor = make_executor(kind)
    yield executor
    executor.close()


@pytest.fixture
def bench(warm):
    made = Bench(warm)
    yield made
    made.end()


@pytest.fixture
def fresh():
    """Make benches with executors of their own, closed after the test."""
    made = []

    def make(kind, **changes):
        made.append(make_executor(kind, **changes))
        return Bench(made[-1])

    yield make
    for executor in made:
        executor.close(kill=True)


@pytest.fixture
def gate(tmp_path):
    """A node that waits, and the function that lets it go on."""
    path = str(tmp_path / "gate")
    os.mkfifo(path)

    def waiting():
        with Path(path).open() as pipe:
            return pipe.read() or "through"

    def open_gate():
        with Path(path).open("w"):
            pass

    return waiting, open_gate


def is_process(bench):
    return bench.executor.capabilities.processes


# --- what every executor does --------------------------------------------------------------------------------------------


def test_begin_announces_the_workers(bench, kind):
    """Each worker comes up once a run with a pid; processes are others than this one."""
    assert bench.begin(node(lambda: 1, None, "a", name="n")) == frozenset()
    assert set(bench.workers) <= set(bench.pids)
    others = {bench.pids[worker] for worker in bench.workers}
    if is_process(bench):
        assert len(others) == WORKERS
        assert os.getpid() not in others
    else:
        assert others == {os.getpid()}
    labels = [bench.executor.label(worker) for worker in bench.workers]
    assert len(set(labels)) == len(labels)
    assert bench.executor.label(MAIN) == "main" or kind == "threads"


def test_a_job_is_reported_step_by_step(bench):
    """Started where it is told, then Finished, with ordered times and the worker's number; the value can be had then."""
    bench.begin(node(lambda r: r + 1, "r", "a", name="n"), r=0)
    bench.put("r", 41)
    for worker in bench.workers:
        fact = bench.run(worker, "n")
        reports = [event for event in bench.seen if isinstance(event, Report)]
        # The start of a node that is over at once may go untold: its Finished says when it was.
        assert [type(report.fact) for report in reports][-2:] in ([Started, Finished], [Finished])
        assert {report.worker for report in reports} == {worker}
        assert {report.fact.node for report in reports} == {bench.nodes["n"]}
        assert fact.started <= fact.at
        assert min(fact.load_seconds, fact.run_seconds, fact.save_seconds) >= 0
    assert bench.value("a") == 42
    assert bench.executor.detach(bench.numbers["a"]) is None


def test_a_job_of_several_nodes_hands_values_on(bench):
    """What passes between the nodes of a job is not handed over, and an input of two of its nodes reaches both."""
    bench.begin(node(lambda r: [r], "r", "a", name="first"), node(lambda a, r: [*a, r], ["a", "r"], "b", name="second"), r=0)
    bench.put("r", 5)
    worker = bench.workers[-1]
    first, second = bench.run(worker, "first", "second", last=[("r", "second"), ("a", "second")], local=["a"])
    assert first.outputs == ()
    assert (first.node, second.node) == (bench.nodes["first"], bench.nodes["second"])
    assert bench.value("b") == [5, 5]


@pytest.mark.parametrize("size", ["small", "large"])
def test_takers_do_not_see_each_others_changes(bench, size):
    """A node that changes its input changes nothing for the others, nor for the result, however it travels."""

    def spoil(values):
        values[0] = -1.0
        return float(values[0])

    bench.begin(
        node(lambda: np.arange(100_000.0 if size == "large" else 4.0) + 1, None, "values", name="make"),
        node(spoil, "values", "spoilt", name="spoil"),
        node(lambda values: float(values[0]), "values", "seen", name="look"),
    )
    bench.run(bench.workers[0], "make")
    bench.run(bench.workers[0], "spoil")
    bench.run(bench.workers[-1], "look")
    assert bench.value("spoilt") == -1.0
    assert bench.value("seen") == 1.0
    assert bench.value("values")[0] == 1.0


def test_large_values_cross_between_workers(bench):
    """What one worker makes another takes, writable and whole (failure 12)."""
    big = BIG
    bench.begin(node(lambda: big * 2, None, "a", name="make"), node(lambda a: a.sum(), "a", "b", name="take"))
    finished = bench.run(bench.workers[0], "make")
    if is_process(bench):
        assert dict(finished.outputs)[bench.numbers["a"]].size >= BIG.nbytes
        assert bench.executor.size(bench.numbers["a"]) >= BIG.nbytes
    bench.run(bench.workers[-1], "take", last=[("a", "take")])
    assert bench.value("b") == BIG.sum() * 2


def test_released_values_are_gone(bench):
    """After a release the executor has nothing of a value; releasing twice is no error."""
    bench.begin(node(lambda r: r, "r", "a", name="n"), r=0)
    bench.put("r", BIG)
    bench.release("r")
    bench.release("r")
    assert bench.executor.size(bench.numbers["r"]) == 0
    assert bench.executor.detach(bench.numbers["r"]) is None


def test_a_failure_is_a_fact(bench):
    """A node that raises is reported with its failure; the rest of its job comes back unbegun, and the worker goes on."""

    def fail(r):
        raise ValueError(f"no {r}")

    bench.begin(
        node(fail, "r", "a", name="fails"),
        node(lambda a: a, "a", "b", name="never"),
        node(lambda: 1, None, "c", name="good"),
        r=0,
    )
    bench.put("r", BIG[:3])
    worker = bench.workers[0]
    bench.submit(worker, "fails", "never", local=["a"])
    failed = bench.until(Failed)
    assert failed.node == bench.nodes["fails"]
    assert failed.dropped == (bench.nodes["never"],)
    assert (failed.failure.type_name, failed.failure.message) == ("ValueError", "no [0. 1. 2.]")
    assert "in fail" in failed.failure.traceback
    assert (failed.original is None) == is_process(bench)
    assert isinstance(bench.run(worker, "good"), Finished)


def test_an_exit_is_a_failure_of_its_node(bench):
    """A node that calls sys.exit fails, and takes no worker along."""
    bench.begin(node(lambda: sys.exit(3), None, "a", name="exits"), node(lambda: 1, None, "b", name="good"))
    failed = bench.run(bench.workers[0], "exits")
    assert failed.failure.type_name == "SystemExit"
    assert isinstance(bench.run(bench.workers[0], "good"), Finished)


def test_what_has_not_begun_can_be_cancelled(bench, kind, gate):
    """A cancel gives waiting jobs back; the running one finishes, and the worker takes jobs again."""
    waiting, open_gate = gate
    bench.begin(node(waiting, None, "a", name="runs"), node(lambda: 1, None, "b", name="waits"))
    worker = bench.workers[0]
    if kind == "serial":
        bench.executor.cancel(worker)  # one job at a time is handed to it: there is nothing to give back
    else:
        bench.submit(worker, "runs")
        bench.until(Started)
        bench.submit(worker, "waits")
        bench.executor.cancel(worker)
        bench.flush()
        open_gate()
        assert bench.until(JobsReturned).nodes == (bench.nodes["waits"],)
        assert not any(isinstance(bench.fact(event), Started) for event in bench.seen)
    assert isinstance(bench.run(worker, "waits"), Finished)


def test_the_rest_of_a_job_can_be_cancelled(bench, kind, gate):
    """A cancel during the first node of a job gives the others back."""
    waiting, open_gate = gate
    bench.begin(node(waiting, None, "a", name="first"), node(lambda a: a, "a", "b", name="second"))
    worker = bench.workers[0]
    bench.submit(worker, "first", "second")
    if kind != "serial":
        bench.until(Started)
        bench.executor.cancel(worker)
        bench.flush()
        open_gate()
        assert bench.until(JobsReturned).nodes == (bench.nodes["second"],)
    else:
        opener = threading.Thread(target=open_gate)
        opener.start()
        assert len(bench.until(Finished, 2)) == 2
        opener.join()


def test_the_rest_of_a_job_of_the_main_worker_can_be_cancelled(bench):
    """A cancel between two nodes of a job that runs here gives the others back."""
    if not is_process(bench):
        return
    bench.begin(node(lambda: 1, None, "a", name="first"), node(lambda a: a, "a", "b", name="second"))
    bench.submit(MAIN, "first", "second")
    bench.until(Finished)
    bench.executor.cancel(MAIN)
    assert bench.until(JobsReturned).nodes == (bench.nodes["second"],)


def test_the_last_chunk_of_a_generator_counts(bench):
    """Of chunks of one dataset the last is taken, whatever kinds they are, and as it was when it was yielded."""

    def chunks():
        yield np.zeros(300_000)
        yield threading.Lock()
        last = np.ones(10)
        yield last
        last += 1

    def changes():
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


def test_a_value_is_published_while_its_worker_is_busy(bench, gate):
    """What another worker asks for between two nodes of a job does not wait for the end of that job."""
    if not is_process(bench):
        return
    waiting, open_gate = gate
    pause = threading.Event
    bench.begin(
        node(lambda: np.ones(300_000), None, "big", name="make"),
        node(lambda: pause().wait(0.005), None, "p", name="short"),
        node(lambda _p: waiting(), "p", "q", name="long"),
        node(lambda big: float(big.sum()), "big", "r", name="take"),
    )
    first, second = bench.workers
    bench.run(first, "make")
    bench.submit(first, "short", "long", last=[("p", "long")], local=["p"])
    bench.submit(second, "take")  # its worker asks the first for the value, behind the job
    published, ended = [], set()
    while bench.nodes["take"] not in ended:  # it comes to its end while the long node waits
        facts = [bench.fact(event) for event in bench.wait()]
        published += [fact.dataset for fact in facts if isinstance(fact, Transferred)]
        ended |= {fact.node for fact in facts if isinstance(fact, Finished)}
        if any(isinstance(fact, JobsReturned) for fact in facts):  # its worker was still in what came before
            bench.submit(second, "take")
    assert published == [bench.numbers["big"]]
    assert bench.nodes["long"] not in ended
    assert bench.value("r") == 300_000
    open_gate()
    while bench.nodes["long"] not in ended:
        facts = [bench.fact(event) for event in bench.executor.wait()]
        ended |= {fact.node for fact in facts if isinstance(fact, Finished)}


def test_what_a_node_forks_says_nothing_in_its_workers_name(bench):
    """A forked child that prints does not repeat the facts that wait in the worker, nor end its conversation."""
    if not is_process(bench):
        return

    def forks(_a):
        pid = os.fork()
        if pid == 0:
            print("child", flush=True)
            os._exit(0)
        return os.waitpid(pid, 0)[1]

    bench.begin(node(lambda: 1, None, "a", name="before"), node(forks, "a", "b", name="forks"))
    job = {"last": [("a", "forks")], "local": ["a"]}
    assert [type(fact) for fact in bench.run(bench.workers[0], "before", "forks", **job)] == [Finished, Finished]
    assert [bench.fact(event).node for event in bench.seen if isinstance(bench.fact(event), Finished)] == [0, 1]
    assert bench.value("b") == 0


def test_what_cannot_leave_stays_where_it_is(bench):
    """An unpicklable value is kept by its worker, and the next job there takes it."""
    bench.begin(node(threading.Lock, None, "lock", name="make"), node(lambda lock: lock.acquire(), "lock", "b", name="take"))
    worker = bench.workers[-1]
    finished = bench.run(worker, "make")
    if is_process(bench):
        ((dataset, handle),) = finished.outputs
        assert dataset == bench.numbers["lock"]
        assert isinstance(handle, PinnedValue)
        assert handle.worker == worker
        assert "lock" in handle.reason
    bench.run(worker, "take", last=[("lock", "take")])
    assert bench.value("b") is True


def test_a_value_that_cannot_be_sent_needs_the_main_process(bench):
    """`put` says where a value can be had: only here, if it does not pickle and workers are elsewhere."""
    lock = threading.Lock()
    bench.begin(node(lambda lock: lock.locked(), "lock", "b", name="n"), lock=MemoryDataset(lock, copy_mode="assign"))
    placement = bench.put("lock", lock)
    assert placement.worker == (MAIN if is_process(bench) else None)
    assert placement.movable != is_process(bench)
    bench.run(MAIN if is_process(bench) else bench.workers[0], "n")
    assert bench.value("b") is False
    handle = bench.executor.detach(bench.numbers["lock"])
    assert handle == LocalValue(lock)


def test_the_main_worker_runs_here(bench):
    """Where workers are processes, MAIN is this one, and its values reach the others."""
    if not is_process(bench):
        assert MAIN not in bench.workers or bench.executor.label(MAIN) == "main"
        return
    here = []
    bench.begin(
        node(lambda: here.append(os.getpid()) or BIG, None, "a", name="main"), node(lambda a: a.sum(), "a", "b", name="take")
    )
    assert isinstance(bench.run(MAIN, "main"), Finished)
    bench.run(bench.workers[0], "take")
    assert here == [os.getpid()]
    assert bench.value("b") == BIG.sum()


def test_runs_follow_each_other(bench):
    """Ending a run forgets it; the next one has its own nodes and values under the same numbers."""
    for text in ("one", "two"):
        bench.begin(node(lambda text=text: text, None, "a", name="n"))
        bench.run(bench.workers[0], "n")
        assert bench.value("a") == text
        bench.end()


def test_a_run_that_is_given_up_does_not_disturb_the_next(bench, kind, gate):
    """What a job of an abandoned run still reports is not heard in the next run."""
    if kind == "serial":
        bench.begin(node(lambda: 1, None, "a", name="n"))
        bench.submit(MAIN, "n")
        bench.end()
    else:
        waiting, open_gate = gate
        bench.begin(node(waiting, None, "a", name="old"))
        bench.submit(bench.workers[0], "old")
        bench.until(Started)
        bench.end()
        open_gate()
    bench.begin(node(lambda: "new", None, "b", name="new"))
    finished = bench.run(bench.workers[0], "new")
    assert {type(bench.fact(event)) for event in bench.seen} <= {Started, Finished, JobsReturned}
    assert finished.node == 0
    assert bench.value("b") == "new"


def test_an_ended_run_leaves_no_files_open(bench):
    """Values that nobody took, of jobs that failed or never ran, are given back here and in the workers."""

    def open_files():
        gc.collect()
        here = len(list(Path("/proc/self/fd").iterdir()))
        return here, *(len(list(Path(f"/proc/{bench.pids[worker]}/fd").iterdir())) for worker in bench.workers)

    def fail():
        raise ValueError

    counts = []
    for _ in range(3):
        bench.begin(
            node(fail, None, "a", name="fails"),
            node(lambda a, r: 1, ["a", "r"], "b", name="never"),
            node(lambda: 1, None, "c", name="last"),
            r=0,
        )
        bench.put("r", BIG)
        bench.submit(bench.workers[0], "fails", "never", local=["a"])
        bench.until(Failed)
        bench.end()
        bench.begin(node(lambda: 1, None, "c", name="last"))
        for worker in bench.workers:
            bench.run(worker, "last")  # by its answer, what came before is done
        bench.end()
        counts.append(open_files())
    assert counts[1] == counts[2]


# --- the end -------------------------------------------------------------------------------------------------------------


def lasting(process):
    """Say whether a process is one that Python or loky keeps for the whole of this process's life."""
    try:
        words = " ".join(process.cmdline())
    except psutil.Error:
        return True  # it is gone
    return "resource_tracker" in words or "forkserver import main" in words


def left():
    """Look for what a closed executor must not leave: descriptors by their kind, threads, child processes, directories."""
    gc.collect()
    own = psutil.Process()
    open_files = [path.readlink() for path in Path("/proc/self/fd").iterdir() if path.is_symlink()]
    return (
        sorted(str(file).partition(":[")[0] for file in open_files),
        sorted(thread.name for thread in threading.enumerate()),
        sorted(child.pid for child in own.children(recursive=True) if not lasting(child)),
    )


@pytest.mark.parametrize("kill", [False, True])
def test_closing_leaves_nothing(kind, kill):
    """After close there is no descriptor, thread, process or directory more than before, and closing again is no error."""
    states, folders = [], []
    for _ in range(2):  # the first makes what Python keeps for good: a fork server, a resource tracker
        executor = make_executor(kind)
        bench = Bench(executor)
        bench.begin(node(lambda: BIG * 1, None, "a", name="n"), r=0)
        bench.run(bench.workers[-1], "n")
        if is_process(bench):
            folders.append(Path(executor.pool.spec.scratch))
            assert folders[-1].is_dir()
        pids = [bench.pids[worker] for worker in bench.workers]
        bench.end()
        executor.close(kill=kill)
        if kind != "threads":
            executor.close()
        elif kill:
            for worker in executor.pool._workers.values():
                worker.thread.join()
        states.append(left())
        assert not [pid for pid in pids if pid != os.getpid() and psutil.pid_exists(pid)]
    assert states[0] == states[1]
    assert not any(folder.exists() for folder in folders)


def test_closing_before_anything_began_leaves_nothing(kind):
    """An executor that was never used closes too."""
    make_executor(kind).close()
    before = left()
    make_executor(kind).close()
    assert left() == before


# --- what only processes do ----------------------------------------------------------------------------------------------


@pytest.fixture(params=METHODS)
def method(request):
    return request.param


def test_a_killed_worker_is_known_with_its_node(fresh, method):
    """A kill is an event with pid, signal, node and memory; the others go on, and another worker takes the place."""
    bench = fresh(method)
    bench.begin(
        node(lambda: os.kill(os.getpid(), signal.SIGKILL), None, "a", name="dies"),
        node(lambda: 1, None, "b", name="fine"),
    )
    bench.submit(2, "dies")
    down = bench.until(WorkerDown)
    assert down[:4] == (2, bench.pids[2], -signal.SIGKILL, bench.nodes["dies"])
    assert down.started is not None
    assert isinstance(bench.run(1, "fine"), Finished)
    bench.executor.restart(2)
    up = bench.until(WorkerUp)
    assert (up.worker, up.pid) != (2, down.pid)
    assert isinstance(bench.run(2, "fine"), Finished)


def test_a_worker_that_exits_tells_its_code(fresh, method):
    """A library that ends the process is seen with its exit code and the node that it was in, be it the second of a job."""
    bench = fresh(method)
    bench.begin(node(lambda: os._exit(5), None, "a", name="exits"), node(lambda: 1, None, "b", name="before"))
    bench.submit(1, "before", "exits")
    down = bench.until(WorkerDown)
    assert (down.exitcode, down.node) == (5, bench.nodes["exits"])


def test_an_idle_worker_that_is_killed_blames_nobody(fresh, method):
    """A worker that dies between jobs is an event without a node, in a run and between two."""
    bench = fresh(method)
    bench.begin(node(lambda: 1, None, "a", name="n"))
    bench.run(1, "n")
    os.kill(bench.pids[1], signal.SIGKILL)
    down = bench.until(WorkerDown)
    assert (down.worker, down.exitcode, down.node) == (1, -signal.SIGKILL, None)
    bench.end()
    os.kill(bench.pids[2], signal.SIGKILL)
    bench.executor.begin(RunBundle("again", bench.plan, Catalog(), None))
    ups = {}
    while len(ups) < 2 or 2 not in ups or ups[2] == bench.pids[2]:
        for event in bench.executor.wait():
            if isinstance(event, WorkerDown):
                assert event.node is None
                bench.executor.restart(event.worker)
                continue
            assert isinstance(event, WorkerUp), event
            if event.worker != MAIN:
                ups[event.worker] = event.pid
    assert isinstance(bench.run(2, "n"), Finished)


def test_a_set_up_that_raises_keeps_its_error(fresh, method, tmp_path):
    """Where a worker's set-up fails the event has the real error, and the next run starts a new worker."""
    folder = tmp_path / "later"
    bench = fresh(method, working_directory=str(folder))
    with pytest.raises(AssertionError, match="SetupFailed") as caught:
        bench.begin(node(lambda: 1, None, "a", name="n"))
    assert "FileNotFoundError" in str(caught.value)
    bench.executor.end()
    folder.mkdir()
    failures = 0
    bench.executor.begin(RunBundle("again", bench.plan, Catalog(), None))
    up = set()
    while up != {1, 2}:
        for event in bench.executor.wait():
            if isinstance(event, SetupFailed):  # the other worker, which had failed before the folder was there
                assert event.failure is not None
                assert event.failure.type_name == "FileNotFoundError"
                assert event.failure.phase == "setup"
                failures += 1
                bench.executor.restart(event.worker)
            elif event.worker != MAIN:
                up.add(event.worker)
    assert failures <= 1
    assert isinstance(bench.run(1, "n"), Finished)


def test_a_death_during_the_set_up_is_told(fresh, method, tmp_path):
    """A project that ends the process at import is an event with the exit code, not a wait."""
    package = tmp_path / f"ends_at_import_{method}"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "settings.py").write_text("import os\nos._exit(4)\n")
    bench = fresh(method, package_name=package.name, inherits=False, sys_path=(str(tmp_path), *sys.path))
    bench.plan = compile_plan(Pipeline([node(lambda: 1, None, "a", name="n")]), Catalog())
    bench.executor.begin(RunBundle("run", bench.plan, Catalog(), None))
    failed = bench.until(SetupFailed)
    assert failed.failure is None
    assert failed.exitcode == 4


def test_closing_ends_what_runs(fresh, method, gate):
    """A kill ends workers whatever they do; what they held is gone."""
    bench = fresh(method)
    bench.begin(node(gate[0], None, "a", name="hangs"))
    bench.submit(1, "hangs")
    bench.until(Started)
    pid = bench.pids[1]
    bench.executor.close(kill=True)
    assert not psutil.pid_exists(pid)
    assert not Path(bench.executor.pool.spec.scratch).exists()


def test_workers_are_what_the_spec_says(fresh, method, tmp_path, monkeypatch):
    """Environment, working directory and path of a worker are the spec's, whatever a fork server had before."""
    monkeypatch.setenv("TREADLE_TEST_CONTRACT", method)
    bench = fresh(method, working_directory=str(tmp_path))
    bench.begin(
        node(
            lambda: (os.environ["TREADLE_TEST_CONTRACT"], str(Path.cwd()), sys.path[0], multiprocessing.current_process().name),
            None,
            "a",
            name="n",
        )
    )
    bench.run(1, "n")
    variable, folder, first, _name = bench.value("a")
    assert (variable, folder, first) == (method, str(tmp_path), str(Path(sys.path[0]).absolute()))


def test_many_large_values_spill(fresh, monkeypatch):
    """Past a number of open memory files values go to scratch files, and come back from there."""
    from treadle.execution.executors.loky import store
    from treadle.execution.values import budget

    count = budget.OPEN_FILES + 20
    bench = fresh("fork")
    names = [f"d{number}" for number in range(count)]
    bench.begin(
        node(lambda *arrays: float(sum(array[0] for array in arrays)), names, "total", name="sum"), **dict.fromkeys(names, 0)
    )
    for number, name in enumerate(names):
        bench.put(name, np.full(10_000, float(number)))
    scratch = Path(bench.executor.pool.spec.scratch)
    assert len(list(scratch.glob("value-*"))) == pytest.approx(20, abs=1)
    bench.run(1, "sum")
    assert bench.value("total") == sum(range(count))
    handle = bench.executor.detach(bench.numbers[names[-1]])
    assert handle.path is None
    assert handle.load()[0] == count - 1
    handle.close()
    monkeypatch.setattr(store, "MANY_DESCRIPTORS", 0)
    handle = bench.executor.detach(bench.numbers[names[-2]])
    assert isinstance(handle, Inline)
    assert handle.load()[0] == count - 2
    bench.end()
    assert list(scratch.glob("value-*")) == []


def test_more_values_than_a_message_carries(fresh, monkeypatch):
    """A job that takes more memory files than one message can carry gets the others in messages before it."""
    from treadle.execution.executors.loky import pool as loky
    from treadle.execution.values import budget

    monkeypatch.setattr(budget, "OPEN_FILES", 10_000)
    monkeypatch.setattr(loky, "MAX_DESCRIPTORS", 5)
    bench = fresh("fork")
    names = [f"d{number}" for number in range(12)]
    bench.begin(
        node(lambda *arrays: float(sum(array[0] for array in arrays)), names, "total", name="sum"), **dict.fromkeys(names, 0)
    )
    for number, name in enumerate(names):
        bench.put(name, np.full(10_000, float(number)))
    bench.run(1, "sum")
    assert bench.value("total") == sum(range(12))


def test_a_value_is_sent_to_a_worker_once(fresh):
    """However many jobs that wait in a worker take the same value, the worker has one descriptor of it; then none."""

    def descriptors(_array):
        names = [str(path.readlink()) for path in Path("/proc/self/fd").iterdir() if path.is_symlink()]
        return sum("memfd:treadle" in name for name in names)

    bench = fresh("fork")
    count = 40
    bench.begin(
        *[node(descriptors, "array", f"open{number}", name=f"n{number}") for number in range(count)],
        node(lambda: descriptors(None), None, "after", name="after"),
        array=0,
    )
    bench.put("array", BIG)
    names = {bench.nodes[f"n{number}"]: f"n{number}" for number in range(count)}
    for name in names.values():
        bench.submit(1, name)
    finished = 0
    while finished < count:
        facts = [bench.fact(event) for event in bench.wait()]
        finished += sum(isinstance(fact, Finished) for fact in facts)
        for fact in facts:
            if isinstance(fact, JobsReturned):  # one before it took long
                bench.submit(1, names[fact.nodes[0]])
    # The descriptor, and the one that the value's map holds.
    assert {bench.value(f"open{number}") for number in range(count)} <= {1, 2}
    bench.release("array")
    bench.run(1, "after")
    assert bench.value("after") == 0


def test_what_cannot_be_transferred_is_answered(fresh):
    """A worker that is asked for a value which it does not have says so, and a job that needs the value fails there."""
    bench = fresh("fork")
    bench.begin(node(len, "lost", "length", name="takes"), node(lambda: 1, None, "one", name="other"), lost=0)
    lost = bench.numbers["lost"]
    for opened in (False, True):  # before the worker knows the run, and after
        bench.executor.store.keep(lost, RemoteValue(1, 1_000_000), 1)
        assert bench.transfer(lost, 1).handle == PinnedValue(1, "its worker no longer has it")
        if not opened:
            bench.run(1, "other")
    failed = bench.run(1, "takes")
    assert isinstance(failed, Failed)
    assert "'lost' is gone" in failed.failure.message


def test_the_fork_server_takes_signals(fresh):
    """What others have the fork server start can be terminated: it was not started with signals blocked."""
    resource_tracker.ensure_running()  # it would unblock them, when it is started
    if (server := forkserver._forkserver._forkserver_pid) is not None:
        os.kill(server, signal.SIGKILL)  # it would not end by itself: forked workers hold on to what it waits for
        forkserver._forkserver._stop()
    bench = fresh("forkserver")
    bench.begin(node(lambda: 1, None, "a", name="n"))
    process = multiprocessing.get_context("forkserver").Process(target=signal.pause)
    process.start()
    process.terminate()
    process.join(10)
    assert process.exitcode == -signal.SIGTERM


def test_a_wait_has_an_end(bench):
    """Where nothing happens, `wait` comes back empty when its time is over."""
    bench.begin(node(lambda: 1, None, "a", name="n"))
    for _ in range(20):  # what is left from the start comes first
        if not bench.executor.wait(0.02):
            break
    assert bench.executor.wait(0.02) == []
    assert isinstance(bench.run(bench.workers[0], "n"), Finished)


def test_a_worker_is_ended_in_the_middle_of_a_node(fresh, kind, gate):
    """An executor that can end a node says for how long it has run, ends and reports its worker, and the next worker works."""
    bench = fresh(kind)
    if not bench.executor.capabilities.can_kill:
        assert not is_process(bench)
        return
    waiting, _open_gate = gate
    bench.begin(node(waiting, None, "a", name="waits"), node(lambda: 2, None, "b", name="n"))
    bench.submit(1, "waits")
    started = bench.until(Started)
    ((worker, running),) = bench.executor.running().items()
    assert (worker, running[:2], running.at) == (1, started[:2], pytest.approx(started.at))
    assert 0 < running.since <= time.monotonic()
    bench.executor.kill(1)
    down = bench.until(WorkerDown)
    assert (down.worker, down.exitcode, down.node) == (1, -signal.SIGKILL, bench.nodes["waits"])
    bench.executor.restart(1)
    bench.until(WorkerUp)
    assert isinstance(bench.run(1, "n"), Finished)
