"""Fixtures with the six ways to run a pipeline (sequential, threads, four start methods), processes to start, and helpers.

`launch` starts processes, each in a new session, with a mark in the environment by which `leftovers` finds them and all their
descendants.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from pathlib import Path

import psutil
import pytest

from treadle import ParallelRunner, SequentialRunner, ThreadRunner
from treadle.secrets import known


def neighbour(name):
    """Import a module of this folder, which is no package."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pytest_configure(config):
    """Report progress as whole lines if tox runs the tests without a terminal."""
    reporting = neighbour("reporting")
    if reporting.is_wanted():
        config.pluginmanager.register(reporting.ProgressLines(config))


os.environ.pop("GITHUB_ACTIONS", None)  # in a job of GitHub Actions, commands would print annotations too

START_METHODS = ("fork", "spawn", "forkserver", "loky")
WAYS = ("sequential", "thread", *START_METHODS)


def make_runner(way, max_workers=2):
    """Create a new runner for a way to run pipelines."""
    if way == "sequential":
        return SequentialRunner()
    if way == "thread":
        return ThreadRunner(max_workers)
    if way == "dask":
        return importlib.import_module("treadle.execution.runners.dask").DaskRunner(max_workers=max_workers)
    return ParallelRunner(max_workers, start_method=way)


@pytest.fixture(scope="session")
def records():
    """The functions that make records of runs."""
    return neighbour("run_records")


@pytest.fixture(scope="session")
def random_runs():
    """The functions that make random runs, and tell their stories."""
    return neighbour("random_runs")


@pytest.fixture(scope="session", autouse=True)
def restore_ctrl_c():
    """Restore the handling of Ctrl-C, which a shell disables for background processes."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def restore_hangup():
    """Restore the handling of SIGHUP, which `nohup` disables, for one test and its processes."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture(scope="session")
def runner_for():
    """`runner_for(way, max_workers=2)`: a new runner without warm workers."""
    return make_runner


@pytest.fixture(scope="module", params=WAYS)
def way(request):
    """Each way to run: sequential, thread, and the four start methods."""
    return request.param


@pytest.fixture(scope="module")
def any_runner(way):
    """A runner for each way, whose workers stay warm for the tests of a module."""
    with make_runner(way) as runner:
        yield runner


@pytest.fixture(scope="module", params=START_METHODS)
def start_method(request):
    """Each start method."""
    return request.param


@pytest.fixture(scope="module")
def parallel_runner(start_method):
    """A parallel runner with two workers for each start method; the workers stay warm for the tests of a module."""
    with make_runner(start_method) as runner:
        yield runner


@pytest.fixture
def unimportable(tmp_path, monkeypatch):
    """`unimportable(source)`: load a module from a file that no other process finds, under this name, and return it."""

    def load(source):
        (file := tmp_path / "unimportable.py").write_text(source)
        spec = importlib.util.spec_from_file_location("unimportable", file)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, "unimportable", module)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture(scope="session")
def wait_until():
    """`wait_until(predicate, what)`: poll until the predicate is true; fail after 60 seconds."""

    def wait(predicate, what, seconds=60.0):
        deadline = time.monotonic() + seconds
        tick = threading.Event()
        while not (found := predicate()):
            if time.monotonic() > deadline:
                pytest.fail(f"after {seconds} s still not: {what() if callable(what) else what}")
            tick.wait(0.02)
        return found

    return wait


@pytest.fixture(autouse=True)
def own_secrets(monkeypatch):
    """Use an empty registry of secrets for each test, and restore the log record factory afterwards."""
    factory = logging.getLogRecordFactory()
    monkeypatch.setattr(known, "_registry", known._Registry())
    yield
    logging.setLogRecordFactory(factory)


_DEADLINE = 60

_MARK = "TREADLE_TEST_MARK"


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

    def wait(self, seconds=_DEADLINE):
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
    server = os.environ.get("TREADLE_TEST_POSTGRES", "")
    if not server:
        pytest.skip("TREADLE_TEST_POSTGRES names no server")
    pytest.importorskip("psycopg", reason="this environment has no driver for PostgreSQL")
    from sqlalchemy import create_engine, make_url, text

    name = f"treadle_{uuid.uuid4().hex[:12]}"
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield make_url(server).set(database=name).render_as_string(hide_password=False)
    with engine.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    engine.dispose()
