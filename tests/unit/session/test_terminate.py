"""SIGTERM and Ctrl-C, in this process and in one of its own."""

from __future__ import annotations

import pickle
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from treadle.errors import Terminated
from treadle.events import Outcome
from treadle.observe.store import SQLStore
from treadle.session.terminate import terminated_by_signal


def test_the_first_signal_raises_and_later_ones_wait() -> None:
    """While a terminated run cleans up, further SIGTERMs change nothing; then the default is back."""
    cleaned: list[bool] = []

    def be_terminated() -> None:
        with terminated_by_signal():
            try:
                signal.raise_signal(signal.SIGTERM)
            finally:
                signal.raise_signal(signal.SIGTERM)
                cleaned.append(True)

    with pytest.raises(Terminated):
        be_terminated()
    assert cleaned == [True]
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_handler_set_during_the_run_stays() -> None:
    """What the application sets meanwhile is not undone."""

    def mine(_number: int, _frame: object) -> None:
        """Do nothing."""

    with terminated_by_signal():
        signal.signal(signal.SIGTERM, mine)
    assert signal.getsignal(signal.SIGTERM) is mine
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


@pytest.mark.usefixtures("hangup_is_heard")
def test_a_signal_that_is_ignored_stays_so() -> None:
    """Under `nohup` a closed terminal ends nothing; a signal that does end the run is named."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with terminated_by_signal():
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
    with pytest.raises(Terminated, match="SIGHUP arrived") as caught, terminated_by_signal():
        signal.raise_signal(signal.SIGHUP)
    assert pickle.loads(pickle.dumps(caught.value)).signal == signal.SIGHUP
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL


WAITING_NODES = """
import threading

def count(raw):
    print("started", flush=True)
    threading.Event().wait()

def scale(n, factor):
    return n

broken = count
"""
SCRIPT = """
import sys
from treadle.project import bootstrap_project
from treadle.session import Session
bootstrap_project(sys.argv[1])
with Session.create(sys.argv[1]) as session:
    print(session.session_id, flush=True)
    session.run(runner="sequential", node_names="count")
"""


@pytest.mark.usefixtures("hangup_is_heard")
@pytest.mark.parametrize(
    ("number", "error"),
    [
        (signal.SIGTERM, "treadle.errors.Terminated"),
        (signal.SIGHUP, "treadle.errors.Terminated"),
        (signal.SIGINT, "KeyboardInterrupt"),
    ],
)
def test_a_signal_ends_a_process_with_a_record(make_project, number: signal.Signals, error: str) -> None:
    """A process that is told to end during a run ends, and its session is recorded as interrupted."""
    root: Path = make_project()
    package = next(path for path in (root / "src").iterdir())
    (package / "nodes.py").write_text(WAITING_NODES)
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(root)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=root
    )
    assert process.stdout is not None
    session_id = process.stdout.readline().strip()
    assert process.stdout.readline().strip() == "started", process.communicate(timeout=60)[1]
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode != 0
    assert error.rpartition(".")[2] in errors
    record = SQLStore(project_path=root).load(session_id)
    assert (record.outcome, record.runs[0].outcome) == (Outcome.INTERRUPTED, Outcome.INTERRUPTED)
    assert record.error is not None
    assert record.error.type_name == error
    assert [(node.node, node.outcome) for node in record.runs[0].nodes] == [("count", Outcome.INTERRUPTED)]
