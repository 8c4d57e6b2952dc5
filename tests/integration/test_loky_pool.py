"""Behaviour specific to loky's worker processes: set-up, spilled values, descriptors, the forkserver."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from functools import partial
from multiprocessing import forkserver, resource_tracker
from pathlib import Path

import numpy as np
import psutil
import pytest

from treadle import Catalog, ParallelRunner, Pipeline, node
from treadle.errors import RunnerError
from treadle.execution.executors.events import SetupFailed
from treadle.execution.executors.loky import slot, wirings
from treadle.execution.executors.loky.pool import loky_executor
from treadle.execution.packing.worker_spec import fingerprint, make_worker_spec
from treadle.execution.processes.channel import Channel
from treadle.execution.processes.start_method import StartMethod, available_start_methods
from treadle.execution.protocol.handles import Inline, PinnedValue, RemoteValue
from treadle.execution.protocol.messages import MAIN, BeginRun, Failed, Finished, Job, JobsReturned
from treadle.execution.protocol.project import ProjectSpec
from treadle.project.logging import snapshot_levels
from treadle.testing import Bench

WORKERS = 2
METHODS = [method.value for method in available_start_methods()]
BIG = np.arange(100_000.0)


def make_executor(method, **changes):
    """Make an executor; `changes` are applied to the spec of its workers."""
    method = StartMethod(method)

    def spec(scratch):
        return make_worker_spec(method, WORKERS, scratch, fingerprint([]))._replace(**changes)

    return loky_executor(WORKERS, method, spec)


@pytest.fixture
def fresh():
    """Make benches with new executors, closed after the test."""
    made = []

    def make(method, **changes):
        made.append(make_executor(method, **changes))
        return Bench(made[-1], WORKERS)

    yield make
    for executor in made:
        executor.close(kill=True)


@pytest.fixture(params=METHODS)
def method(request):
    return request.param


@pytest.mark.parametrize("kill", [False, True])
def test_closing_removes_the_scratch_directory(fresh, method, kill):
    """The pool's directory is removed with the pool, whether its workers are stopped or killed."""
    bench = fresh(method)
    bench.begin(node(lambda: BIG * 1, None, "a", name="n"))
    bench.run(1, "n")
    folder = Path(bench.executor.pool.spec.scratch)
    assert folder.is_dir()
    bench.end()
    bench.executor.close(kill=kill)
    assert not folder.exists()


def test_a_set_up_that_raises_keeps_its_error(fresh, method, tmp_path):
    """If a worker's set-up fails, the event has the actual error, and the next run starts a new worker."""
    folder = tmp_path / "later"
    bench = fresh(method, working_directory=str(folder))
    with pytest.raises(AssertionError, match="SetupFailed") as caught:
        bench.begin(node(lambda: 1, None, "a", name="n"))
    assert "FileNotFoundError" in str(caught.value)
    bench.executor.end()
    folder.mkdir()
    failures = 0
    bench.begin_again()
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


def test_a_death_during_the_set_up_is_reported(fresh, method, tmp_path):
    """If a project ends the process at import, an event reports the exit code."""
    package = tmp_path / f"ends_at_import_{method}"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "settings.py").write_text("import os\nos._exit(4)\n")
    project = ProjectSpec(package.name, (str(tmp_path), *sys.path), snapshot_levels())
    bench = fresh(method, inherits=False, project=project)
    bench.begin_only(node(lambda: 1, None, "a", name="n"))
    failed = bench.until(SetupFailed)
    assert failed.failure is None
    assert failed.exitcode == 4


def test_a_worker_that_has_run_no_node_is_killed_at_once(fresh, method, monkeypatch):
    """Closing a pool whose workers are still being set up ends them, without a search for children that they cannot have."""
    monkeypatch.setattr(slot, "end_tree", lambda *_: pytest.fail("searched for children"))
    bench = fresh(method)
    bench.begin_only(node(lambda: 1, None, "a", name="n"))
    workers = [psutil.Process(each.pid) for each in bench.executor.pool._slots.values()]
    assert len(workers) == WORKERS
    bench.executor.close()
    assert not any(worker.is_running() for worker in workers)


