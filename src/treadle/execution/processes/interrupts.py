"""Defer Ctrl-C, SIGTERM and SIGHUP during a step that must not be interrupted: starting a process, opening or closing a pool.

Runs in the parent. State: the process's signal handlers and the thread's signal mask, changed inside the `with` block and then
restored. Blocking alone is not enough: the kernel delivers a blocked signal to another thread that does not block it, and Python
then runs the handler in the main thread. In the main thread the handlers are therefore replaced too.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

DEFERRED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""The signals that interrupt a run."""


@contextmanager
def interrupts_deferred() -> Iterator[None]:
    """Defer SIGINT, SIGTERM and SIGHUP to the end of the block. A child process started inside it has them blocked."""
    arrived: list[int] = []
    handlers: dict[int, Any] = {}
    before = None
    try:
        if threading.current_thread() is threading.main_thread():
            for number in DEFERRED:
                if callable(handler := signal.getsignal(number)):  # neither SIG_DFL nor SIG_IGN
                    handlers[number] = handler
                    signal.signal(number, lambda number, _frame: arrived.append(number))
        before = signal.pthread_sigmask(signal.SIG_BLOCK, DEFERRED)
        yield
    finally:
        if before is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        restore_handlers(handlers)
        for caught in dict.fromkeys(arrived):
            signal.raise_signal(caught)


def restore_handlers(handlers: dict[int, Any]) -> None:
    """Restore all handlers, even if a signal arrives and a handler that is already restored raises."""
    while handlers:
        number = next(iter(handlers))
        try:
            signal.signal(number, handlers[number])
            del handlers[number]
        except BaseException:
            restore_handlers(handlers)
            raise
