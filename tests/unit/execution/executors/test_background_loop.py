"""BackgroundLoop: whatever interrupts the run's thread, nobody turns the loop beside it afterwards."""

from __future__ import annotations

import signal
import threading

import pytest

from treadle.execution.executors.background_loop import BackgroundLoop


def test_an_interrupt_at_the_end_waits_for_the_turn():
    """Ctrl-C while the last turn is waited for: the block ends after the turn did."""
    begun, interrupted, left = threading.Event(), threading.Event(), threading.Event()
    turns_left = []

    def turns(over):
        begun.set()
        while not over():
            pass
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        interrupted.wait(10)
        turns_left.append(left.wait(0.2))

    def interrupt(_number, _frame):
        interrupted.set()
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt), BackgroundLoop(turns, lambda: None):
            begun.wait(10)
        left.set()
    finally:
        signal.signal(signal.SIGINT, before)
    assert turns_left == [False]


def test_an_interrupt_at_the_start_leaves_nobody(monkeypatch):
    """Ctrl-C while the thread is started: it ends by itself."""
    background = BackgroundLoop(lambda over: [None for _ in iter(over, True)], lambda: None)
    start = background._thread.start

    def interrupted():
        start()
        raise KeyboardInterrupt

    monkeypatch.setattr(background._thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt), background:
        pass
    background._thread.join(10)
    assert not background._thread.is_alive()
