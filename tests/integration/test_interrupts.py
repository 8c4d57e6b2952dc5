"""Ctrl-C, SIGTERM and kill -9 during a run: it stops, the record says so, and nothing is left behind."""

from __future__ import annotations

import contextlib
import os
import signal

import psutil
import pytest

from treadle.events import Outcome
from treadle.observe.store import SQLStore

PROCESSES = ("fork", "spawn", "forkserver", "loky")


def _flags(way):
    if way in PROCESSES:
        return ("--runner=parallel", f"--runner-params=max_workers=2,start_method={way}")
    return (f"--runner={way}",)


@pytest.fixture
def begin(treadle, make_loom, gate):
    """`begin(way)`: a run on the command line whose node `held` waits forever; returns process, project, and the node's pid."""

    def start(way):
        root = make_loom()
        launched = treadle(root, "run", "--pipelines=gated", *_flags(way), **gate.environment)
        return launched, root, gate.wait_reached(launched)

    return start


def _record(root):
    with contextlib.closing(SQLStore(project_path=root)) as store:
        (summary,) = store.list()
        return store.load(summary.session_id)


@pytest.mark.parametrize(
    ("way", "kind"),
    [*((way, "ctrl-c") for way in ("sequential", "thread", *PROCESSES)), ("sequential", "sigterm"), ("spawn", "sigterm")],
)
def test_stopped(begin, way, leftovers, kind):
    """A signal ends the run with its own exit code; the session is recorded as interrupted; nothing is left (failure 9).

    The last word is the command that resumes the run.
    """
    launched, root, pid = begin(way)
    assert (pid != launched.process.pid) == (way in PROCESSES)
    if kind == "ctrl-c":
        launched.interrupt()
    else:
        launched.process.terminate()
    assert launched.wait() == (130 if kind == "ctrl-c" else 143), launched.output
    leftovers.check()
    assert "Traceback" not in launched.output
    said = "Interrupted." if kind == "ctrl-c" else "Ended by SIGTERM."
    record = _record(root)
    assert f"{said}\n\nResume the run from here with:\n  treadle run --resume={record.session_id}\n" in launched.output
    assert record.outcome is Outcome.INTERRUPTED
    (run,) = record.runs
    assert run.outcome is Outcome.INTERRUPTED
    outcomes = {node.node: node.outcome for node in run.nodes}
    assert outcomes["made"] is Outcome.SUCCEEDED
    assert outcomes["held"] is Outcome.INTERRUPTED
    assert outcomes["after"] in (Outcome.SKIPPED, Outcome.INTERRUPTED)
    hooks = [line.split("\t")[:2] for line in (root / "tally.txt").read_text().splitlines()]
    assert ["on_pipeline_error", "KeyboardInterrupt" if kind == "ctrl-c" else "Terminated"] in hooks


@pytest.mark.usefixtures("restore_hangup")
@pytest.mark.parametrize(
    ("method", "number"),
    [*((method, signal.SIGHUP) for method in PROCESSES), *((method, signal.SIGTERM) for method in ("fork", "forkserver"))],
)
def test_a_signal_to_the_whole_group(begin, leftovers, method, number):
    """SIGHUP, as a closing terminal sends it, or SIGTERM, as a batch system does: the parent stops the run and reports it."""
    launched, root, _pid = begin(method)
    os.killpg(launched.process.pid, number)
    assert launched.wait() == 128 + number, launched.output
    leftovers.check()
    record = _record(root)
    assert record.outcome is Outcome.INTERRUPTED
    assert {node.node: node.outcome for node in record.runs[0].nodes}["held"] is Outcome.INTERRUPTED
    resume = f"Ended by {number.name}.\n\nResume the run from here with:\n  treadle run --resume={record.session_id}\n"
    assert resume in launched.output
    assert "resource_tracker" not in launched.output, launched.output


def test_parent_killed(begin, start_method, leftovers):
    """`kill -9` of the parent ends its workers, whatever they do; the last of them cleans up."""
    launched, _root, _pid = begin(start_method)
    launched.process.kill()
    assert launched.wait() == -signal.SIGKILL
    leftovers.check()


