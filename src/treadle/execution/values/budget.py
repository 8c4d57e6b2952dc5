"""Count the memory and the open memory files that the values of a pool take, for the parent and all workers.

State: a small shared memory map of words, a file in the pool's scratch directory. The parent counts the values that were
reported to it. Each worker counts the values that it has created, and the parent how many of these were reported, so the
unreported ones count too::

    limits │ bytes, files (reported) │ worker 1: bytes created, reported; files created, reported │ worker 2: …

Each word has one writer: a worker writes its created counts, the parent everything else. Checking the limit and adding to it are
two steps, so workers that create values at the same instant may exceed the limit by one value each.
"""

from __future__ import annotations

import mmap
import os
import resource
import threading

from treadle.execution.processes.memory import usable_memory
from treadle.execution.processes.scratch import reserve
from treadle.forks import fork_safe

OPEN_FILES = 128
"""Limit of open memory files. Past it, or past a quarter of the descriptors that were free, large values go to scratch files."""

_POOL_FILES, _WORKER_FILES = 12, 10
"""The descriptors that a pool opens for itself, and for each of its workers, at most."""

_DEFAULT_SHARE = 0.5
"""Default limit of the values' memory, as a share of the memory that this process may use."""

_HEADER, _PLACE = 4, 4
_LIMIT, _BYTES, _FILES, _MAX_FILES = 0, 1, 2, 3
_CREATED_BYTES, _REPORTED_BYTES, _CREATED_FILES, _REPORTED_FILES = 0, 1, 2, 3


class Budget:
    """The shared map. `place` in its methods is the index of a worker's words.

    Args:
        folder: the folder of the map's file.
        places: number of workers. The parent gives it, and the file is created; workers leave it out.
        limit: bytes that values may take in memory. Given with `places`.
    """

    def __init__(self, folder: str, places: int | None = None, limit: int = 0) -> None:
        fd = os.open(os.path.join(folder, "budget"), os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if places is not None else 0), 0o600)
        try:
            if places is not None:
                reserve(fd, 8 * (_HEADER + places * _PLACE))
            self._map = mmap.mmap(fd, 0)
        finally:
            os.close(fd)
        self._words = memoryview(self._map).cast("q")
        self._lock = fork_safe(threading.Lock())  # guards this worker's created counts, which several of its threads change
        if places is not None:
            self._words[_LIMIT] = limit
            spare = _free_descriptors() - _POOL_FILES - _WORKER_FILES * places
            self._words[_MAX_FILES] = min(OPEN_FILES, max(0, spare) // 4)

    @property
    def limit(self) -> int:
        """Bytes that values may take in memory."""
        return self._words[_LIMIT]

    def used(self) -> int:
        """Return the bytes that values take in memory now."""
        return self._words[_BYTES] + self._unreported(_CREATED_BYTES, _REPORTED_BYTES)

    def has_room(self, size: int) -> bool:
        """Return whether a value of `size` bytes fits into the limit."""
        return self.used() + size <= self.limit

    @property
    def is_short_of_files(self) -> bool:
        """Whether the limit of open memory files is reached, so that large values should go to scratch files."""
        return self._words[_FILES] + self._unreported(_CREATED_FILES, _REPORTED_FILES) >= self._words[_MAX_FILES]

    def _unreported(self, created: int, reported: int) -> int:
        words = self._words
        return sum(words[place + created] - words[place + reported] for place in range(_HEADER, len(words), _PLACE))

    def add_created(self, place: int, size: int, files: int) -> None:
        """Count a value that a worker created; with negative numbers, take it back. Called in the worker."""
        at = _HEADER + place * _PLACE
        with self._lock:
            self._words[at + _CREATED_BYTES] += size
            self._words[at + _CREATED_FILES] += files

    def add_reported(self, place: int, size: int, files: int) -> None:
        """Count a worker's value as reported. Called in the parent, which also calls `add`."""
        at = _HEADER + place * _PLACE
        self._words[at + _REPORTED_BYTES] += size
        self._words[at + _REPORTED_FILES] += files

    def add(self, size: int, files: int) -> None:
        """Count a value; with negative numbers, a value that was released. Called in the parent."""
        self._words[_BYTES] += size
        self._words[_FILES] += files

    def mark_all_reported(self, place: int) -> None:
        """Count all values of a worker as reported. Called in the parent while the worker is idle or dead."""
        at = _HEADER + place * _PLACE
        self._words[at + _REPORTED_BYTES] = self._words[at + _CREATED_BYTES]
        self._words[at + _REPORTED_FILES] = self._words[at + _CREATED_FILES]

    def close(self) -> None:
        """Unmap the file. It is removed with the scratch directory."""
        self._words.release()
        self._map.close()


def default_limit() -> int:
    """Return half of the memory that this process may use, in bytes."""
    return int(_DEFAULT_SHARE * usable_memory())


def _free_descriptors() -> int:
    """Return how many more descriptors this process may open."""
    may_open, _most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if may_open == resource.RLIM_INFINITY:
        return 2**31
    try:
        return max(0, may_open - len(os.listdir("/dev/fd")))
    except OSError:  # /dev/fd is not mounted
        return may_open
