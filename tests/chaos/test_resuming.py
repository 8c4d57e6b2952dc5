"""Runs that are killed at random moments, then resumed: the files are those of an undisturbed run, and none is made twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import closing, suppress

import psutil
import pytest

from treadle.events import Outcome
from treadle.observe.store import SQLStore

pytestmark = pytest.mark.timeout(600)  # each test starts many processes, one after the other

NODES = """
import hashlib
import time


def start():
    return "start"


def step(*texts):
    time.sleep(0.02)  # so that a random moment is often inside a node
    return hashlib.sha256("".join(texts).encode()).hexdigest() * 200
"""
PIPELINES = """
from treadle import Pipeline, node

from links.nodes import start, step


def register_pipelines():
    nodes = [node(start, None, "d0", name="n0")]
    for i in range(1, 24):
        inputs = sorted({f"d{i - 1}", f"d{max(0, i - 3)}", f"d{i // 2}"})
        nodes.append(node(step, inputs, f"d{i}", name=f"n{i}"))
    return {"__default__": Pipeline(nodes)}
"""
FILES = {
    "pyproject.toml": '[tool.treadle]\npackage_name = "links"\nproject_name = "Links"\n',
    "src/links/__init__.py": "",
    "src/links/settings.py": "",
    "src/links/nodes.py": NODES,
    "src/links/pipeline_registry.py": PIPELINES,
    "conf/base/catalog.yml": "".join(
        f"d{i}: {{type: text.TextDataset, filepath: data/d{i}.txt}}\n" for i in range(24) if i % 4 != 2
    ),
    "conf/local/.gitkeep": "",
}
"""Every fourth value is kept in memory."""
LONGEST_LIFE = 3.0
MOST_KILLS = 3


def make_project(root):
    for name, text in FILES.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def contents(root):
    return {file.name: file.read_bytes() for file in sorted((root / "data").glob("*.txt"))}


def newest(root):
    """Return the newest session of which a run is recorded; None if there is none, because it was killed earlier."""
    with closing(SQLStore(project_path=root)) as store:
        sessions = store.list(1)
        return store.load(sessions[0].session_id) if sessions and sessions[0].runs else None


def nodes_of(session, *, saved=False):
    """Return the nodes that ran in a session; only those whose saved output is recorded, if `saved`."""
    nodes = session.runs[-1].nodes if session is not None else ()
    return {node.node for node in nodes if node.outcome is Outcome.SUCCEEDED and (node.outputs or not saved)}


def test_a_killed_run_is_resumed_with_the_same_files(seed, method, choose, launch, leftovers, tmp_path):
    """Parent or worker, killed at random: `--resume` ends with the same bytes, and runs no node whose output is recorded."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    command = [sys.executable, "-m", "treadle", "run"]
    flags = ["--runner=parallel", f"--runner-params=max_workers=2,start_method={method}"]
    for root in (whole, killed):
        make_project(root)
    assert launch([*command, *flags], whole).wait() == 0
    words, finished = flags, False
    for _ in range(MOST_KILLS):
        before = newest(killed)
        launched = launch([*command, *words], killed)
        with suppress(subprocess.TimeoutExpired):
            launched.process.wait(choose.uniform(0.3, LONGEST_LIFE))
        victims = [launched.process.pid]
        if choose.random() < 0.4:
            with suppress(psutil.NoSuchProcess):
                victims = [each.pid for each in psutil.Process(launched.process.pid).children(recursive=True)] or victims
        with suppress(ProcessLookupError):
            os.kill(choose.choice(victims), signal.SIGKILL)
        code, after = launched.wait(), newest(killed)
        if "--resume" in words and after.session_id != before.session_id:  # otherwise it was killed before it was recorded
            again = nodes_of(before, saved=True) & nodes_of(after)
            assert not again, f"whole outputs were made again: {again}"
        finished = code == 0 or (after is not None and after.outcome is Outcome.SUCCEEDED)  # killed after its record was complete
        if finished:
            break
        words = ["--resume"] if after is not None else flags
    if not finished:
        last = launch([*command, *words], killed)
        assert last.wait() == 0, last.output
    assert contents(killed) == contents(whole)
    leftovers.check()
