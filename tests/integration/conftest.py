"""What the integration tests stand on: the loom project on disk, processes with deadlines, gates, and a search for leftovers.

`loom/` beside this file is a small real project. `in_project` stands in a copy of it within this process; `launch` starts
other processes, in sessions of their own, with a mark in their environment by which `leftovers` finds all that came of them.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from treadle.project import bootstrap_project, configure

LOOM = Path(__file__).parent / "loom"
DEADLINE = 60
"""Seconds after which something hangs."""
_MARK = "TREADLE_TEST_MARK"


@pytest.fixture(scope="session")
def make_loom(tmp_path_factory):
    """Make new copies of the loom project: a call returns the path of one."""

    def make():
        root = tmp_path_factory.mktemp("project") / "loom"
        shutil.copytree(LOOM, root, ignore=shutil.ignore_patterns("__pycache__"))
        return root

    return make


@pytest.fixture(scope="session")
def in_project():
    """Stand in a project, bootstrapped, for the length of a `with`; afterwards this process is as it was."""

    @contextmanager
    def stand(root, **environment):
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

    return stand


def _forget_loom():
    for name in [name for name in sys.modules if name.partition(".")[0] == "loom"]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def accidents():
    """The project's module of nodes that fail, importable here and in workers; no project is configured."""
    source = str(LOOM / "src")
    sys.path.insert(0, source)
    _forget_loom()
    from loom import accidents as module

    yield module
    sys.path.remove(source)
    _forget_loom()


class Gate:
    """Two named pipes between a run and its test: by one the test hears that a node runs, by the other the node waits."""

    def __init__(self, folder):
        self.environment = {"GATE_REACHED": str(folder / "reached"), "GATE_OPEN": str(folder / "open")}
        for pipe in self.environment.values():
            os.mkfifo(pipe)
        self._reached = os.open(self.environment["GATE_REACHED"], os.O_RDONLY | os.O_NONBLOCK)

    def wait_reached(self, launched):
        """Wait until the node runs; return its process id."""
        end = os.pidfd_open(launched.process.pid)
        try:
            ready, _, _ = select.select([self._reached, end], [], [], DEADLINE)
        finally:
            os.close(end)
        assert self._reached in ready, f"the node never began: {launched.output}"
        return int(os.read(self._reached, 64))

    def close(self):
        os.close(self._reached)


@pytest.fixture
def gate(tmp_path):
    """A gate for one node."""
    made = Gate(tmp_path)
    yield made
    made.close()


class Leftovers:
    """What a test's processes must not leave behind: other processes, and files in their temporary directory or /dev/shm."""

    def __init__(self, wait_until):
        self._wait_until = wait_until
        self._mark = uuid.uuid4().hex
        # Short, because a socket's path is: a longer one makes the pool go elsewhere.
        self.folder = Path(tempfile.mkdtemp(prefix="tr-", dir="/tmp"))
        self.environment = {_MARK: self._mark, "TMPDIR": str(self.folder)}
        self.launched = []
        """Process ids of those that were launched."""

    def processes(self):
        """Find every process that has the mark in its environment."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(_MARK) == self._mark and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def _commands(self):
        return [(process.pid, process.status(), process.cmdline()) for process in self.processes()]

    def files(self):
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*"))

    def check(self):
        """Wait for the last process to end, then look for files."""
        self._wait_until(lambda: not self.processes(), lambda: f"all processes ended: {self._commands()}")
        assert self.files() == []
        self._wait_until(lambda: not self._shared(), lambda: f"shared memory is given back: {self._shared()}")

    def _shared(self):
        """Find what the libraries under us made in shared memory; its name tells which process did."""
        folder = Path("/dev/shm")
        names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
        return [name for name in names if "treadle" in name or any(f"loky-{pid}-" in name for pid in self.launched)]

    def remove(self):
        for process in self.processes():
            process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture
def leftovers(wait_until):
    """The search for what is left; its `environment` marks the processes of this test."""
    made = Leftovers(wait_until)
    yield made
    made.remove()


class Launched:
    """A process in a session of its own, with its output in files."""

    def __init__(self, words, cwd, environment, folder):
        self._out = folder / f"out-{uuid.uuid4().hex}"
        with self._out.open("wb") as out:
            self.process = subprocess.Popen(
                words, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
            )

    @property
    def output(self):
        return self._out.read_text()

    def interrupt(self):
        """Press Ctrl-C: the whole process group gets the signal."""
        os.killpg(self.process.pid, signal.SIGINT)

    def wait(self, seconds=DEADLINE):
        """Wait for the end; return the exit code."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGABRT)  # faulthandler, where it is on, says where it hangs
            psutil.wait_procs([psutil.Process(self.process.pid)], 5)
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            pytest.fail(f"it hangs; so far it said:\n{self.output}")


@pytest.fixture
def launch(tmp_path, leftovers):
    """`launch(words, cwd, **environment)`: a process; a text for `words` is a Python script, which is written to `cwd`."""
    launched = []

    def start(words, cwd, **environment):
        if isinstance(words, str):
            script = Path(cwd) / f"script_{len(launched)}.py"
            script.write_text(words)
            words = [sys.executable, str(script)]
        inherited = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "TREADLE_START_METHOD")}
        full = {**inherited, **leftovers.environment, "PYTHONFAULTHANDLER": "1", **environment}
        launched.append(Launched(words, cwd, full, tmp_path))
        leftovers.launched.append(launched[-1].process.pid)
        return launched[-1]

    yield start
    for each in launched:
        if each.process.poll() is None:
            os.killpg(each.process.pid, signal.SIGKILL)
            each.process.wait()


@pytest.fixture
def treadle(launch):
    """`treadle(root, "run", …, **environment)`: the command line in a process of its own."""

    def start(root, *words, **environment):
        command = [sys.executable, "-m", "treadle", *words]
        return launch(command, root, LOOM_TALLY=str(root / "tally.txt"), **environment)

    return start
