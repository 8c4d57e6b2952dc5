"""Limit the threads of numeric libraries in a worker.

Runs in workers; the parent calls `find_thread_pools` before it forks them. State: that of the libraries, and the environment.
Neighbour: `find_thread_pools.py` finds the thread pools ahead of time.
"""

from __future__ import annotations

import os
import sys
from typing import Any

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)
"""The environment variables from which numeric libraries read the size of their thread pools when they are loaded."""


def limit_threads(limit: int | None) -> None:
    """Limit how many threads each numeric library uses for one operation, whether it is loaded already or later.

    Args:
        limit: the number of threads; None for no limit.
    """
    if limit is None:
        return
    for name in THREAD_VARIABLES:
        os.environ.setdefault(name, str(limit))
    if _some_are_loaded():  # inherited by a forked worker: they read the variables only when they are loaded
        from threadpoolctl import ThreadpoolController

        for library in ThreadpoolController().lib_controllers:
            if not (library.internal_api == "openblas" and _limited_before_start(library.dynlib, limit)):
                library.set_num_threads(limit)


def find_thread_pools(limit: int | None) -> None:
    """Find the thread pools that each forked worker will limit: once in the parent instead of in each worker.

    Args:
        limit: the limit of the workers; None for no limit.
    """
    if limit is not None and _some_are_loaded():
        import treadle.execution.worker.find_thread_pools  # noqa: F401 - importing it does the work


def _some_are_loaded() -> bool:
    return any(library in sys.modules for library in ("numpy", "scipy", "sklearn", "torch"))


def _limited_before_start(openblas: Any, limit: int) -> bool:
    """Limit an OpenBLAS whose threads do not run, as in a forked process, without starting them.

    `openblas_set_num_threads` starts them first, and each waits for work in a busy loop, which takes 50 ms of a core. Two
    variables that most builds export (driver/others/blas_server.c) say whether the threads run, and how many an operation uses.

    Returns:
        False if they run, or the variables are not exported.
    """
    from ctypes import c_int

    try:
        is_running, most = c_int.in_dll(openblas, "blas_server_avail"), c_int.in_dll(openblas, "blas_cpu_number")
    except ValueError:
        return False
    if is_running.value:
        return False
    most.value = min(limit, most.value)
    return True
