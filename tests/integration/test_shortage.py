"""A system without free disk space, threads, processes or open files, or with a removed scratch directory."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from treadle import Catalog, NodePolicy, ParallelRunner, Pipeline, ThreadRunner, node
from treadle.errors import DatasetError, NodeError, RunnerError
from treadle.events import Outcome, RunFinished
from treadle.execution.executors.loky import slots
from treadle.execution.loop import worker_starts
from treadle.execution.processes.scratch import sweep
from treadle.observe.store import SQLStore

ONE = Pipeline([node(len, "text", "length", name="one")])


@pytest.fixture
def short():
    """A directory with a short path, because pools go elsewhere if TMPDIR is too long for sockets."""
    with tempfile.TemporaryDirectory(prefix="t-", dir="/tmp") as folder:
        yield Path(folder)


@pytest.fixture
def small(short):
    """A file system of 32 pages."""
    folder = short / "small"
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=128k,mode=700", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(words, capture_output=True, check=False).returncode:
        pytest.skip("this process may not mount a file system")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


FULL = """
import os, sys, tempfile
from treadle import Catalog, NodePolicy, ParallelRunner, Pipeline, node
from treadle.errors import RunnerError

method, small = sys.argv[1:]
pipeline = Pipeline([node(len, "text", "length")])
for free in (0, 1, 2):
    with open(f"{small}/filler", "wb") as filler:
        filler.write(bytes((32 - free) * 4096))
    tempfile.tempdir = small
    try:
        ParallelRunner(2, method).run(pipeline, Catalog({"text": "abc"}))
    except RunnerError as error:
        print(free, error.name, error)
    else:
        print(free, "enough")
os.unlink(f"{small}/filler")
print(ParallelRunner(2, method).run(pipeline, Catalog({"text": "abc"}))["length"])
"""


def test_a_full_temporary_directory(launch, small, tmp_path, start_method):
    """It is one clear error and no fatal signal; nothing is left, and with some free space the run works."""
    script = tmp_path / "full.py"
    script.write_text(FULL)
    launched = launch([sys.executable, str(script), start_method, str(small)], tmp_path)
    code = launched.wait()
    assert code == 0, launched.output
    *lines, last = [line for line in launched.output.splitlines() if line[:1] in "0123"]
    assert last == "3"
    assert len(lines) == 3
    for free, line in enumerate(lines):
        assert line.startswith(f"{free} TMPDIR There is no space left for the files that the workers need"), lines
        assert f"{small} has " in line
    assert list(small.iterdir()) == []


SMALL_FILES = """
import resource
from treadle import Catalog, ParallelRunner, Pipeline, node
from treadle.errors import RunnerError

resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
pipeline = Pipeline([node(len, "text", "length")])
try:
    ParallelRunner(2, {method!r}).run(pipeline, Catalog({{"text": "abc"}}))
