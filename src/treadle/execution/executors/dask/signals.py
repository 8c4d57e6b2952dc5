"""Leave Ctrl-C and the end of the terminal to the driver, in the workers of a cluster on this machine.

Both signals go to all processes of the terminal. The driver interrupts the run and closes the cluster; a worker that reacts to a
signal itself prints a traceback. dask calls `dask_setup` in each worker, because the cluster names this module as a preload.

State: the signal handlers of the worker process. Runs in the worker.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import FrameType

TERMINAL_SIGNALS = frozenset({signal.SIGINT, signal.SIGHUP})
"""The process of a worker is started with these blocked, so that none arrives before its handlers are there."""


def dask_setup(_worker: Any) -> None:
    """Handle the signals by doing nothing, and unblock them; dask calls this in the worker's main thread."""
    for number in TERMINAL_SIGNALS:
        signal.signal(number, _do_nothing)  # not SIG_IGN, which programs that a node starts would inherit
    signal.pthread_sigmask(signal.SIG_UNBLOCK, TERMINAL_SIGNALS)


def _do_nothing(_number: int, _frame: FrameType | None) -> None:
    """Handle a signal that is the driver's to deal with."""
