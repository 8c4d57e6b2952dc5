"""The parent's memory files: counted while a value is in them, and written over once nobody maps them any more.

Writing over pages that are there is some 2.5 times faster than having fresh ones made, and spares giving them back. But a
private map shows what is written later to pages that its owner has not touched, and a node may keep what it got for as
long as its process lives. So only the kernel can say that a file is free: what goes to a taker is a descriptor of its own
open file, which each of its maps holds on to, and a write lease is granted only where no other open file is left
(fcntl(2), F_SETLEASE). Where leases do not tell that, nothing is written over.

State: the budget, and the released files that wait to be used again, from run to run.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from typing import TYPE_CHECKING

from treadle.execution.protocol.handles import Inline
from treadle.execution.protocol.messages import MAIN
from treadle.execution.values.budget import Budget, default_limit
from treadle.execution.values.transfer import RESIDENT_BYTES

if TYPE_CHECKING:
    from treadle.execution.protocol.handles import Handle

IDLE_BYTES = 1 << 28
"""Released memory files keep at most so many bytes for later ones, and at most an eighth of what values may have."""


class Segments:
    """The memory of a pool's values.

    Args:
        scratch: the pool's scratch directory.
        workers: number of workers.
        limit: bytes that values may take in memory; half of what the process may use where None.
    """

    def __init__(self, scratch: str, workers: int, limit: int | None = None) -> None:
        self.budget = Budget(scratch, workers, default_limit() if limit is None else limit)
        self._most_idle = min(IDLE_BYTES, self.budget.limit // 8)
        self._workers = workers
        self._idle: list[tuple[int, int]] = []  # size and descriptor, the longest idle first
        self._idle_bytes = 0
        self._wanted = False  # nothing is kept for values that go into files of their worker's making
        self._leases_tell: bool | None = None

    def begin(self) -> None:
        """A run begins: the workers are idle."""
        for worker in range(1, self._workers + 1):
            self.forget_worker(worker)

    def forget_worker(self, worker: int) -> None:
        """A worker has nothing that was not heard of: it is idle, or gone."""
        self.budget.settle(worker - 1)

    def add(self, handle: Handle, worker: int) -> None:
        """Count a value that a worker told of."""
        size, files = handle.memory
        if size:
            if worker != MAIN:
                self.budget.note_heard(worker - 1, size, files)
            self.budget.count(size, files)
            self._trim()

    def remove(self, handle: Handle) -> None:
        """Count a value no more; its file is somebody else's now."""
        size, files = handle.memory
        if size:
            self.budget.count(-size, -files)

    def give_back(self, handle: Handle) -> None:
        """Count a value no more and close its file, or keep it for another value."""
        if type(handle) is Inline:
            return
        self.remove(handle)
        if self._wanted and (fd := handle.fd) is not None and self._is_kept(handle.size):
            self._idle.append((handle.size, fd))
            self._idle_bytes += handle.size
            self.budget.count(handle.size, 1)
            self._trim()
        else:
            handle.close()

    @property
    def has_idle(self) -> bool:
        """True where files wait to be used again."""
        return bool(self._idle)

    def spare(self, size: int) -> int | None:
        """Return the descriptor of a file to write a value of about this size over, for the caller to close."""
        self._wanted = True
        fitting = sorted(((abs(kept - size), place) for place, (kept, fd) in enumerate(self._idle) if _is_alone(fd)))
        return self._take_idle(fitting[0][1]) if fitting else None

    def share(self, fd: int) -> int:
        """Return a descriptor for a taker, of an open file of its own."""
        try:
            return os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._leases_tell = False  # the same open file: its maps cannot be told from ours
            self._drop_idle()
            return os.dup(fd)

    def abandon(self) -> None:
        """In a forked child: close its copies of the descriptors."""
        self._drop_idle(count=False)

    def close(self) -> None:
        """Give everything back."""
        self._drop_idle()
        self.budget.close()

    def _is_kept(self, size: int) -> bool:
        """Say whether a released file of this size may serve again."""
        if self._leases_tell is None:
            self._leases_tell = leases_tell()
        return self._leases_tell and size >= RESIDENT_BYTES

    def _trim(self) -> None:
        """Close what has been idle longest, while it is too much or the memory is needed."""
        while self._idle and (self._idle_bytes > self._most_idle or not self.budget.has_room(self.budget.limit // 4)):
            fd = self._take_idle(0)
            os.close(fd)

    def _take_idle(self, place: int) -> int:
        size, fd = self._idle.pop(place)
        self._idle_bytes -= size
        self.budget.count(-size, -1)
        return fd

    def _drop_idle(self, *, count: bool = True) -> None:
        while self._idle:
            if count:
                os.close(self._take_idle(0))
            else:
                os.close(self._idle.pop()[1])


def leases_tell() -> bool:
    """Say whether this system's leases tell that a memory file is mapped nowhere: tried with one."""
    if not hasattr(os, "memfd_create") or not hasattr(fcntl, "F_SETLEASE"):
        return False
    try:
        fd = os.memfd_create("treadle", os.MFD_CLOEXEC)
        try:
            os.ftruncate(fd, mmap.PAGESIZE)
            taker = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)
            try:
                mapped = mmap.mmap(taker, mmap.PAGESIZE, access=mmap.ACCESS_COPY)
            finally:
                os.close(taker)
            with mapped:
                refused = not _is_alone(fd)
            return refused and _is_alone(fd)
        finally:
            os.close(fd)
    except OSError:
        return False


def _is_alone(fd: int) -> bool:
    """Say whether no other open file leads to a memory file: nobody has a descriptor of it, nor a map."""
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
