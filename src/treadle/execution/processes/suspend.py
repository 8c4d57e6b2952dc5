"""Ctrl-Z: suspend and continue the workers together with the parent.

The terminal sends SIGTSTP to its foreground process group only, and each worker leads another group (`process_tree.py`). The
parent therefore signals the workers itself. Runs in the parent. State: the process's SIGTSTP handler while a pool is open.
"""

from __future__ import annotations

import os
import signal
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import FrameType


def suspend_workers_too(workers: Callable[[], Iterable[int]]) -> Callable[[], None]:
    """Suspend workers whenever the terminal suspends this process.

    Does nothing outside the main thread, or if the application handles or ignores the signal itself.

    Args:
        workers: returns the process ids of the workers.

    Returns:
        A function that restores the default handler.
    """
    number = signal.SIGTSTP
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(number) is not signal.SIG_DFL:
        return lambda: None

    def suspend(_number: int, _frame: FrameType | None) -> None:
        _signal_groups(workers(), signal.SIGSTOP)
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)  # the process stops here until it receives SIGCONT
        signal.signal(number, suspend)
        _signal_groups(workers(), signal.SIGCONT)

    def end() -> None:
        if threading.current_thread() is threading.main_thread() and signal.getsignal(number) is suspend:
            signal.signal(number, signal.SIG_DFL)

    signal.signal(number, suspend)
    return end


def _signal_groups(groups: Iterable[int], number: signal.Signals) -> None:
    for group in groups:
        with suppress(ProcessLookupError):
            os.killpg(group, number)
