"""Find the thread pools of the numeric libraries that are loaded.

Runs in the process that forks workers: the parent under fork, or the forkserver. A worker that was forked uses what it inherits,
and looks itself otherwise. State: the thread pools that were found.
"""

from __future__ import annotations

import os
import re
import sys
from typing import Any


def find_thread_pools() -> list[Any]:
    """Return the thread pools, as threadpoolctl's controllers of their libraries.

    A search takes a millisecond. If no module was imported since the last one, no library was loaded either, and the same pools
    are returned.
    """
    if len(sys.modules) != _searched[0]:
        _found[:] = _find() if numeric_libraries_loaded() else []
        _searched[0] = len(sys.modules)
    return _found


def inherited_thread_pools() -> list[Any]:
    """Return the thread pools that the process from which this one was forked has found, or those of this process."""
    return _found or _find()


def numeric_libraries_loaded() -> bool:
    """Return whether a library that may have a thread pool is imported."""
    return any(library in sys.modules for library in ("numpy", "scipy", "sklearn", "torch"))


_found: list[Any] = []
"""The thread pools that this process, or the one from which it was forked, has found."""

_searched = [0]
"""The number of imported modules when it last looked for them."""


_MAY_HAVE_POOL = re.compile(r".*(blas|blis|mkl|omp)", re.IGNORECASE)
"""Matches the names of the libraries that threadpoolctl knows."""


def _find() -> list[Any]:
    from threadpoolctl import ThreadpoolController

    class _Controller(ThreadpoolController):  # type: ignore[misc]  # it has no types
        """Passes over most libraries: threadpoolctl resolves the path of each one that is loaded, a hundred with pandas."""

        def _make_controller_from_path(self, filepath: str) -> None:
            if _MAY_HAVE_POOL.match(os.path.basename(filepath)) or os.path.islink(filepath):
                super()._make_controller_from_path(filepath)

    found: list[Any] = _Controller().lib_controllers
    return found
