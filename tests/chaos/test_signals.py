"""Random graphs under random signals: a run ends with the values of a sequential run, or leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

SCRIPT = str(Path(__file__).with_name("random_graph.py"))
SIGNALS = {"SIGKILL": 4, "SIGSTOP": 2, "SIGTERM": 2, "SIGSEGV": 1, "SIGINT": 1, "SIGHUP": 1}
MOST_SIGNALS = 12
STOPPED_SECONDS = 0.3
LONGEST_LIFE = 3.0
"""Seconds after which the parent is killed at the latest."""


def expected(seed, launch, folder):
    """Return the values of a seed's graph, as one node after another makes them."""
    launched = launch([sys.executable, SCRIPT, str(seed), "sequential", "expected.json"], folder)
    assert launched.wait() == 0, launched.output
    return json.loads((folder / "expected.json").read_text())


def disturb(launched, folder, choose):
    """Send signals to workers at random moments, until the run has ended or had enough of them; return their names."""
    sent = []
    while launched.process.poll() is None and len(sent) < MOST_SIGNALS:
        time.sleep(choose.uniform(0.01, 0.2))  # to hit a random moment, not to wait for one
        workers = sorted(int(path.name) for path in (folder / "workers").glob("*"))
        if not workers or launched.process.poll() is not None:
            continue
        pid, name = choose.choice(workers), choose.choices(list(SIGNALS), list(SIGNALS.values()))[0]
        with suppress(ProcessLookupError):
            os.kill(pid, signal.Signals[name])
            sent.append(name)
            if name == "SIGSTOP":
                time.sleep(STOPPED_SECONDS)
                os.kill(pid, signal.SIGCONT)
    return sent


def test_signals_to_workers_change_no_value(seed, method, choose, launch, leftovers, tmp_path):
    """Whatever happens to the workers, the values are those of a sequential run."""
    values = expected(seed, launch, tmp_path)
    for path in (tmp_path / "workers").glob("*"):
        path.unlink()
    launched = launch([sys.executable, SCRIPT, str(seed), method, "result.json"], tmp_path)
    sent = disturb(launched, tmp_path, choose)
    assert launched.wait() == 0, f"{method}, after {sent}: {launched.output}"
    assert json.loads((tmp_path / "result.json").read_text()) == values, f"{method}, after {sent}"
    leftovers.check()


def test_a_killed_parent_leaves_nothing(seed, method, choose, launch, leftovers, tmp_path):
    """`kill -9` of the parent at a random moment leaves no process, file or shared memory."""
    launched = launch([sys.executable, SCRIPT, str(seed), method, "result.json"], tmp_path)
    with suppress(subprocess.TimeoutExpired):
        launched.process.wait(choose.uniform(0.1, LONGEST_LIFE))
    launched.process.kill()
    launched.process.wait()
    leftovers.check()
