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

from treadle.execution.processes.scratch import reserve
from treadle.named_tuple import NamedTuple

_WORD_SIZE = 8
# The words of an entry, by their index in it. Start times are floats; all other words are integers.
_RUN, _NODE, _STARTED, _PEAK, _COUNT, _SINCE = range(6)  # node: -1 if idle; count: of finished nodes; since: monotonic
_HEAD_WORDS = 6
_DONE_WORDS = 4  # of a finished node: run number, node index, start time, end time
_RING = 1280
"""Number of finished nodes in the ring buffer: more than a worker has reported in one batch and holds in its queue."""
_ENTRY_WORDS = _HEAD_WORDS + _RING * _DONE_WORDS


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
                reserve(fd, places * _ENTRY_WORDS * _WORD_SIZE)
            self._map: mmap.mmap | None = mmap.mmap(fd, 0)
        finally:
            os.close(fd)
        self._view(self._map)
        for place in range(places or 0):
            self.clear(place)

    @classmethod
    def of(cls, content: bytes) -> Blackboard:
        """Return a blackboard that can only be read.

        Args:
            content: what was read from the file of another blackboard.
        """
        found = cls.__new__(cls)
        found._map = None  # noqa: SLF001 - of this class
        found._view(content)  # noqa: SLF001 - likewise
        return found

    def _view(self, content: mmap.mmap | bytes) -> None:
        """Read and write the words of the content, which takes half as long as with `struct`."""
        self._words, self._times = memoryview(content).cast("q"), memoryview(content).cast("d")

    def begin(self, place: int, run: int, node: int, started: float, since: float = 0.0) -> None:
        """Record that a worker, which is idle, starts a node."""
        words, times, entry = self._words, self._times, place * _ENTRY_WORDS
        words[entry + _RUN] = run
        times[entry + _STARTED] = started
        times[entry + _SINCE] = since
        words[entry + _NODE] = node

    def end(self, place: int) -> None:
        """Record that a worker is idle."""
        self._words[place * _ENTRY_WORDS + _NODE] = -1

    def finish(self, place: int, run: int, node: int, started: float, at: float) -> None:
        """Record that a worker is idle and has finished a node. Called before the worker reports the node to the parent."""
        words, times, entry = self._words, self._times, place * _ENTRY_WORDS
        words[entry + _NODE] = -1
        count = words[entry + _COUNT]
        done = entry + _HEAD_WORDS + count % _RING * _DONE_WORDS
        words[done] = run
        words[done + 1] = node
        times[done + 2] = started
        times[done + 3] = at
        words[entry + _COUNT] = count + 1

    def finished_after(self, place: int, count: int) -> list[FinishedNode]:
        """Return the nodes that a worker finished, in order, without the first `count`: at most the latest `_RING`."""
        words, times, entry = self._words, self._times, place * _ENTRY_WORDS
        total = words[entry + _COUNT]
        ring = [entry + _HEAD_WORDS + each % _RING * _DONE_WORDS for each in range(max(count, total - _RING), total)]
        return [FinishedNode(words[done], words[done + 1], times[done + 2], times[done + 3]) for done in ring]

    def set_peak_memory(self, place: int, size: int) -> None:
        """Record a worker's peak memory, in bytes."""
        self._words[place * _ENTRY_WORDS + _PEAK] = size

    def clear(self, place: int) -> None:
        """Reset an entry for a new worker."""
        words, entry = self._words, place * _ENTRY_WORDS
        for word, value in enumerate((0, -1, 0, 0, 0, 0)):  # the float 0.0 has the bytes of the integer 0
            words[entry + word] = value

    def read(self, place: int) -> WorkerEntry:
        """Return a worker's entry."""
        words, times, entry = self._words, self._times, place * _ENTRY_WORDS
        node = words[entry + _NODE]
        started, since = times[entry + _STARTED], times[entry + _SINCE]
        return WorkerEntry(words[entry + _RUN], None if node < 0 else node, started, words[entry + _PEAK], since)

    def close(self) -> None:
        """Unmap the file. It is removed with the scratch directory."""
        self._words.release()
        self._times.release()
        if self._map is not None:
            self._map.close()
