"""BackgroundLoop: one thread at a time runs the loop, and none after an interrupt of the run's thread."""

from __future__ import annotations

import os
import signal
import threading
from functools import partial

import pytest

from treadle import Catalog, ParallelRunner, Pipeline, node
from treadle.events import NodeFinished
from treadle.execution.executors import background_loop
from treadle.execution.executors.background_loop import BackgroundLoop
from treadle.execution.executors.loky.pool import LokyPool
from treadle.execution.executors.main_worker import MainWorker
from treadle.io import Dataset


def test_an_interrupt_at_the_end_waits_for_the_loop(monkeypatch):
    """Ctrl-C while the block waits for the loop to stop: the block ends after the loop has stopped."""
    monkeypatch.setattr(background_loop, "GRACE_SECONDS", 60)  # so that a busy machine cannot end the wait
    started, interrupted, left = threading.Event(), threading.Event(), threading.Event()
    loop_left = []

    def run_loop(done):
        started.set()
        while not done():
            pass
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        interrupted.wait(60)
        loop_left.append(left.wait(0.2))

    def interrupt(_number, _frame):
        interrupted.set()
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt), BackgroundLoop(run_loop, lambda: None):
            started.wait(60)
        left.set()
    finally:
        signal.signal(signal.SIGINT, before)
    assert loop_left == [False]


def test_an_interrupt_at_the_start_leaves_no_thread(monkeypatch):
    """Ctrl-C while the thread is started: it ends by itself."""
    background = BackgroundLoop(lambda done: [None for _ in iter(done, True)], lambda: None)
    start = background._thread.start

    def interrupted():
        start()
        raise KeyboardInterrupt

    monkeypatch.setattr(background._thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt), background:
        pass
    background._thread.join(60)
    assert not background._thread.is_alive()


class Window(Dataset):
    """A dataset of the main process."""

    main_process_only = True

    def load(self):
        return None

    def save(self, data):
        pass


def wait_for_writer(path):
    """Wait until another process opens a named pipe for writing."""
    path.open().close()
    return 1


@pytest.mark.timeout(60)
def test_jobs_follow_a_step_without_a_report(monkeypatch, tmp_path):
    """The last step of a job of the main process has no report. If a worker reports meanwhile, it gets its next job afterwards.

    The background thread handles the report, but the step ends before that thread has assigned a job.
    """
    path, finished, woken = tmp_path / "pipe", threading.Event(), threading.Event()
    os.mkfifo(path)
    start_job, wake = MainWorker._start_job, LokyPool.wake

    def start_slow_job(worker, job):
        yield from start_job(worker, job)
        woken.clear()
        path.open("w").close()
        assert finished.wait(30)

    def wake_and_note(pool):
        wake(pool)
        woken.set()

    def observe(event):
        if isinstance(event, NodeFinished) and event.node == "first":
            finished.set()
            assert woken.wait(30)

    monkeypatch.setattr(background_loop, "PATIENCE_SECONDS", 0)
    monkeypatch.setattr(MainWorker, "_start_job", start_slow_job)
    monkeypatch.setattr(LokyPool, "wake", wake_and_note)
    nodes = [
        node(partial(wait_for_writer, path), None, "a", name="first"),
        node(abs, ["a"], "b", name="second"),
        node(abs, ["a"], "c", name="third"),
        node(int, None, "window", name="here"),
    ]
    with ParallelRunner(1, start_method="fork") as runner:
        result = runner.run(Pipeline(nodes), Catalog({"window": Window()}), observers=[observe])
        assert (result["b"], result["c"]) == (1, 1)
