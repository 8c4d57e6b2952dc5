"""Fixtures of the integration tests: a project on disk, processes with deadlines, gates, and checks for leftovers.

`loom/` in this folder is a small real project. `in_project` configures a copy of it in this process. `launch` starts other
processes, each in a new session, with a mark in the environment by which `leftovers` finds them and all their descendants.
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
"""Seconds after which a process counts as hanging."""
_MARK = "TREADLE_TEST_MARK"


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
            ready, _, _ = select.select([self._reached, end], [], [], DEADLINE)
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


class Leftovers:
    """Finds leftovers of a test's processes: other processes, and files in their temporary directory or /dev/shm."""

    def __init__(self, wait_until):
        self._wait_until = wait_until
        self._mark = uuid.uuid4().hex
        # A short path, because the length of socket paths is limited: with a longer one, the pool would use another directory.
        self.folder = Path(tempfile.mkdtemp(prefix="tr-", dir="/tmp"))
        self.environment = {_MARK: self._mark, "TMPDIR": str(self.folder)}
        self.launched = []
        """Process ids of the launched processes."""
        # The names contain process ids, which are used again: a process that was killed earlier may have had the same one.
        self._before = set(self._shared_names())

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
        self._wait_until(lambda: not self._shared(), lambda: f"shared memory is released: {self._shared()}")

    def _shared(self):
        """Find files that Treadle and loky created in shared memory; loky's names contain the process id."""
        names = [name for name in self._shared_names() if name not in self._before]
        return [name for name in names if "treadle" in name or any(f"loky-{pid}-" in name for pid in self.launched)]

    @staticmethod
    def _shared_names():
        folder = Path("/dev/shm")
        return [path.name for path in folder.iterdir()] if folder.is_dir() else []

    def remove(self):
        for process in self.processes():
            process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture
def leftovers(wait_until):
    """A `Leftovers`; its `environment` marks the processes of this test."""
    made = Leftovers(wait_until)
    yield made
    made.remove()


class Launched:
    """A process in a new session, whose output is written to a file."""

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
            self.process.send_signal(signal.SIGABRT)  # faulthandler prints the stacks
            psutil.wait_procs([psutil.Process(self.process.pid)], 5)
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            pytest.fail(f"the process hangs; its output so far:\n{self.output}")


@pytest.fixture
def launch(tmp_path, leftovers):
    """`launch(words, cwd, **environment)`: start a process; a string for `words` is a Python script, written to `cwd`."""
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
    """`treadle(root, "run", …, **environment)`: start the command line in a new process."""

    def start(root, *words, **environment):
        command = [sys.executable, "-m", "treadle", *words]
        return launch(command, root, LOOM_TALLY=str(root / "tally.txt"), **environment)

    return start


@pytest.fixture
def postgres_url():
    """The URL of an empty database on the PostgreSQL server that `TREADLE_TEST_POSTGRES` names (`.ci/run` starts one)."""
    from sqlalchemy import create_engine, make_url, text

    server = os.environ.get("TREADLE_TEST_POSTGRES", "")
    if not server:
        pytest.skip("TREADLE_TEST_POSTGRES names no server")
    name = f"treadle_{uuid.uuid4().hex[:12]}"
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield make_url(server).set(database=name).render_as_string(hide_password=False)
    with engine.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    engine.dispose()
