"""Keep descriptors free for the end of a run: a node of this process may have used up all that it may open.

The error of such a node often keeps the node's files open, because its traceback refers to them. The command that resumes the
run, the record and the error message need some files (modules, the database), and none could be opened.

Runs in the parent. State: the descriptors that are held.
"""

from __future__ import annotations

import os
import resource
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

_COUNT = 8
"""A SQLite database needs up to five, an import one."""

_LEAST_LIMIT = 64
"""With a lower limit of open files, the run itself needs all of them."""


class spare_descriptors:  # noqa: N801 - a context manager, entered in every run: a generator would cost more
    """Hold some descriptors during the block, so that at least as many files can be opened after it."""

    def __init__(self) -> None:
        self._held: list[int] = []
        self._device = 0

    def __enter__(self) -> None:
        limit, _most = resource.getrlimit(resource.RLIMIT_NOFILE)
        if limit != resource.RLIM_INFINITY and limit < _LEAST_LIMIT:
            return
        try:
            self._device = os.stat(os.devnull).st_rdev
            self._held.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
            while len(self._held) < _COUNT:
                self._held.append(os.dup(self._held[0]))  # faster than opening a file
        except OSError:  # too late, or there is no such device
            self._close()

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        self._close()

    def _close(self) -> None:
        """Close those that are still the ones that were opened: a node may close all, as daemons do, and other files follow."""
        while self._held:
            descriptor = self._held.pop()
            with suppress(OSError):
                if os.fstat(descriptor).st_rdev == self._device:
                    os.close(descriptor)