except RunnerError as error:
    print(error.name, error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(ParallelRunner(2, {method!r}).run(pipeline, Catalog({{"text": "abc"}}))["length"])
"""


def test_a_limit_of_the_size_of_files(launch, tmp_path, start_method, leftovers):
    """It is one clear error, too, in which the limit is named."""
    launched = launch(SMALL_FILES.format(method=start_method), tmp_path)
    assert launched.wait() == 0, launched.output
    first, last = launched.output.splitlines()
    assert first.startswith("RLIMIT_FSIZE The files that the workers need are larger than this process may write (its limit is 1")
    assert "ulimit -f" in first
    assert last == "3"
    leftovers.check()


LEAKING = """
import os, resource, sys

OPEN = []

def leak(command):
    if command:
        import subprocess
        subprocess.Popen(command)
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    while True:
        OPEN.append(os.open(os.devnull, os.O_RDONLY))
"""

LEAKING_PROJECT = {
    "pyproject.toml": '[tool.treadle]\npackage_name = "leaking"\n',
    "src/leaking/__init__.py": "",
    "src/leaking/nodes.py": LEAKING,
    "src/leaking/pipeline_registry.py": """
from leaking.nodes import leak
from treadle import Pipeline, node

def register_pipelines():
    nodes = [node(list, "params:command", "kept", name="before"), node(leak, "kept", "none", name="leak")]
    return {"__default__": Pipeline(nodes)}
""",
    "conf/base/catalog.yml": "kept: {type: json.JSONDataset, filepath: data/kept.json}",
    "conf/base/parameters.yml": "command: []",
}


@pytest.fixture
def leaking(tmp_path):
    """A project with a node that opens all files that its process may open, and leaves them open."""
    for name, text in LEAKING_PROJECT.items():
        file = tmp_path / "leaking" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return tmp_path / "leaking"


@pytest.mark.parametrize("runner", ["sequential", "thread"])
def test_a_node_of_the_main_process_that_leaves_no_file_to_open(leaking, treadle, leftovers, runner):
    """The run ends as any failed run: one error, the command that resumes it, a record, from which the next one resumes."""
    launched = treadle(leaking, "run", "--runner", runner)
    assert launched.wait() == 1, launched.output
    assert launched.output.count("Traceback") == 1, launched.output
    assert "Error: Node 'leak' failed" in launched.output
    assert launched.output.splitlines()[-1].startswith("  treadle run --resume=")
    with closing(SQLStore(project_path=leaking)) as store:
        (run,) = store.load(store.list()[0].session_id).runs
    assert [(each.node, each.outcome) for each in run.nodes] == [("before", Outcome.SUCCEEDED), ("leak", Outcome.FAILED)]
    resumed = treadle(leaking, "run", "--resume")
    assert resumed.wait() == 1, resumed.output
    assert "'before'" not in resumed.output
    assert "Error: Node 'leak' failed" in resumed.output
    leftovers.check()


def test_a_worker_that_leaves_no_file_to_open(leaking, treadle, leftovers, start_method):
    """It ends the program that a node left running, and prints nothing."""
    (leaking / "conf" / "base" / "parameters.yml").write_text('command: [sleep, "1000"]')
    launched = treadle(leaking, "run", "--runner", "parallel", "--runner-params", f"start_method={start_method}")
    assert launched.wait() == 1, launched.output
    assert "Process" not in launched.output, launched.output
    assert "Error: Node 'leak' failed on worker-1" in launched.output
    leftovers.check()


def refuse_threads(monkeypatch):
    """Let this process start no more threads; processes that it starts may."""
    parent, start = os.getpid(), threading.Thread.start

    def refuse(thread):
        if os.getpid() == parent:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)


def test_no_more_threads(monkeypatch):
    """The error says so and what to do; nothing hangs, and the next run works."""
    before = {thread.name for thread in threading.enumerate()}
    with ThreadRunner(2) as runner:
        with monkeypatch.context() as patched:
            refuse_threads(patched)
            with pytest.raises(RunnerError, match=r"does not let this process start more threads.*ulimit -u"):
                runner.run(ONE, Catalog({"text": "abc"}))
        assert runner.run(ONE, Catalog({"text": "abc"}))["length"] == 3
    left = {thread.name for thread in threading.enumerate() if thread.name.startswith(("treadle", "thread-"))}
    assert left <= before


def test_worker_processes_need_no_thread_of_the_parent(start_method, monkeypatch):
    """Neither to start, nor to run nodes, nor to stop."""
    refuse_threads(monkeypatch)
    with ParallelRunner(2, start_method) as runner:
        assert runner.run(ONE, Catalog({"text": "abc"}))["length"] == 3


def test_no_more_processes(start_method, monkeypatch):
    """Like the limit of a container (root is exempt from `ulimit -u`, so the test raises the error itself)."""

    def refuse(*_arguments, **_keywords):
        raise BlockingIOError(11, "Resource temporarily unavailable")

    with ParallelRunner(1, start_method) as runner, monkeypatch.context() as patched:
        patched.setattr("multiprocessing.process.BaseProcess.start", refuse)
        with pytest.raises(RunnerError, match="start more processes: Resource temporarily unavailable"):
            runner.run(ONE, Catalog({"text": "abc"}))


@pytest.mark.parametrize(("held", "left"), [(0, 50), (200, 50), (0, 44)])
def test_many_large_values_and_few_open_files(held, left):
    """Values go to files if memory files would take many of the descriptors that are left."""
    files = [os.open(os.devnull, os.O_RDONLY) for _ in range(held)]
    names = [f"n{number}" for number in range(80)]
    nodes = [node(lambda number=number: np.full(20_000, number), None, f"n{number}") for number in range(len(names))]
    nodes.append(node(lambda *arrays: sum(array[0] for array in arrays), names, "total"))
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    open_now = max(int(link.name) for link in Path("/proc/self/fd").iterdir())
    resource.setrlimit(resource.RLIMIT_NOFILE, (open_now + left, limits[1]))
    try:
        assert ParallelRunner(2, "fork").run(Pipeline(nodes), Catalog())["total"] == sum(range(80))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for file in files:
            os.close(file)


@pytest.mark.parametrize("needed", ["", "by a node", "as a result"])
def test_the_scratch_directory_is_removed_in_the_middle_of_a_run(short, monkeypatch, start_method, needed):
    """If a value in it is still needed, the run fails with a clear error; otherwise the run succeeds."""
    monkeypatch.setattr(tempfile, "tempdir", str(short))

    def make():
        return np.zeros(100_000), 1

    def clean(_made):
        for folder in short.glob("treadle-*"):
            shutil.rmtree(folder)
        return "cleaned"

    nodes = [
        node(make, None, ["large", "made"], name="make"),
        node(len, "large", "length", name="length"),
        node(clean, ["made"] if needed == "as a result" else ["length"], "cleaned", name="clean"),
    ]
    if needed == "as a result":
        del nodes[1]
    elif needed:
        nodes.append(node(lambda large, _cleaned: large.sum(), ["large", "cleaned"], "again", name="late"))
    events = []
    runner = ParallelRunner(1, start_method, exchange_memory=0)
    if needed:
        with pytest.raises((NodeError, DatasetError), match=r"removed during the run.*or point TMPDIR"):
            runner.run(Pipeline(nodes), Catalog(), observers=(events.append,))
    else:
        assert runner.run(Pipeline(nodes), Catalog(), observers=(events.append,))["cleaned"] == "cleaned"
    (ended,) = [event.outcome for event in events if isinstance(event, RunFinished)]
    assert ended is (Outcome.FAILED if needed else Outcome.SUCCEEDED)
    assert list(short.glob("treadle-*")) == []


def test_a_worker_is_replaced_after_the_scratch_directory_was_removed(short, monkeypatch, start_method):
    """No new worker can connect: one clear error, and nothing is left."""
    monkeypatch.setattr(tempfile, "tempdir", str(short))

    def clean_and_end():
        for folder in short.glob("treadle-*"):
            shutil.rmtree(folder)
        os._exit(3)

    with pytest.raises(RunnerError, match=r"cannot be started, because the directory .* was removed"):
        ParallelRunner(1, start_method).run(Pipeline([node(clean_and_end, None, "x", policy=NodePolicy(retries=1))]), Catalog())
    assert list(short.glob("treadle-*")) == []


def test_the_scratch_directory_is_removed_before_the_workers_have_opened_it(short, monkeypatch, capfd, start_method):
    """They end without a word, and the error is the same."""
    monkeypatch.setattr(tempfile, "tempdir", str(short))
    prepare = slots.prepare_starts

    def clean_and_prepare(method):
        for folder in short.glob("treadle-*"):
            shutil.rmtree(folder)
        prepare(method)

    monkeypatch.setattr(slots, "prepare_starts", clean_and_prepare)
    with pytest.raises(RunnerError, match=r"cannot be started, because the directory .* was removed"):
        ParallelRunner(2, start_method).run(ONE, Catalog({"text": "abc"}))
    assert capfd.readouterr().err == ""
    if start_method == "forkserver":  # it may be started here, and has a directory for its socket as long as it runs
        assert sweep(str(short)) == []
    else:
        assert list(short.glob("treadle-*")) == []


def test_what_is_logged_about_the_workers_is_not_worth_the_run(monkeypatch):
    """At the limit of open files, the module that does it may not be read."""

    def fail(_starts):
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(worker_starts, "log_worker_starts", fail)
    assert ParallelRunner(1, "fork").run(ONE, Catalog({"text": "abc"}))["length"] == 3
