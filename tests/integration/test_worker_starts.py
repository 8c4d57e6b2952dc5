"""The start of worker processes: how many, what they import before their first node, and where the time went."""

from __future__ import annotations

import ast
import gc
import re
import signal
import subprocess
import sys

import pytest

from treadle import Catalog, Pipeline, node

PROBE = """
import os, sys

def modules():
    return sorted(sys.modules)

def same(value):
    return value

def meet(fifo, mine):
    with open(fifo, "w" if mine else "r"):  # returns when the other node is at this point, too
        return os.getpid()
"""

SCRIPT = """
import logging, os, sys
from functools import partial
from probe import meet, modules, same
from treadle import Catalog, ParallelRunner, Pipeline, node

CHAIN = Pipeline([node(modules, None, "a"), node(same, "a", "b", name="second"), node(same, "b", "c", name="third")])
imported = []
starts = []

def watch(event):
    if type(event).__name__ == "WorkerStarted" and event.worker != "main":
        starts[-1].append((event.worker, event.at, event.start and tuple(event.start)))

with ParallelRunner(4, start_method=sys.argv[1]) as runner:
    starts.append([])
    in_worker = runner.run(CHAIN, Catalog(), observers=[watch])["c"]
    print("IN_PARENT", modules())
    print("IN_WORKER", in_worker)
    os.mkfifo("fifo")
    two = Pipeline([node(meet, ["fifo", name], f"{name} done", name=name) for name in ("mine", "yours")])
    catalog = Catalog({"fifo": "fifo", "mine": True, "yours": False})
    logging.basicConfig(level=logging.DEBUG, stream=sys.stdout, format="%(name)s %(message)s")
    starts.append([])
    result = runner.run(two, catalog, observers=[watch])
    print("TOGETHER", len({result["mine done"], result["yours done"]}))
print("STARTS", starts)
"""

UNUSED = {
    "asyncio",
    "cloudpickle",
    "concurrent",
    "dataclasses",
    "datetime",
    "email",
    "hashlib",
    "inspect",
    "loky",
    "pathlib",
    "pluggy",
    "psutil",
    "urllib",
    "uuid",
    "xxhash",
}
"""Libraries that neither process needs for nodes that only pass on values, whose functions can be imported."""
FOR_TEMPORARY_FILES = {"fnmatch", "random", "shutil", "tempfile"}
"""Libraries that the parent does not need either; multiprocessing does for a forkserver."""
UNUSED_BY_WORKERS = {*UNUSED, *FOR_TEMPORARY_FILES, "ast", "json", "secrets"}
"""Libraries that a worker does not need either, if it inherits no modules."""
PARTS_OF_THE_PARENT = tuple(
    f"treadle.{name}"
    for name in (
        "cli",
        "config",
        "events",
        "execution.executors",
        "execution.loop",
        "execution.packing",
        "execution.runners",
        "execution.scheduling",
        "fingerprint",
        "io.catalog",
        "observe",
        "pipeline.pipeline_class",
        "planning",
        "project.configure",
        "session",
    )
)


@pytest.fixture
def printed(launch, start_method, tmp_path):
    """Run the script under a start method; return what it printed by its first word."""
    (tmp_path / "probe.py").write_text(PROBE)
    (tmp_path / "script.py").write_text(SCRIPT)
    # Measuring coverage would import some of these libraries.
    words = ["env", "-u", "COVERAGE_PROCESS_START", "-u", "COVERAGE_PROCESS_CONFIG", sys.executable, "script.py", start_method]
    launched = launch(words, tmp_path)
    assert launched.wait() == 0, launched.output
    return dict(line.partition(" ")[::2] for line in launched.output.splitlines())


