"""Ctrl-Z: suspend the workers with this process, and continue them with it.

The terminal's SIGTSTP reaches the process group in its foreground, and each worker leads a group of its own
(`process_tree.py`). State: the process's handler of SIGTSTP, while there is a pool.
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

    Nothing is changed outside of the main thread, and where the application handles or ignores the signal itself.

    Args:
        workers: returns the process ids of the workers.

    Returns:
        A function that ends it.
    """
    number = signal.SIGTSTP
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(number) is not signal.SIG_DFL:
        return lambda: None

    def suspend(_number: int, _frame: FrameType | None) -> None:
        _signal_groups(workers(), signal.SIGSTOP)
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)  # this process stops here, and goes on when it is continued
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
