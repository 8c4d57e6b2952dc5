"""A backend from outside runs a project: `subprocess_pool.py` behind a runner of its own."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest

from treadle import Catalog, NodeError, Pipeline, SequentialRunner, Session, node

sys.path.insert(0, str(Path(__file__).parent))
from subprocess_pool import SubprocessRunner


def test_a_project_runs_as_in_the_sequential_runner(make_loom, in_project):
    """Files, values and hooks of the project's pipeline are those of a sequential run."""
    seen = []
    for runner in (SequentialRunner(), SubprocessRunner(2)):
        root = make_loom()
        with in_project(root), Session.create(extra_params={"way": "same"}) as session:
            result = session.run(runner=runner)
            values = {name: repr(value) for name, value in result.items()}
        tally = (root / "tally.txt").read_text().splitlines() if (root / "tally.txt").exists() else []
        files = sorted(str(path.relative_to(root)) for path in (root / "data").rglob("*") if path.is_file())
        seen.append((values, files, sorted(line.split()[0] for line in tally if "worker" not in line)))
    assert seen[0][:2] == seen[1][:2]
    assert seen[0][1]


def test_a_failure_names_its_node():
    """A node that raises in a worker fails the run with its own exception."""

    def fail():
        raise ValueError("no yarn")

    with pytest.raises(NodeError) as caught:
        SubprocessRunner(2).run(Pipeline([node(fail, None, "a", name="spin")]), Catalog())
    assert caught.value.node == "spin"
    assert isinstance(caught.value.__cause__, ValueError)


def test_a_value_that_cannot_leave_is_used_where_it_is():
    """What cannot be pickled stays in the worker that made it, and its consumer runs there."""
    nodes = [node(threading.Lock, None, "lock", name="make"), node(lambda lock: lock.locked(), "lock", "held", name="look")]
    assert dict(SubprocessRunner(2).run(Pipeline(nodes), Catalog())) == {"held": False}


def test_workers_stay_between_runs():
    """A runner that is a context keeps its worker processes."""
    import os

    pipeline = Pipeline([node(os.getpid, None, "pid", name="n")])
    with SubprocessRunner(1) as runner:
        first, second = (dict(runner.run(pipeline, Catalog()))["pid"] for _ in range(2))
    assert first == second != os.getpid()
