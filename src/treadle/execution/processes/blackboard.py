"""A small shared map that says which node each worker is in, and which it has finished: readable even after it was killed.

One file in the pool's scratch directory, one fixed place a worker. A worker writes only its own place, the parent only
reads; each field is one aligned word, and what makes the others count (the node's index, the number of finished nodes) is
written last. A place ends with a ring of the nodes that were finished last, since what a worker says of tiny nodes waits for
company: what it had not said yet when it was killed is here.
"""

from __future__ import annotations

import mmap
import os
import struct
from dataclasses import dataclass
from typing import NamedTuple

from treadle.execution.processes.scratch import reserve

_HEAD = struct.Struct("<qqdqqd")  # run, node (-1: idle), start time, peak memory, number of finished nodes, monotonic start time
_WORD = struct.Struct("<q")
_TWO_WORDS = struct.Struct("<qq")
_NODE_OFFSET = 8
_PEAK_OFFSET = 24
_COUNT_OFFSET = 32
_DONE = struct.Struct("<qqdd")  # run number, node index, when it began and ended
_RING = 64
"""Finished nodes that are remembered: more than ever wait to be told of."""
_PLACE_SIZE = _HEAD.size + _RING * _DONE.size


@dataclass(frozen=True, slots=True)
class Glance:
    """What a place says: node is None where the worker is idle; started in seconds since the epoch, peak in bytes.

    `since` is when the node began by the monotonic clock, which is the same in all processes of a machine.
    """

    run: int
    node: int | None
    started: float
    peak_memory: int
    since: float = 0.0


class Done(NamedTuple):
    """A node that a worker finished; times in seconds since the epoch."""

    run: int
    node: int
    started: float
    at: float


class Blackboard:
    """The shared map.

    Args:
        path: its file; made, private to the user, where it does not exist.
        places: number of workers, needed by the one that makes it.
    """

    def __init__(self, path: str, places: int | None = None) -> None:
        flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if places is not None else 0)
        fd = os.open(path, flags, 0o600)
        try:
            if places is not None:
                reserve(fd, places * _PLACE_SIZE)
            self._map = mmap.mmap(fd, 0)
        finally:
            os.close(fd)
        for place in range(places or 0):
            self.clear(place)

    def begin(self, place: int, run: int, node: int, started: float, since: float = 0.0) -> None:
        """Say that a worker begins a node."""
        offset = place * _PLACE_SIZE
        peak, count = _TWO_WORDS.unpack_from(self._map, offset + _PEAK_OFFSET)
        _HEAD.pack_into(self._map, offset, run, -1, started, peak, count, since)
        _WORD.pack_into(self._map, offset + _NODE_OFFSET, node)

    def end(self, place: int) -> None:
        """Say that a worker is between nodes."""
        _WORD.pack_into(self._map, place * _PLACE_SIZE + _NODE_OFFSET, -1)

    def finish(self, place: int, run: int, node: int, started: float, at: float) -> None:
        """Say that a worker finished a node, before it says so to the parent."""
        offset = place * _PLACE_SIZE
        count = _WORD.unpack_from(self._map, offset + _COUNT_OFFSET)[0]
        _DONE.pack_into(self._map, offset + _HEAD.size + count % _RING * _DONE.size, run, node, started, at)
        _WORD.pack_into(self._map, offset + _COUNT_OFFSET, count + 1)

    def finished_after(self, place: int, count: int) -> list[Done]:
        """Return the nodes that a worker finished after its first so many, in order; only the latest are remembered."""
        offset = place * _PLACE_SIZE
        total = _WORD.unpack_from(self._map, offset + _COUNT_OFFSET)[0]
        places = [offset + _HEAD.size + each % _RING * _DONE.size for each in range(max(count, total - _RING), total)]
        return [Done(*_DONE.unpack_from(self._map, each)) for each in places]

    def peak(self, place: int, size: int) -> None:
        """Say how much memory a worker has used at most, in bytes."""
        _WORD.pack_into(self._map, place * _PLACE_SIZE + _PEAK_OFFSET, size)

    def clear(self, place: int) -> None:
        """Make a place ready for a new worker."""
        _HEAD.pack_into(self._map, place * _PLACE_SIZE, 0, -1, 0.0, 0, 0, 0.0)

    def read(self, place: int) -> Glance:
        """Return what a place says."""
        run, node, started, peak, _count, since = _HEAD.unpack_from(self._map, place * _PLACE_SIZE)
        return Glance(run, None if node < 0 else node, started, peak, since)

    def close(self) -> None:
        """Unmap it; the file belongs to the scratch directory."""
        self._map.close()