def test_the_start_of_workers(printed, start_method):
    """A run starts as many workers as it can use, a process imports what it needs, and each start is reported once."""
    first, second = ast.literal_eval(printed["STARTS"])
    assert [worker for worker, _at, _start in first] == ["worker-1"]  # the nodes are a chain
    assert [worker for worker, _at, start in second if start is None] == ["worker-1"]
    assert [worker for worker, _at, start in second if start is not None] == ["worker-2"]
    assert printed["TOGETHER"] == "2"
    for _worker, at, (launched, *parts) in [first[0], *(each for each in second if each[2] is not None)]:
        assert launched < at
        assert all(seconds >= 0 for seconds in parts)
        assert launched + sum(parts) <= at + 0.1  # clocks
    line = printed["treadle.execution.loop.worker_starts"]
    assert re.fullmatch(
        r"1 worker was ready after \d+\.\d\d s(: \d+\.\d\d s [a-zA-Z -]+(, \d+\.\d\d s [a-zA-Z -]+)*)?\.", line
    ), line

    in_parent, in_worker = (ast.literal_eval(printed[name]) for name in ("IN_PARENT", "IN_WORKER"))
    if start_method == "loky":  # which imports its executor, and what that needs
        assert not _parts(in_worker)
        return
    needed = _imported_by_python()
    unused = UNUSED if start_method == "forkserver" else UNUSED | FOR_TEMPORARY_FILES
    assert sorted((unused & _roots(in_parent)) - needed) == []
    assert sorted(((UNUSED_BY_WORKERS if start_method == "spawn" else UNUSED) & _roots(in_worker)) - needed) == []
    if start_method != "fork":
        assert not _parts(in_worker)


STANDARD = """
import contextlib, multiprocessing.resource_tracker, sys, traceback
contextlib.ExitStack().enter_context(contextlib.nullcontext())
print(*sys.modules)
"""


def _imported_by_python():
    """Return what Python itself imports for this: from Python 3.14 on dataclasses and json, from 3.15 on inspect."""
    command = [sys.executable, "-S", "-c", STANDARD]
    return _roots(subprocess.run(command, capture_output=True, text=True, check=True, env={}).stdout.split())


def _roots(modules):
    return {name.partition(".")[0] for name in modules}


def _parts(modules):
    """Return the modules that only the parent needs."""
    return [name for name in modules if f"{name}.".startswith(tuple(f"{part}." for part in PARTS_OF_THE_PARENT))]


EARLY = """
import os, sys
import psutil
from probe import has_numpy
from treadle import Catalog, ParallelRunner, Pipeline, node
from treadle.execution.runners import parallel

parallel.usable_cores = lambda: 3  # this process needs one of them
pipeline = Pipeline([node(has_numpy, None, "has")])
runner = ParallelRunner(4, start_method=sys.argv[1])

def workers():
    own = " ".join(psutil.Process().cmdline())
    words = {0: own}
    while own in words.values() or "" in words.values():  # a child that was just forked has not started its program yet
        words = {child.pid: " ".join(child.cmdline()) for child in psutil.Process().children()}
    return {pid for pid, each in words.items() if "spawn_main" in each or "popen_loky" in each}

def run():
    return runner.run(pipeline, Catalog())["has"]

with runner.start_early(["probe_nodes.py"]):
    early = workers()
    assert len(early) == 2
    pid, has_numpy = run()
    assert pid in early and has_numpy
assert not workers()
with runner.start_early(["probe_nodes.py"]):
    early = workers()
    os.environ["LATER"] = "1"  # they were started with another environment
    assert run()[0] not in early
assert not workers()
with runner.start_early([]):
    assert len(workers()) == 2
assert not workers()  # no run has used them
with runner:
    run()
    warm = workers()
    with runner.start_early([]):
        assert workers() == warm
print("well")
"""


@pytest.mark.parametrize("method", ["spawn", "loky"])
def test_workers_that_are_started_early(launch, leftovers, tmp_path, method):
    """A run uses them if nothing has changed, others otherwise; they have the libraries of the project's source files."""
    (tmp_path / "probe.py").write_text("import os, sys\ndef has_numpy():\n    return os.getpid(), 'numpy' in sys.modules\n")
    (tmp_path / "probe_nodes.py").write_text("import numpy\nfrom numpy import linalg, no_such_thing\n")
    (tmp_path / "script.py").write_text(EARLY)
    launched = launch([sys.executable, "script.py", method], tmp_path)
    assert launched.wait() == 0, launched.output
    assert "well" in launched.output
    leftovers.check()


KILLED = """
import os, signal
from treadle.execution.executors.loky.preload import start_early
assert start_early([])
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_process_that_is_killed_when_it_has_only_a_forkserver(launch, leftovers, tmp_path):
    """The server, which is started before there is a pool, removes the directory with its socket when it exits."""
    launched = launch(KILLED, tmp_path)
    assert launched.wait() == -signal.SIGKILL, launched.output
    leftovers.check()


def test_nodes_run_with_garbage_collection(parallel_runner):
    """It is paused only while the process, or the forkserver, imports modules."""
    result = parallel_runner.run(
        Pipeline([node(gc.isenabled, None, "is on"), node(gc.get_threshold, None, "thresholds")]), Catalog()
    )
    assert result["is on"]
    assert result["thresholds"] == gc.get_threshold()
