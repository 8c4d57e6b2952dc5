"""A small shared memory map that records which node each worker is running and which nodes it finished last.

Used by the parent and the workers. It is one file in the pool's scratch directory with a fixed-size entry for each worker, and
it stays readable after a worker was killed. A worker writes only its own entry and the parent only reads. Each field is one
aligned word. The word that makes the other fields valid (the node's index, the number of finished nodes) is written last.

A worker reports tiny nodes to the parent in batches. Each entry therefore ends with a ring buffer of finished nodes, from which
the parent learns about the nodes that a killed worker had finished but not reported.
"""

from __future__ import annotations

import mmap
import os
import struct
from typing import Any

from treadle.execution.processes.scratch import reserve
from treadle.named_tuple import NamedTuple

_HEAD = struct.Struct("<qqdqqd")  # run, node (-1: idle), start time, peak memory, number of finished nodes, monotonic start time
_WORD = struct.Struct("<q")
_TWO_WORDS = struct.Struct("<qq")
_NODE_OFFSET = 8
_PEAK_OFFSET = 24
_COUNT_OFFSET = 32
_DONE = struct.Struct("<qqdd")  # run number, node index, start time, end time
_RING = 64
"""Number of finished nodes in the ring buffer: more than a worker ever keeps unreported."""
_ENTRY_SIZE = _HEAD.size + _RING * _DONE.size


class WorkerEntry(NamedTuple):
    """What one worker's entry contains.

    Attributes:
        run: number of the run.
        node: index of the running node; None if the worker is idle.
        started: when the node started, in seconds since the epoch.
        peak_memory: peak memory of the worker process, in bytes.
        since: when the node started by the monotonic clock, which is the same in all processes of a machine.
    """

    run: int
    node: int | None
    started: float
    peak_memory: int
    since: float = 0.0


class FinishedNode(NamedTuple):
    """A node that a worker finished: it ran from `started` to `at`, in seconds since the epoch."""

    run: int
    node: int
    started: float
    at: float


class Blackboard:
    """The shared map. `place` in its methods is the index of a worker's entry.

    Args:
        path: path of the file.
        places: number of entries. The parent gives it, and the file is created; workers leave it out.
    """

    def __init__(self, path: str, places: int | None = None) -> None:
        flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if places is not None else 0)
        fd = os.open(path, flags, 0o600)
        try:
            if places is not None:
                reserve(fd, places * _ENTRY_SIZE)
            self._map: Any = mmap.mmap(fd, 0)
        finally:
            os.close(fd)
        for place in range(places or 0):
            self.clear(place)

    @classmethod
    def of(cls, content: bytes) -> Blackboard:
        """Return a blackboard that can only be read.

        Args:
            content: what was read from the file of another blackboard.
        """
        found = cls.__new__(cls)
        found._map = content  # noqa: SLF001 - of this class
        return found

    def begin(self, place: int, run: int, node: int, started: float, since: float = 0.0) -> None:
        """Record that a worker starts a node."""
        offset = place * _ENTRY_SIZE
        peak, count = _TWO_WORDS.unpack_from(self._map, offset + _PEAK_OFFSET)
        _HEAD.pack_into(self._map, offset, run, -1, started, peak, count, since)
        _WORD.pack_into(self._map, offset + _NODE_OFFSET, node)

    def end(self, place: int) -> None:
        """Record that a worker is idle."""
        _WORD.pack_into(self._map, place * _ENTRY_SIZE + _NODE_OFFSET, -1)

    def finish(self, place: int, run: int, node: int, started: float, at: float) -> None:
        """Record that a worker is idle and has finished a node. Called before the worker reports the node to the parent."""
        offset = place * _ENTRY_SIZE
        _WORD.pack_into(self._map, offset + _NODE_OFFSET, -1)
        count = _WORD.unpack_from(self._map, offset + _COUNT_OFFSET)[0]
        _DONE.pack_into(self._map, offset + _HEAD.size + count % _RING * _DONE.size, run, node, started, at)
        _WORD.pack_into(self._map, offset + _COUNT_OFFSET, count + 1)

    def finished_after(self, place: int, count: int) -> list[FinishedNode]:
        """Return the nodes that a worker finished, in order, without the first `count`: at most the latest `_RING`."""
        offset = place * _ENTRY_SIZE
        total = _WORD.unpack_from(self._map, offset + _COUNT_OFFSET)[0]
        offsets = [offset + _HEAD.size + each % _RING * _DONE.size for each in range(max(count, total - _RING), total)]
        return [FinishedNode(*_DONE.unpack_from(self._map, each)) for each in offsets]

    def set_peak_memory(self, place: int, size: int) -> None:
        """Record a worker's peak memory, in bytes."""
        _WORD.pack_into(self._map, place * _ENTRY_SIZE + _PEAK_OFFSET, size)

    def clear(self, place: int) -> None:
        """Reset an entry for a new worker."""
        _HEAD.pack_into(self._map, place * _ENTRY_SIZE, 0, -1, 0.0, 0, 0, 0.0)

    def read(self, place: int) -> WorkerEntry:
        """Return a worker's entry."""
        run, node, started, peak, _count, since = _HEAD.unpack_from(self._map, place * _ENTRY_SIZE)
        return WorkerEntry(run, None if node < 0 else node, started, peak, since)

    def close(self) -> None:
        """Unmap the file. It is removed with the scratch directory."""
        self._map.close()
