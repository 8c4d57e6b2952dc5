"""Limit the threads of numeric libraries in a worker. Runs in workers. State: the environment."""

from __future__ import annotations

import os
from typing import Any

from treadle.execution.processes.thread_pools import inherited_thread_pools, numeric_libraries_loaded

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
    if numeric_libraries_loaded():  # inherited by a forked worker: they read the variables only when they are loaded
        for library in inherited_thread_pools():
            if not (library.internal_api == "openblas" and _limited_before_start(library.dynlib, limit)):
                library.set_num_threads(limit)


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