def test_what_a_project_starts_at_import_ends_with_a_worker_that_never_was_ready(fresh, method, tmp_path):
    """A program that settings.py has started is killed with the worker, while the import of the project still goes on."""
    os.mkfifo(tmp_path / "fifo")
    package = tmp_path / f"starts_a_program_{method}"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "settings.py").write_text(
        "import subprocess, time\n"
        "program = subprocess.Popen(['sleep', '1000'])\n"
        f"with open({str(tmp_path / 'fifo')!r}, 'w') as file:\n"
        "    file.write(f'{program.pid}\\n')\n"
        "time.sleep(1000)\n"
    )
    project = ProjectSpec(package.name, (str(tmp_path), *sys.path), snapshot_levels())
    bench = fresh(method, inherits=False, project=project)
    bench.begin_only(node(lambda: 1, None, "a", name="n"))
    with (tmp_path / "fifo").open() as file:
        program = psutil.Process(int(file.readline()))
    bench.executor.close()
    assert not program.is_running() or program.status() == psutil.STATUS_ZOMBIE


def test_workers_are_what_the_spec_says(fresh, method, tmp_path, monkeypatch):
    """A worker has the spec's environment, working directory and path, whatever the forkserver had before."""
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


def test_a_later_change_of_the_environment_does_not_reach_workers(fresh, method, monkeypatch):
    """All workers of a pool have its environment, also those that are forked from a process whose own has changed since."""
    monkeypatch.setenv("TREADLE_TEST_CHANGED", "before")
    monkeypatch.setenv("TREADLE_TEST_REMOVED", "before")
    monkeypatch.delenv("TREADLE_TEST_ADDED", raising=False)
    bench = fresh(method)
    monkeypatch.setenv("TREADLE_TEST_CHANGED", "after")
    monkeypatch.setenv("TREADLE_TEST_ADDED", "after")
    monkeypatch.delenv("TREADLE_TEST_REMOVED")
    names = [f"TREADLE_TEST_{what}" for what in ("CHANGED", "REMOVED", "ADDED")]
    bench.begin(node(lambda: [os.environ.get(name) for name in names], None, "a", name="n"))
    bench.run(1, "n")
    assert bench.value("a") == ["before", "before", None]


def test_many_large_values_spill(fresh, monkeypatch):
    """Past the limit of open memory files, values go to scratch files and are loaded from there."""
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
    _value, handle = bench.detach(names[-1])
    assert handle.path is None
    assert handle.load()[0] == count - 1
    handle.close()
    monkeypatch.setattr(store, "DESCRIPTOR_LIMIT", 0)
    _value, handle = bench.detach(names[-2])
    assert isinstance(handle, Inline)
    assert handle.load()[0] == count - 2
    bench.end()
    assert list(scratch.glob("value-*")) == []


def test_more_values_than_a_message_carries(fresh, monkeypatch):
    """If a job has more memory files than a message can carry, the others are sent in messages before it."""
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
    """However many queued jobs use a value, the worker gets one descriptor of it, and releases it after them."""

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


def test_a_failed_node_does_not_end_a_job_of_independent_nodes(fresh):
    """The nodes behind it run: if each failure returned them, a run of many failing nodes would take a multiple of its time."""

    def fail():
        raise ValueError

    bench = fresh("fork")
    names = [f"n{number}" for number in range(40)]
    bench.begin(*[node(fail, None, f"x{number}", name=name) for number, name in enumerate(names)])
    bench.submit(1, *names, independent=True)
    ended = 0
    while ended < len(names):
        for fact in [bench.fact(event) for event in bench.wait()]:
            if isinstance(fact, Failed):
                assert fact.dropped == ()
                ended += 1
            elif isinstance(fact, JobsReturned):  # one before them took long
                ended += len(fact.nodes)


