"""The six ways to run a pipeline, as fixtures, for every test that has to hold under all of them."""

from __future__ import annotations

import importlib.util
import logging
import signal
import threading
import time
from pathlib import Path

import pytest

from treadle import ParallelRunner, SequentialRunner, ThreadRunner
from treadle.secrets import known


def pytest_configure(config):
    """Where tox runs the tests without a terminal, they say how far they are in whole lines."""
    spec = importlib.util.spec_from_file_location("reporting", Path(__file__).with_name("reporting.py"))
    reporting = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reporting)
    if reporting.is_wanted():
        config.pluginmanager.register(reporting.ProgressLines(config))


START_METHODS = ("fork", "spawn", "forkserver", "loky")
WAYS = ("sequential", "thread", *START_METHODS)


def make_runner(way, max_workers=2):
    """Make the runner of a way, cold."""
    if way == "sequential":
        return SequentialRunner()
    if way == "thread":
        return ThreadRunner(max_workers)
    return ParallelRunner(max_workers, start_method=way)


@pytest.fixture(scope="session", autouse=True)
def ctrl_c_is_heard():
    """What a shell starts in the background ignores Ctrl-C: not the tests, nor the processes that they start."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def hangup_is_heard():
    """What `nohup` starts ignores the end of the terminal: not this test, nor the processes that it starts."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture(scope="session")
def runner_for():
    """`runner_for(way, max_workers=2)`: a new runner, cold."""
    return make_runner


@pytest.fixture(scope="module", params=WAYS)
def way(request):
    """Each way to run: sequential, thread, and the four start methods."""
    return request.param


@pytest.fixture(scope="module")
def any_runner(way):
    """A runner of each way, kept warm over a module's tests."""
    with make_runner(way) as runner:
        yield runner


@pytest.fixture(scope="module", params=START_METHODS)
def start_method(request):
    """Each start method."""
    return request.param


@pytest.fixture(scope="module")
def parallel_runner(start_method):
    """A parallel runner of two workers for each start method, kept warm over a module's tests."""
    with make_runner(start_method) as runner:
        yield runner


@pytest.fixture(scope="session")
def wait_until():
    """`wait_until(predicate, what)`: wait for a fact that nothing announces; fail where it does not come about."""

    def wait(predicate, what, seconds=20.0):
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
    """An empty registry of secrets, so that one test's are not masked in another's texts; the log record factory is put back."""
    factory = logging.getLogRecordFactory()
    monkeypatch.setattr(known, "_registry", known._Registry())
    yield
    logging.setLogRecordFactory(factory)
