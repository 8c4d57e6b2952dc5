"""The end of a worker that the parent stops: exit handlers run, then all that came of the worker is ended.

multiprocessing ends forked processes with `os._exit`, so no exit handler (`atexit`, `weakref.finalize`, temporary
directories) would run under fork and forkserver, and under every method it waits for child processes that nobody stopped,
such as joblib's idle workers. State: the process's exit handlers. Neighbours: `worker.py` serves until the end.
"""

from __future__ import annotations

import atexit
import weakref
from multiprocessing import util
from typing import Any

from treadle.execution.processes.process_tree import end_descendants
from treadle.execution.worker.forwarding import stop_forwarding

_POOL_PRIORITY = 1
"""Finalizers of multiprocessing from this priority on end pools and flush queues (`multiprocessing/util.py`)."""


def drop_inherited_exit_handlers() -> None:
    """In a forked worker: forget the parent's exit handlers, which only the parent may run."""
    atexit._clear()  # noqa: SLF001 - no public way to forget them
    finalize: Any = weakref.finalize
    for finalizer in list(finalize._registry):  # noqa: SLF001 - no public way to them
        finalizer.atexit = False
    finalize._registered_with_atexit = False  # noqa: SLF001 - so that the next finalizer registers with atexit again


def leave() -> None:
    """Run the exit handlers of this process, a worker, and end the processes that its nodes left running."""
    stop_forwarding()  # the parent reads no more from this worker
    atexit.unregister(util._exit_function)  # type: ignore[attr-defined]  # noqa: SLF001 - it waits for children; it runs once more
    atexit._run_exitfuncs()  # noqa: SLF001 - no public way to run them
    # Those of multiprocessing pools: a pool whose processes are killed first starts others, or waits for a lock they held.
    # Those of lower priority remove semaphores, which a process of joblib's that is being started would miss.
    util._run_finalizers(_POOL_PRIORITY)  # type: ignore[attr-defined]  # noqa: SLF001 - as multiprocessing does at the end
    end_descendants()