def test_what_cannot_be_transferred_is_answered(fresh):
    """A worker reports that it does not have a requested value, and a job there that needs the value fails."""
    bench = fresh("fork")
    bench.begin(node(len, "lost", "length", name="takes"), node(lambda: 1, None, "one", name="other"), lost=0)
    lost = bench.numbers["lost"]
    for opened in (False, True):  # before the worker knows the run, and after
        bench.executor.store.keep([(lost, RemoteValue(1, 1_000_000))], 1)
        assert bench.transfer(lost, 1).handle == PinnedValue(1, "its worker no longer has it")
        if not opened:
            bench.run(1, "other")
    failed = bench.run(1, "takes")
    assert isinstance(failed, Failed)
    assert "'lost' is not in this worker" in failed.failure.message


def test_the_fork_server_takes_signals(fresh):
    """Processes that other code starts with the forkserver can be terminated: they do not inherit blocked signals."""
    resource_tracker.ensure_running()  # it would unblock them, when it is started
    if (server := forkserver._forkserver._forkserver_pid) is not None:
        os.kill(server, signal.SIGKILL)  # it would not end by itself: forked workers hold on to what it waits for
        forkserver._forkserver._stop()
    bench = fresh("forkserver")
    bench.begin(node(lambda: 1, None, "a", name="n"))
    process = multiprocessing.get_context("forkserver").Process(target=signal.pause)
    process.start()
    process.terminate()
    process.join(60)
    assert process.exitcode == -signal.SIGTERM


@pytest.mark.parametrize(("kept_bytes", "sent_again"), [(10_000, False), (0, True)])
def test_the_wiring_of_a_pipeline_is_sent_to_each_worker_once(monkeypatch, fresh, kept_bytes, sent_again):
    """The wiring is most of a large run's message, and workers keep those of several pipelines; each run has its own results.

    Those that are too large together are dropped, and sent again. A run is not sent to a worker that gets no job.
    """
    monkeypatch.setattr(wirings, "KEPT_BYTES", kept_bytes)
    bench = fresh(METHODS[0])
    sent = []
    send = bench.executor.pool._slot_pool.send

    def record(slot, messages, descriptors=()):
        sent.extend((slot.number, message.wiring is not None) for message in messages if isinstance(message, BeginRun))
        send(slot, messages, descriptors)

    bench.executor.pool._slot_pool.send = record
    for worker, output, value in [(1, "b", -1), (1, "b", -2), (1, "c", -3), (1, "b", -4), (2, "b", -5)]:
        bench.begin(node(abs, "a", output, name="n"), a=value)
        bench.put("a", value)
        assert bench.run(worker, "n").outputs[0][1].load() == -value
        bench.end()
    assert sent == [(1, True), (1, False), (1, True), (1, sent_again), (2, True)]


def end_forkserver(_fd):
    """Kill the forkserver while it starts a process, and read what it has sent."""
    os.kill(forkserver._forkserver._forkserver_pid, signal.SIGKILL)
    os.waitid(os.P_PID, forkserver._forkserver._forkserver_pid, os.WEXITED | os.WNOWAIT)
    raise EOFError


@pytest.mark.parametrize("times", [1, 10])
def test_a_forkserver_that_is_killed_while_workers_start(monkeypatch, times):
    """Another one is started if the run has not begun; otherwise the error says what has happened."""
    read, left = forkserver.read_signed, [None] * times
    monkeypatch.setattr(forkserver, "read_signed", lambda fd: end_forkserver(left.pop()) if left else read(fd))
    run = partial(ParallelRunner(1, start_method="forkserver").run, Pipeline([node(lambda: 1, None, "one")]), Catalog())
    if times == 1:
        assert run()["one"] == 1
    else:
        with pytest.raises(RunnerError, match="worker-1 cannot be started, because the forkserver"):
            run()


def test_a_warm_worker_receives_a_run_together_with_its_first_job(fresh, method, monkeypatch):
    """So it is woken once at the start of a run."""
    bench = fresh(method)
    bench.begin(node(lambda: 1, None, "a", name="n"))  # waits until both workers are ready
    bench.end()
    frames = []
    make_frame = Channel._make_frame

    def make_noted_frame(channel):
        frames.append([type(message) for message, _count in channel._posted])
        make_frame(channel)

    monkeypatch.setattr(Channel, "_make_frame", make_noted_frame)
    bench.begin(node(lambda: 1, None, "a", name="n"))
    bench.run(1, "n")
    assert [BeginRun, Job] in frames
