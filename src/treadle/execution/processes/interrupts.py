"""Hold Ctrl-C, SIGTERM and SIGHUP back while something must be done whole: a process born, a pool made, or taken away.

State: the process's signal handlers and the thread's signal mask, changed for the length of a `with` and put back. A
blocked signal goes to another thread that has it open, and Python runs its handler in the main thread all the same: so
the handlers are held back too, where this is the main thread.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_HELD = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def interrupts_held_back() -> Iterator[None]:
    """Keep SIGINT, SIGTERM and SIGHUP waiting until the block is over; a child that is born in it has them blocked."""
    arrived: list[int] = []
    handlers: dict[int, Any] = {}
    before = None
    try:
        if threading.current_thread() is threading.main_thread():
            for number in _HELD:
                if callable(handler := signal.getsignal(number)):  # not where the system's default action, or none, is set
                    handlers[number] = handler
                    signal.signal(number, lambda number, _frame: arrived.append(number))
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _HELD)
        yield
    finally:
        if before is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        _put_back(handlers)
        for caught in dict.fromkeys(arrived):
            signal.raise_signal(caught)


def _put_back(handlers: dict[int, Any]) -> None:
    """Put handlers back, every one of them, though one that is back already may hear of its signal and raise."""
    while handlers:
        number = next(iter(handlers))
        try:
            signal.signal(number, handlers[number])
            del handlers[number]
        except BaseException:
            _put_back(handlers)
            raise
