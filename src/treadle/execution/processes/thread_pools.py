"""Find the thread pools of the numeric libraries that are loaded.

Runs in the process that forks workers: the parent under fork, or the forkserver. A worker that was forked uses what it inherits,
and looks itself otherwise. State: the thread pools that were found.
"""

from __future__ import annotations

import os
import sys
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def find_thread_pools() -> list[Any]:
    """Return the thread pools, as threadpoolctl's controllers of their libraries.

    A search takes up to a millisecond. If no library was loaded since the last one, and no controller was registered with
    threadpoolctl, the same pools are returned.
    """
    if not numeric_libraries_loaded():
        return []
    if _searched != [state := (_count_loaded_libraries(), _library_prefixes())]:
        _found[:] = _find()
        _searched[:] = [state]
    return _found


def inherited_thread_pools() -> list[Any]:
    """Return the thread pools that the process from which this one was forked has found, or those of this process."""
    return _found or _find()


def numeric_libraries_loaded() -> bool:
    """Return whether a library that may have a thread pool is imported."""
    return any(library in sys.modules for library in ("numpy", "scipy", "sklearn", "torch"))


_found: list[Any] = []
"""The thread pools that this process, or the one from which it was forked, has found."""

_searched: list[tuple[int, tuple[str, ...]]] = []
"""The number of loaded libraries, and the prefixes that it looked for, in the last search; empty before the first."""


def _count_loaded_libraries() -> int:
    """Return how many libraries this process has loaded so far, whether for a module or by `ctypes`.

    The dynamic linker of Linux counts them (dl_iterate_phdr(3), `dlpi_adds`). Elsewhere, return the number of imported modules.
    """
    try:
        iterate, make_callback = _library_iterator()
    except (AttributeError, OSError):
        return len(sys.modules)
    counts: list[int] = []

    def note(information: Any, _size: int, _data: Any) -> int:
        counts.append(information.contents.adds)
        return 1  # no further library: the count is the same for each

    iterate(make_callback(note), None)
    return counts[0]


@cache  # ctypes keeps each type that is made here until the process ends
def _library_iterator() -> tuple[Callable[..., int], Callable[..., Any]]:
    """Return dl_iterate_phdr(3), and the type of its callback.

    Raises:
        AttributeError: this platform does not have it.
    """
    import ctypes  # as threadpoolctl does; it takes milliseconds

    iterate = ctypes.CDLL(None).dl_iterate_phdr

    class Information(ctypes.Structure):
        _fields_ = (
            ("address", ctypes.c_void_p),
            ("name", ctypes.c_char_p),
            ("headers", ctypes.c_void_p),
            ("header_count", ctypes.c_uint16),
            ("adds", ctypes.c_ulonglong),
        )

    return iterate, ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(Information), ctypes.c_size_t, ctypes.c_void_p)


def _library_prefixes() -> tuple[str, ...]:
    """Return the prefixes of the file names of the libraries that threadpoolctl knows, also by `threadpoolctl.register`."""
    import threadpoolctl

    return tuple(getattr(threadpoolctl, "_ALL_PREFIXES", ("",)))  # not public; without it, each library is looked at


def _find() -> list[Any]:
    from threadpoolctl import ThreadpoolController

    prefixes = _library_prefixes()

    class _Controller(ThreadpoolController):  # type: ignore[misc]  # it has no types
        """Passes over most libraries: threadpoolctl resolves the path of each one that is loaded, a hundred with pandas."""

        def _make_controller_from_path(self, filepath: str) -> None:
            if os.path.basename(filepath).lower().startswith(prefixes) or os.path.islink(filepath):
                super()._make_controller_from_path(filepath)

    found: list[Any] = _Controller().lib_controllers
    return found
