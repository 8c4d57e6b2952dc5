"""Workers are forked without being asked to, as long as that is safe: what the log and the record say, and what ends it."""

from __future__ import annotations

import contextlib
import subprocess
import sys

import pytest

from treadle.execution.processes.start_method import ENVIRONMENT_VARIABLE
from treadle.observe.store import SQLStore

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no process is forked unless the user asks for it")

NODES = """
import os, random
import numpy as np

def meet(fifo, mine):
    with open(fifo, "w" if mine else "r"):  # returns when the other node is at this point, too
        return os.getpid(), [random.random(), float(np.random.random())]

def alone():
    return os.getpid()

def large():
    return np.ones(100_000)
"""

SCRIPT = """
import os, socket, sys
import steps
from treadle import Catalog, ParallelRunner, Pipeline, node

os.mkfifo("fifo")
ONE = Pipeline([node(steps.alone, None, "pid")])
TWO = Pipeline([node(steps.meet, ["fifo", name], f"{name} done", name=name) for name in ("mine", "yours")])

def run(runner, pipeline):
    return dict(runner.run(pipeline, Catalog({"fifo": "fifo", "mine": True, "yours": False})))

def how(runner):
    print(runner.start_method, runner.start_method_reason, sep="|")
"""

TWO_POOLS = """
with ParallelRunner(1) as first, ParallelRunner(1) as second:
    for runner in (first, second):
        run(runner, ONE)
        how(runner)
"""

TOGETHER = """
(_, mine), (_, yours) = run(runner := ParallelRunner(2), TWO).values()
print(set(mine) & set(yours))
how(runner)
"""

KEPT_RESULTS = """
make = Pipeline([node(steps.large, None, f"array {each}", name=f"n{each}") for each in range(3)])
kept = ParallelRunner(1, exchange_memory=EXCHANGE_MEMORY).run(make, Catalog())
loaded = kept["array 0"]
run(runner := ParallelRunner(1), ONE)
how(runner)
print(loaded.sum(), kept["array 1"].sum())
"""

MORE_WORKERS = """
import logging
logging.basicConfig(filename="log", level="INFO")
with ParallelRunner(2) as runner:
    first = run(runner, ONE)["pid"]
    opened = socket.socket()
    (mine, _), (yours, _) = run(runner, TWO).values()
    print(first in (mine, yours), mine != yours)
    how(runner)
run(last := ParallelRunner(1), ONE)
how(last)
print(open("log").read())
"""


@pytest.fixture
def printed(launch, tmp_path):
    """`printed(code, steps)`: run a script with nodes in a module; return the lines that it printed."""

    def run(code, steps=NODES):
        (tmp_path / "steps.py").write_text(steps)
        (tmp_path / "script.py").write_text(SCRIPT + code)
        launched = launch(["env", "-u", ENVIRONMENT_VARIABLE, sys.executable, "script.py"], tmp_path)
        assert launched.wait() == 0, launched.output
        return launched.output.splitlines()

    return run


def test_two_pools_at_once(printed):
    """What Treadle itself has open does not count: the workers of a second pool are forked beside the first one, too."""
    lines = printed(TWO_POOLS)
    assert [line.partition("|")[0] for line in lines] == ["fork", "fork"]


def test_forked_workers_draw_different_numbers(printed):
    """From the generators that libraries share, whose state they inherit."""
    shared, how = printed(TOGETHER)
    assert shared == "set()"
    assert how.startswith("fork|")


def test_a_generator_of_their_own_is_not_inherited(printed):
    """Forked workers would draw the same numbers from a generator that a module has made, so they import the module."""
    steps = NODES.replace("import numpy as np", "import numpy as np\n\nrng = np.random.default_rng()")
    steps = steps.replace("[random.random(), float(np.random.random())]", "[float(rng.random())]")
    assert printed(TOGETHER, steps) == [
        "set()",
        "forkserver|the safe default, because forked workers would all draw the same numbers from steps.rng",
    ]


def test_more_workers_of_a_warm_runner(printed):
    """If the application has opened something meanwhile, they are started by forkserver; those that were forked stay."""
    lines = printed(MORE_WORKERS)
    assert lines[0] == "True True"
    assert lines[1].startswith("fork|")
    assert lines[2].startswith("forkserver|the safe default, because descriptor ")
    assert "Further worker processes are started by forkserver, because descriptor" in lines[3]
    assert "a socket, is open." in lines[3]


@pytest.mark.parametrize("memory", ["10_000_000", "1"])
def test_results_that_are_kept(printed, memory):
    """Neither memory files nor those of spilled values can be damaged: they are read without a position, and not written."""
    how, sums = printed(KEPT_RESULTS.replace("EXCHANGE_MEMORY", memory))
    assert how.startswith("fork|")
    assert sums == "100000.0 100000.0"


def test_workers_that_are_replaced_during_the_run(printed):
    """They are not forked: what is open later is not known, and a limit of memory would count what they inherit."""
    (line,) = printed("run(runner := ParallelRunner(1, max_nodes_per_worker=1), ONE)\nhow(runner)")
    assert line == "forkserver|the safe default, because workers are replaced during the run"


@pytest.mark.parametrize("is_repository", [False, True])
def test_a_session_says_why(treadle, make_loom, is_repository):
    """The log of a run and its record name the method and the reason. The file with git's answer does not prevent a fork."""
    root = make_loom()
    if is_repository:
        subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    settings = root / "src/loom/settings.py"
    settings.write_text(f"{settings.read_text()}\nRUNNER = 'parallel'\n")
    (root / "mended").touch()
    run = treadle(root, "run", "--pipelines=torn", **{ENVIRONMENT_VARIABLE: ""})
    assert run.wait() == 0, run.output
    assert "workers (fork: the fastest method, and safe: no other thread, no open connection or file)" in run.output
    with contextlib.closing(SQLStore(project_path=root)) as store:
        (summary,) = store.list()
        record = store.load(summary.session_id).runs[0]
    assert record.start_method == "fork"
    assert record.params["start_method_reason"].startswith("the fastest method, and safe: ")
