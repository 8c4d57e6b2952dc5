"""The command line in processes of its own: exit codes, outputs, errors that tell how to go on, and what the record says."""

from __future__ import annotations

import contextlib
import re
import shlex

import pytest

from treadle.events import Outcome
from treadle.observe.store import SQLStore

PROCESSES = ("fork", "spawn", "forkserver", "loky")


def _flags(way):
    if way in PROCESSES:
        return ("--runner=parallel", f"--runner-params=max_workers=2,start_method={way}")
    return (f"--runner={way}",)


def _sessions(root):
    with contextlib.closing(SQLStore(project_path=root)) as store:
        return [store.load(summary.session_id) for summary in reversed(store.list())]


def _nodes_run(root):
    lines = [line.split("\t") for line in (root / "tally.txt").read_text().splitlines()]
    return [about for hook, about, *_ in lines if hook == "before_node_run"]


@pytest.mark.parametrize("way", ["sequential", "spawn"])
def test_resume(treadle, make_loom, way, leftovers):
    """A failed node ends with exit code 1 and the command that finishes the run; it runs only what was not done (failure 8)."""
    root = make_loom()
    failed = treadle(root, "run", "--pipelines=torn", "--params=loom.width=6", *_flags(way))
    assert failed.wait() == 1, failed.output
    output = failed.output
    assert "Node 'mend' failed" in output
    assert "ValueError: the thread is torn" in output
    assert f'File "{root / "src" / "loom" / "nodes.py"}"' in output
    assert "/treadle/execution/" not in output
    resume = re.search(r"^ +(treadle run .*)$", output, re.MULTILINE)
    assert resume, output
    words = shlex.split(resume.group(1))
    done = _nodes_run(root)
    (root / "mended").touch()
    (root / "tally.txt").unlink()
    resumed = treadle(root, *words[1:])
    assert resumed.wait() == 0, resumed.output
    # What lived in memory only is made again; what is in a file is not.
    assert "start" in done
    assert sorted(_nodes_run(root)) == ["finish", "mend", "side", "value"]
    assert (root / "data" / "report.txt").read_text() == "28.5 60"
    first, second = _sessions(root)
    assert (first.outcome, second.outcome) == (Outcome.FAILED, Outcome.SUCCEEDED)
    assert first.error.node == "mend"
    assert "the thread is torn" in first.error.traceback
    assert second.command == shlex.join(words)
    leftovers.check()


@pytest.mark.parametrize(
    ("start_method", "end"),
    [
        ("fork", "raise"),
        ("spawn", "raise"),
        ("spawn", "sys.exit"),
        ("spawn", "os._exit"),
        ("forkserver", "os._exit"),
        ("loky", "raise"),
    ],
)
def test_settings_that_fail_in_workers(treadle, make_loom, start_method, leftovers, end):
    """Settings that fail in workers only are one clear error with the project's own traceback; a forked worker has them."""
    root = make_loom()
    settings = root / "src" / "loom" / "settings.py"
    what = {"raise": "raise RuntimeError('no thread')", "sys.exit": "sys.exit('no thread')", "os._exit": "os._exit(9)"}[end]
    settings.write_text(
        f"import os, sys\nif os.environ.setdefault('LOOM_PARENT', str(os.getpid())) != str(os.getpid()):\n    {what}\n"
        + settings.read_text()
    )
    launched = treadle(root, "run", "--pipelines=who", "--params=who=HOME", *_flags(start_method))
    code = launched.wait()
    if start_method == "fork":
        assert code == 0, launched.output
    else:
        assert code == 1, launched.output
        if end == "os._exit":
            assert re.search(r"worker-\d( \(pid \d+\))? exited with code 9 before it was set up", launched.output)
        else:
            assert re.search(r"worker-\d could not be set up", launched.output)
            assert f'File "{settings}", line 3' in launched.output
            assert "no thread" in launched.output
        assert _sessions(root)[0].outcome is Outcome.FAILED
    leftovers.check()


@pytest.mark.parametrize("start_method", ["fork", "spawn"])
def test_lost_worker(treadle, make_loom, start_method, leftovers):
    """A worker that is killed: exit code 1, and an error that names node and signal; the record has it too."""
    root = make_loom()
    nodes = root / "src" / "loom" / "nodes.py"
    nodes.write_text(
        nodes.read_text().replace("def start(", "def start_well(") + "\n\ndef start(_model):\n    os.kill(os.getpid(), 9)\n"
    )
    launched = treadle(root, "run", "--pipelines=torn", *_flags(start_method))
    assert launched.wait() == 1, launched.output
    assert re.search(r"Node 'start' lost its worker: worker-\d \(pid \d+\) was killed by SIGKILL", launched.output)
    (record,) = _sessions(root)
    assert record.error.node == "start"
    (run,) = record.runs
    assert {node.outcome for node in run.nodes if node.node == "start"} == {Outcome.FAILED}
    assert [worker.exitcode for worker in run.workers if worker.lost is not None] == [-9]
    leftovers.check()


def test_impatient_interrupt(treadle, make_loom, gate, leftovers, wait_until):
    """Pressing Ctrl-C again and again ends the run no worse."""
    root = make_loom()
    launched = treadle(root, "run", "--pipelines=gated", *_flags("spawn"), **gate.environment)
    gate.wait_reached(launched)

    def press():
        with contextlib.suppress(ProcessLookupError):
            launched.interrupt()
        return launched.process.poll() is not None

    wait_until(press, "the run ended")
    # Whatever of the end was torn away, Python's own included: an interrupt is what the shell sees.
    assert launched.wait() in (130, -2, 1), launched.output
    leftovers.check()


def test_what_the_command_imports_before_each_run_is_needed(launch, make_loom):
    """A run from Python, which imports a module only where it is needed, imports all of them as well."""
    root = make_loom()
    script = """
import sys
from treadle import Session, bootstrap_project
from treadle.cli.run import MODULES_OF_EVERY_RUN

bootstrap_project(".")
with Session.create() as session:
    session.run()
print("MISSING", [name for name in MODULES_OF_EVERY_RUN if name not in sys.modules])
"""
    launched = launch(script, root, LOOM_TALLY=str(root / "tally.txt"))
    assert launched.wait() == 0, launched.output
    assert "MISSING []" in launched.output
