"""Exit of a worker that the parent stops: run the exit handlers, then end the processes that its nodes left running.

multiprocessing ends forked processes with `os._exit`, so no exit handler (`atexit`, `weakref.finalize`, temporary directories)
would run under fork and forkserver, and no object in a reference cycle would be finalized. Under every start method it also waits
for child processes that are still running, such as joblib's idle workers. State: the process's exit handlers. Runs in workers.
Neighbours: `server.py` serves until then.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
import weakref
from contextlib import suppress
from multiprocessing import util
from typing import Any

from treadle.execution.processes.process_tree import end_descendants
from treadle.execution.worker.forwarding import stop_forwarding

_POOL_PRIORITY = 1
"""Finalizers of multiprocessing from this priority on end pools and flush queues (`multiprocessing/util.py`)."""


def drop_inherited_exit_handlers() -> None:
    """Unregister the parent's exit handlers in a forked worker: only the parent may run them."""
    atexit._clear()  # noqa: SLF001 - no public way to unregister all
    finalize: Any = weakref.finalize
    for finalizer in list(finalize._registry):  # noqa: SLF001 - no public way to list them
        finalizer.atexit = False
    finalize._registered_with_atexit = False  # noqa: SLF001 - so that the next finalizer registers with atexit again


def _make_room_for_a_file() -> None:
    """Close standard input, which is /dev/null in a worker, if nodes have opened all files that this process may open.

    Otherwise neither an exit handler nor the search for the processes that nodes left running could open a file.
    """
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        with suppress(AttributeError, OSError, ValueError):  # it is missing or closed
            os.close(sys.stdin.fileno())


def run_exit_handlers() -> None:
    """Run the exit handlers of this process, a worker, end the processes that its nodes left running, and collect garbage."""
    stop_forwarding()  # the parent no longer reads from this worker
    _make_room_for_a_file()
    atexit.unregister(util._exit_function)  # type: ignore[attr-defined]  # noqa: SLF001 - waits for children; it still runs at exit
    atexit._run_exitfuncs()  # noqa: SLF001 - no public way to run them
    gc.collect()  # finalizes what nodes have left in reference cycles: a forked process ends without a collection
    gc.freeze()  # so that Python's own collection at exit has nothing left to traverse
    # Pools must be ended before their processes: a pool whose processes are killed starts new ones, or waits for a lock that
    # they held. Finalizers of lower priority remove semaphores, which a joblib process that is just starting still needs.
    util._run_finalizers(_POOL_PRIORITY)  # type: ignore[attr-defined]  # noqa: SLF001 - as multiprocessing does at exit
    end_descendants()
