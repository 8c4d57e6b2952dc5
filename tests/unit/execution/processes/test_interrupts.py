import signal
import socket
import threading

import pytest

from treadle.execution.processes.interrupts import interrupts_deferred


def _send(number):
    """Send a signal to this thread: one that is sent to the process may reach another thread, and Python hears of it later."""
    signal.raise_signal(number)


def _held(done, times=1, send=_send):
    with interrupts_deferred():
        for _ in range(times):
            send(signal.SIGINT)
        done.append("all of it")


def test_interrupt_waits_for_the_end_of_the_block():
    """Ctrl-C inside the block is raised once, after the block."""
    done = []
    with pytest.raises(KeyboardInterrupt):
        _held(done, times=2)
    assert done == ["all of it"]


def test_interrupt_waits_if_other_threads_receive_signals():
    """A thread that does not block the signal does not pass it to the main thread early."""
    gone = threading.Event()
    thread = threading.Thread(target=gone.wait)
    thread.start()
    received, written = socket.socketpair()
    written.setblocking(False)
    before = signal.set_wakeup_fd(written.fileno())

    def send(number):
        signal.pthread_kill(thread.ident, number)
        received.recv(1)  # Python has it

    done = []
    try:
        with pytest.raises(KeyboardInterrupt):
            _held(done, send=send)
    finally:
        signal.set_wakeup_fd(before)
        received.close()
        written.close()
        gone.set()
        thread.join()
    assert done == ["all of it"]


def test_handlers_are_restored(wait_until):
    """The application's handlers are restored, and called for the signals that arrived meanwhile."""
    heard = []
    before = signal.signal(signal.SIGTERM, lambda number, _frame: heard.append(number))
    try:
        with interrupts_deferred():
            _send(signal.SIGTERM)
            assert heard == []
        # Python runs a handler soon, not at once, where other threads are alive.
        wait_until(lambda: heard == [signal.SIGTERM], "the signal that was held back is heard of")
        _send(signal.SIGTERM)
        wait_until(lambda: heard == [signal.SIGTERM, signal.SIGTERM], "the next one is heard of")
    finally:
        signal.signal(signal.SIGTERM, before)


def test_an_interrupt_while_handlers_are_restored_loses_none(monkeypatch):
    """Ctrl-C after the first handler was restored is raised when the others are restored too."""
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    ours, sent = lambda _number, _frame: None, []
    set_one, before = signal.signal, signal.signal(signal.SIGTERM, ours)

    def interrupted(number, handler):
        set_one(number, handler)
        if handler is handlers[0] and not sent:
            sent.append(number)
            _send(signal.SIGINT)

    try:
        monkeypatch.setattr(signal, "signal", interrupted)
        with pytest.raises(KeyboardInterrupt), interrupts_deferred():
            pass
        monkeypatch.undo()
        assert signal.getsignal(signal.SIGINT) is handlers[0]
        assert signal.getsignal(signal.SIGTERM) is ours
    finally:
        signal.signal(signal.SIGTERM, before)


def _nested(done):
    with interrupts_deferred():
        _held(done)
        done.append("after the inner one")


def test_blocks_nest():
    """Signals that an inner block deferred also wait for the end of the outer block."""
    done = []
    with pytest.raises(KeyboardInterrupt):
        _nested(done)
    assert done == ["all of it", "after the inner one"]


def test_other_threads_may_use_it():
    """Only the main thread can set handlers; in other threads signals are blocked, and nothing fails."""
    masks = []

    def work():
        with interrupts_deferred():
            masks.append(signal.pthread_sigmask(signal.SIG_BLOCK, ()))
        masks.append(signal.pthread_sigmask(signal.SIG_BLOCK, ()))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert signal.SIGINT in masks[0]
    assert signal.SIGINT not in masks[1]
