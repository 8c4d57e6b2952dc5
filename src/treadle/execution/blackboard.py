"""A small shared map that says which node each worker is in: readable even after a worker was killed.

One file in the pool's scratch directory, one fixed place a worker. A worker writes only its own place, the parent only
reads; each field is one aligned word, and the node's index is written last and cleared first.
"""

from __future__ import annotations

import mmap
import os
import struct
from dataclasses import dataclass

_PLACE = struct.Struct("<qqdq")  # run number, node index (-1: idle), start time, peak memory
_NODE = struct.Struct("<q")
_NODE_OFFSET = 8
_PEAK_OFFSET = 24


@dataclass(frozen=True, slots=True)
class Glance:
    """What a place says: node is None where the worker is idle; started in seconds since the epoch, peak in bytes."""

    run: int
    node: int | None
    started: float
    peak_memory: int


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
                os.ftruncate(fd, places * _PLACE.size)
            self._map = mmap.mmap(fd, 0)
        finally:
            os.close(fd)
        for place in range(places or 0):
            self.clear(place)

    def begin(self, place: int, run: int, node: int, started: float) -> None:
        """Say that a worker begins a node."""
        offset = place * _PLACE.size
        peak = _NODE.unpack_from(self._map, offset + _PEAK_OFFSET)[0]
        _PLACE.pack_into(self._map, offset, run, -1, started, peak)
        _NODE.pack_into(self._map, offset + _NODE_OFFSET, node)

    def end(self, place: int) -> None:
        """Say that a worker is between nodes."""
        _NODE.pack_into(self._map, place * _PLACE.size + _NODE_OFFSET, -1)

    def peak(self, place: int, size: int) -> None:
        """Say how much memory a worker has used at most, in bytes."""
        _NODE.pack_into(self._map, place * _PLACE.size + _PEAK_OFFSET, size)

    def clear(self, place: int) -> None:
        """Make a place ready for a new worker."""
        _PLACE.pack_into(self._map, place * _PLACE.size, 0, -1, 0.0, 0)

    def read(self, place: int) -> Glance:
        """Return what a place says."""
        run, node, started, peak = _PLACE.unpack_from(self._map, place * _PLACE.size)
        return Glance(run, None if node < 0 else node, started, peak)

    def close(self) -> None:
        """Unmap it; the file belongs to the scratch directory."""
        self._map.close()