@pytest.mark.parametrize("end", ["ctrl-c", "sigterm", "kill"])
def test_library(launch, gate, start_method, leftovers, tmp_path, end):
    """Without a session a runner cleans up too: Ctrl-C is a KeyboardInterrupt, and SIGTERM ends the process as kill -9 does."""
    launched = launch(LIBRARY.format(method=start_method), tmp_path, **gate.environment)
    gate.wait_reached(launched)
    if end == "ctrl-c":
        launched.interrupt()
        assert launched.wait() == 0, launched.output
        assert "interrupted, and again 3" in launched.output
    elif end == "sigterm":
        launched.process.terminate()
        assert launched.wait() == -signal.SIGTERM, launched.output
    else:
        launched.process.kill()
        launched.wait()
    leftovers.check()


LIBRARY = """
import os
from pathlib import Path
from treadle import Catalog, ParallelRunner, Pipeline, node

def gate():
    Path(os.environ["GATE_REACHED"]).write_text(str(os.getpid()))
    return Path(os.environ["GATE_OPEN"]).read_text()

with ParallelRunner(max_workers=2, start_method={method!r}) as runner:
    try:
        runner.run(Pipeline([node(gate, None, "text")]), Catalog({{}}))
    except KeyboardInterrupt:
        again = runner.run(Pipeline([node(len, "text", "length")]), Catalog({{"text": "abc"}}))
        print("interrupted, and again", again["length"])
"""


def test_worker_that_stops_answering(begin, leftovers):
    """A worker that is suspended does not keep Ctrl-C from ending the run."""
    launched, _root, pid = begin("spawn")
    psutil.Process(pid).suspend()
    launched.interrupt()
    assert launched.wait() == 130, launched.output
    leftovers.check()


def test_during_start(treadle, make_loom, start_method, leftovers, wait_until):
    """Ctrl-C while the workers are being started ends the run as well."""
    root = make_loom()
    launched = treadle(root, "run", *_flags(start_method))
    wait_until(lambda: len(leftovers.processes()) > 1, "a worker is started")
    launched.interrupt()
    assert launched.wait() == 130, launched.output
    leftovers.check()


INTERRUPTED_FIRST = """
import os, signal, sys

if any("spawn_main" in word or "popen_loky" in word for word in sys.orig_argv):
    os.kill(os.getpid(), signal.SIGINT)
"""

STARTING = """
import os
from treadle import Catalog, ParallelRunner, Pipeline, node

runner = ParallelRunner(max_workers=1, start_method={method!r})
print(runner.run(Pipeline([node(os.getpid, None, "pid")]), Catalog())["pid"] != os.getpid())
"""


@pytest.mark.parametrize("method", ["spawn", "loky"])
def test_the_first_worker_leaves_ctrl_c_to_the_parent(launch, leftovers, tmp_path, method):
    """From the first moment of a worker's process, also of the first one, for which multiprocessing starts a helper."""
    (tmp_path / "sitecustomize.py").write_text(INTERRUPTED_FIRST)
    launched = launch(STARTING.format(method=method), tmp_path, PYTHONPATH=str(tmp_path))
    assert launched.wait() == 0, launched.output
    assert launched.output == "True\n"
    leftovers.check()


CLOSING = """
import atexit, os, signal, threading
from treadle import Catalog, ParallelRunner, Pipeline, node

def stay(parent):
    atexit.register(os.kill, parent, signal.SIGINT)
    threading.Thread(target=threading.Event().wait).start()

try:
    with ParallelRunner(max_workers=1, start_method={method!r}) as runner:
        runner.run(Pipeline([node(stay, "parent", None)]), Catalog({{"parent": os.getpid()}}))
except KeyboardInterrupt:
    print("interrupted")
"""


def test_while_the_workers_exit(launch, start_method, leftovers, tmp_path):
    """Ctrl-C while a worker waits for a thread that a node left running: the worker is killed, and Python can exit."""
    launched = launch(CLOSING.format(method=start_method), tmp_path)
    assert launched.wait() == 0, launched.output
    assert launched.output == "interrupted\n"
    leftovers.check()
