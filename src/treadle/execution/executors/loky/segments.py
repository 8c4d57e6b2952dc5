"""The parent's memory files: counted while they hold a value, and reused once no process maps them any more.

Overwriting existing pages is about 2.5 times faster than allocating new ones, and they need not be freed. But a private mapping
shows later writes to pages that its process has not modified, and a node may keep its inputs for as long as its process lives. So
only the kernel knows whether a file is unused: each consumer gets a descriptor of a separate open file description, which its
mappings keep open, and a write lease is granted only if there is no other open file description (fcntl(2), F_SETLEASE). If
leases do not work like this, no file is reused.

State: the budget, and the released files that can be reused, across runs. Runs in the parent. Neighbours: `store.py` uses it.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from typing import TYPE_CHECKING

from treadle.execution.protocol.handles import IN_MESSAGE
from treadle.execution.protocol.messages import MAIN
from treadle.execution.values.budget import Budget, default_limit
from treadle.execution.values.transfer import RESIDENT_BYTES

if TYPE_CHECKING:
    from treadle.execution.protocol.handles import Handle

IDLE_BYTES = 1 << 28
"""Maximum total size of released memory files that are kept for reuse; they also take at most an eighth of the budget."""


class Segments:
    """The memory of a pool's values, and its budget.

    Args:
        scratch: the pool's scratch directory.
        workers: number of workers.
        limit: bytes that values may take in memory; half of the memory that this process may use if None.
    """

    def __init__(self, scratch: str, workers: int, limit: int | None = None) -> None:
        self.budget = Budget(scratch, workers, default_limit() if limit is None else limit)
        self._max_idle_bytes = min(IDLE_BYTES, self.budget.limit // 8)
        self._workers = workers
        self._idle: list[tuple[int, int]] = []  # size and descriptor, in the order of their release
        self._idle_bytes = 0
        self._reuses = False  # set by the first `spare`: workers that make their own files never reuse one
        self._leases_work: bool | None = None

    def begin(self) -> None:
        """Start a run, in which all workers are idle."""
        for worker in range(1, self._workers + 1):
            self.forget_worker(worker)

    def forget_worker(self, worker: int) -> None:
        """Forget the values that a worker made and did not report: it is idle or lost, so there are none."""
        self.budget.mark_all_reported(worker - 1)

    def add(self, handle: Handle, worker: int) -> None:
        """Add a value that a worker reported to the budget."""
        if type(handle) in IN_MESSAGE:  # most values
            return
        size, files = handle.memory
        if size:
            if worker != MAIN:
                self.budget.add_reported(worker - 1, size, files)
            self.budget.add(size, files)
            self._trim()

    def remove(self, handle: Handle) -> None:
        """Subtract a value from the budget; the caller owns its file now."""
        if type(handle) in IN_MESSAGE:
            return
        size, files = handle.memory
        if size:
            self.budget.add(-size, -files)

    def free(self, handle: Handle) -> None:
        """Subtract a value from the budget, and close its file or keep it for reuse."""
        if type(handle) in IN_MESSAGE:
            return
        self.remove(handle)
        if self._reuses and (fd := handle.fd) is not None and self._is_reusable(handle.size):
            self._idle.append((handle.size, fd))
            self._idle_bytes += handle.size
            self.budget.add(handle.size, 1)
            self._trim()
        else:
            handle.close()

    @property
    def has_idle(self) -> bool:
        """True if there are files to reuse."""
        return bool(self._idle)

    def spare(self, size: int) -> int | None:
        """Remove and return the descriptor of an unused file of about this size, which the caller closes; None if none fits."""
        self._reuses = True
        fitting = sorted(((abs(kept - size), place) for place, (kept, fd) in enumerate(self._idle) if _is_unshared(fd)))
        return self._take_idle(fitting[0][1]) if fitting else None

    def share(self, fd: int) -> int:
        """Return a descriptor for a consumer, with an open file description of its own."""
        try:
            return os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            # The duplicate below shares the parent's open file description, so a lease cannot detect the consumer's mapping.
            self._leases_work = False
            self._drop_idle()
            return os.dup(fd)

    def abandon(self) -> None:
        """In a forked child: close its copies of the descriptors."""
        self._drop_idle(count=False)

    def close(self) -> None:
        """Close all files and the budget."""
        self._drop_idle()
        self.budget.close()

    def _is_reusable(self, size: int) -> bool:
        """Return whether a released file of this size may be kept for reuse."""
        if self._leases_work is None:
            self._leases_work = leases_work()
        return self._leases_work and size >= RESIDENT_BYTES

    def _trim(self) -> None:
        """Close the oldest released files while there are too many, or the memory is needed."""
        while self._idle and (self._idle_bytes > self._max_idle_bytes or not self.budget.has_room(self.budget.limit // 4)):
            fd = self._take_idle(0)
            os.close(fd)

    def _take_idle(self, place: int) -> int:
        size, fd = self._idle.pop(place)
        self._idle_bytes -= size
        self.budget.add(-size, -1)
        return fd

    def _drop_idle(self, *, count: bool = True) -> None:
        while self._idle:
            if count:
                os.close(self._take_idle(0))
            else:
                os.close(self._idle.pop()[1])


def leases_work() -> bool:
    """Return whether leases on this system detect that a memory file is still mapped; tested with a small file."""
    if not hasattr(os, "memfd_create") or not hasattr(fcntl, "F_SETLEASE"):
        return False
    try:
        fd = os.memfd_create("treadle", os.MFD_CLOEXEC)
        try:
            os.ftruncate(fd, mmap.PAGESIZE)
            consumer = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)
            try:
                mapped = mmap.mmap(consumer, mmap.PAGESIZE, access=mmap.ACCESS_COPY)
            finally:
                os.close(consumer)
            with mapped:
                refused = not _is_unshared(fd)
            return refused and _is_unshared(fd)
        finally:
            os.close(fd)
    except OSError:
        return False


def _is_unshared(fd: int) -> bool:
    """Return whether a memory file has no other open file description: no other process has a descriptor or a mapping of it."""
    try:
        own = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.fcntl(own, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        fcntl.fcntl(own, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError:
        return False
    else:
        return True
    finally:
        os.close(own)
