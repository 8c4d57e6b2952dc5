"""How much memory the values of a pool's runs take, as the parent and all workers know it at any moment.

A small shared map of words in the pool's scratch directory. The parent counts what it has heard of. What a worker has
made and not told yet it counts itself, so that many values made at the same time do not pass the limit together::

    limits │ bytes, files (the parent's) │ worker 1: bytes made, heard; files made, heard │ worker 2: …

Each word has one writer: the parent, but for what a worker has made. To look and to note are two steps, so workers that
come at the same instant may pass the limit by a value each. Files are open memory files, which are few too.
State: the map.
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
"""The number of open memory files past which large values go to scratch files, unless RLIMIT_NOFILE demands fewer."""

_SHARE = 0.5
"""Part of the memory that a process may use which values take at most where nothing else is said."""

_HEADER, _PLACE = 4, 4
_LIMIT, _BYTES, _FILES, _MOST_FILES = 0, 1, 2, 3
_MADE_BYTES, _HEARD_BYTES, _MADE_FILES, _HEARD_FILES = 0, 1, 2, 3


class Budget:
    """The shared map.

    Args:
        folder: where its file is; made, private to the user, where `places` is given.
        places: number of workers, needed by the one that makes it.
        limit: bytes that values may take in memory, likewise.
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
        self._lock = fork_safe(threading.Lock())  # of what this worker made: its threads publish too
        if places is not None:
            self._words[_LIMIT] = limit
            self._words[_MOST_FILES] = min(OPEN_FILES, _free_descriptors() // 4)

    @property
    def limit(self) -> int:
        """Bytes that values may take in memory."""
        return self._words[_LIMIT]

    def used(self) -> int:
        """Return the bytes that they take."""
        return self._words[_BYTES] + self._unheard(_MADE_BYTES, _HEARD_BYTES)

    def has_room(self, size: int) -> bool:
        """Say whether a value of so many bytes still fits in."""
        return self.used() + size <= self.limit

    @property
    def is_crowded(self) -> bool:
        """True where so many memory files are open that large values had better go to scratch files."""
        return self._words[_FILES] + self._unheard(_MADE_FILES, _HEARD_FILES) >= self._words[_MOST_FILES]

    def _unheard(self, made: int, heard: int) -> int:
        words = self._words
        return sum(words[place + made] - words[place + heard] for place in range(_HEADER, len(words), _PLACE))

    def note_made(self, place: int, size: int, files: int) -> None:
        """By a worker: it made a value (or took one back, with negative numbers)."""
        at = _HEADER + place * _PLACE
        with self._lock:
            self._words[at + _MADE_BYTES] += size
            self._words[at + _MADE_FILES] += files

    def note_heard(self, place: int, size: int, files: int) -> None:
        """By the parent: a worker told of a value, which is counted here from now on."""
        at = _HEADER + place * _PLACE
        self._words[at + _HEARD_BYTES] += size
        self._words[at + _HEARD_FILES] += files

    def count(self, size: int, files: int) -> None:
        """By the parent: a value is there, or, with negative numbers, there no more."""
        self._words[_BYTES] += size
        self._words[_FILES] += files

    def settle(self, place: int) -> None:
        """By the parent, while a worker is idle or dead: it has nothing that was not heard of."""
        at = _HEADER + place * _PLACE
        self._words[at + _HEARD_BYTES] = self._words[at + _MADE_BYTES]
        self._words[at + _HEARD_FILES] = self._words[at + _MADE_FILES]

    def close(self) -> None:
        """Unmap it; the file belongs to the scratch directory."""
        self._words.release()
        self._map.close()


def default_limit() -> int:
    """Return half of the memory that this process may use."""
    return int(_SHARE * usable_memory())


def _free_descriptors() -> int:
    """Return how many more descriptors this process may open."""
    may_open, _most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if may_open == resource.RLIM_INFINITY:
        return 2**31
    try:
        return max(0, may_open - len(os.listdir("/dev/fd")))
    except OSError:  # not mounted
        return may_open
