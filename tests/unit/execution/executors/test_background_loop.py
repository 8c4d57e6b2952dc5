"""BackgroundLoop: after an interrupt of the run's thread, no other thread runs the loop."""

from __future__ import annotations

import signal
import threading

import pytest

from treadle.execution.executors.background_loop import BackgroundLoop


def test_an_interrupt_at_the_end_waits_for_the_loop():
    """Ctrl-C while the block waits for the loop to stop: the block ends after the loop has stopped."""
    started, interrupted, left = threading.Event(), threading.Event(), threading.Event()
    loop_left = []

    def run_loop(done):
        started.set()
        while not done():
            pass
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        interrupted.wait(10)
        loop_left.append(left.wait(0.2))

    def interrupt(_number, _frame):
        interrupted.set()
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt), BackgroundLoop(run_loop, lambda: None):
            started.wait(10)
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
    background._thread.join(10)
    assert not background._thread.is_alive()
