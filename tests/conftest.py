"""Fixtures with the six ways to run a pipeline (sequential, threads, four start methods), and general helpers."""

from __future__ import annotations

import importlib
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
    """Report progress as whole lines if tox runs the tests without a terminal."""
    spec = importlib.util.spec_from_file_location("reporting", Path(__file__).with_name("reporting.py"))
    reporting = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reporting)
    if reporting.is_wanted():
        config.pluginmanager.register(reporting.ProgressLines(config))


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


@pytest.fixture(scope="session")
def wait_until():
    """`wait_until(predicate, what)`: poll until the predicate is true; fail after 20 seconds."""

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
    """Use an empty registry of secrets for each test, and restore the log record factory afterwards."""
    factory = logging.getLogRecordFactory()
    monkeypatch.setattr(known, "_registry", known._Registry())
    yield
    logging.setLogRecordFactory(factory)
