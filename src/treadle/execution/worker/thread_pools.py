"""Limit the threads of the numeric libraries that a forked worker has inherited.

Runs in workers. State: that of the libraries. Neighbour: `find_thread_pools.py` finds them ahead of time, in the forkserver.
"""

from __future__ import annotations

from ctypes import c_int
from typing import Any

from threadpoolctl import ThreadpoolController


def limit_thread_pools(limit: int) -> None:
    """Limit how many threads each loaded library uses for one operation.

    Args:
        limit: the number of threads.
    """
    for library in ThreadpoolController().lib_controllers:
        if not (library.internal_api == "openblas" and _limited_before_start(library.dynlib, limit)):
            library.set_num_threads(limit)


def _limited_before_start(openblas: Any, limit: int) -> bool:
    """Limit an OpenBLAS whose threads do not run, as in a forked process, without starting them.

    `openblas_set_num_threads` starts them first, and each waits for work in a busy loop, which takes 50 ms of a core. Two
    variables that most builds export (driver/others/blas_server.c) say whether the threads run, and how many an operation uses.

    Returns:
        False if they run, or the variables are not exported.
    """
    try:
        is_running, most = c_int.in_dll(openblas, "blas_server_avail"), c_int.in_dll(openblas, "blas_cpu_number")
    except ValueError:
        return False
    if is_running.value:
        return False
    most.value = min(limit, most.value)
    return True
