"""Hold Ctrl-C and SIGTERM back while something must be done whole: a process born, a pool made, or taken away.

State: the process's signal handlers and the thread's signal mask, changed for the length of a `with` and put back. A
blocked signal goes to another thread that has it open, and Python runs its handler in the main thread all the same: so
the handlers are held back too, where this is the main thread.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_HELD = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def interrupts_held_back() -> Iterator[None]:
    """Keep SIGINT and SIGTERM waiting until the block is over; a child that is born in it has them blocked."""
    arrived: list[int] = []
    handlers = {}
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
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for caught in dict.fromkeys(arrived):
            signal.raise_signal(caught)
