"""Fixtures of the integration tests: a project on disk, and gates at which its nodes wait.

`loom/` in this folder is a small real project. `in_project` configures a copy of it in this process.
"""

from __future__ import annotations

import os
import select
import shutil
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from treadle.project import bootstrap_project, configure

LOOM = Path(__file__).parent / "loom"
_DEADLINE = 60
"""Seconds after which a process counts as hanging."""


@pytest.fixture(scope="session")
def make_loom(tmp_path_factory):
    """`make_loom()`: create a copy of the loom project, and return its path."""

    def make():
        root = tmp_path_factory.mktemp("project") / "loom"
        shutil.copytree(LOOM, root, ignore=shutil.ignore_patterns("__pycache__"))
        return root

    return make


@pytest.fixture(scope="session")
def in_project():
    """Provide a context manager that bootstraps a project in its folder, and restores the state of this process at the end."""

    @contextmanager
    def enter(root, **environment):
        before = Path.cwd(), list(sys.path), dict(os.environ), configure._process.project
        os.chdir(root)
        os.environ.update({"LOOM_TALLY": str(root / "tally.txt"), **environment})
        _forget_loom()
        try:
            yield bootstrap_project(root)
        finally:
            os.chdir(before[0])
            sys.path[:] = before[1]
            os.environ.clear()
            os.environ.update(before[2])
            configure._process.project = before[3]
            _forget_loom()

    return enter


def _forget_loom():
    for name in [name for name in sys.modules if name.partition(".")[0] == "loom"]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def accidents():
    """The project's module of failing nodes, importable here and in workers, without a configured project."""
    source = str(LOOM / "src")
    sys.path.insert(0, source)
    _forget_loom()
    from loom import accidents as module

    yield module
    sys.path.remove(source)
    _forget_loom()


class Gate:
    """Two named pipes between a run and its test: one reports that a node runs, the other lets the node continue."""

    def __init__(self, folder):
        self.environment = {"GATE_REACHED": str(folder / "reached"), "GATE_OPEN": str(folder / "open")}
        for pipe in self.environment.values():
            os.mkfifo(pipe)
        self._reached = os.open(self.environment["GATE_REACHED"], os.O_RDONLY | os.O_NONBLOCK)

    def wait_reached(self, launched):
        """Wait until the node runs; return its process id."""
        end = os.pidfd_open(launched.process.pid)
        try:
            ready, _, _ = select.select([self._reached, end], [], [], _DEADLINE)
        finally:
            os.close(end)
        assert self._reached in ready, f"the node never began: {launched.output}"
        return int(os.read(self._reached, 64))

    def close(self):
        os.close(self._reached)


@pytest.fixture
def gate(tmp_path):
    """A `Gate` for one node."""
    made = Gate(tmp_path)
    yield made
    made.close()
