"""The inputs of a run in a dask worker: two threads add them, open the run and release them."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest

from treadle.errors import DatasetError
from treadle.execution.executors.dask.hosted_run import HostedRun, RunSlot
from treadle.execution.executors.inline_store import pickled_inline


class WatchedLock:
    """A lock that sets an event if a thread has to wait for it."""

    def __init__(self, progress):
        self._lock, self._progress = threading.Lock(), progress

    def __enter__(self):
        if not self._lock.acquire(blocking=False):
            self._progress.set()
            self._lock.acquire()

    def __exit__(self, *_):
        self._lock.release()

    def _at_fork_reinit(self):
        self._lock._at_fork_reinit()


class OtherThread:
    """Calls a function in another thread, once, and waits until it has returned or waits for the lock of a slot."""

    def __init__(self):
        self.progress = threading.Event()
        self._thread = None

    def calls(self, function, *arguments):
        if self._thread is None:
            self._thread = threading.Thread(target=self._call, args=(function, *arguments))
            self._thread.start()
            self.progress.wait()

    def _call(self, function, *arguments):
        function(*arguments)
        self.progress.set()

    def join(self):
        self._thread.join()


class Inputs(dict):
    """The inputs of a slot; calls a function before it is changed."""

    def update(self, inputs):
        """Change it."""
        self.before()
        super().update(inputs)


class Run(HostedRun):
    """A run of one dataset, "x", that calls a function before inputs are added."""

    def __init__(self):
        super().__init__(SimpleNamespace(copy_modes={}, spec=SimpleNamespace(dataset_names=["x"])), 1, "", "")

    def add_inputs(self, inputs):
        """Add them."""
        self.before()
        super().add_inputs(inputs)


@pytest.fixture
def other():
    """The other thread."""
    return OtherThread()


@pytest.fixture
def slot(other, monkeypatch):
    """A slot with a watched lock."""
    lock = WatchedLock(other.progress)
    with monkeypatch.context() as patched:
        patched.setattr(threading, "Lock", lambda: lock)
        return RunSlot(b"", inputs=Inputs())


def test_inputs_are_added_while_the_run_is_opened(slot, other):
    """The run has them, although it was not open yet when they came."""
    run = Run()
    run.before = lambda: None
    slot.inputs.before = lambda: other.calls(slot.open, run)
    slot.add_inputs([(0, pickled_inline("added"))])
    other.join()
    assert run.load_input(0, False) == "added"


def test_an_input_is_released_while_the_run_is_opened(slot, other):
    """The run does not have it."""
    run = Run()
    slot.inputs.before = lambda: None
    slot.add_inputs([(0, pickled_inline("released"))])
    run.before = lambda: other.calls(slot.release, 0)
    slot.open(run)
    other.join()
    with pytest.raises(DatasetError, match="x"):
        run.load_input(0, False)


def test_a_newer_input_is_added_while_the_run_is_opened(slot, other):
    """The run has the newer one."""
    run = Run()
    slot.inputs.before = lambda: None
    slot.add_inputs([(0, pickled_inline("older"))])
    run.before = lambda: other.calls(slot.add_inputs, [(0, pickled_inline("newer"))])
    slot.open(run)
    other.join()
    assert run.load_input(0, False) == "newer"
