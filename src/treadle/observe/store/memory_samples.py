"""Samples of the memory of a run's processes, taken by the thread that writes the record.

The samples of a long run are thinned out, so that a record keeps at most some hundred. Only processes of this machine that this
process has started are read, and only on Linux; others have no samples. State: the samples of one run.

Neighbours: `recorder.py` knows the workers, `live.py` says when to take a sample.
"""

from __future__ import annotations

import os
import time
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from treadle.named_tuple import NamedTuple
from treadle.observe.store.plain import plain_text
from treadle.observe.store.process_stat import started_after_boot, stat_fields

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_SAMPLES = 400
"""Number of samples that a record keeps at most; half of them are dropped when there are more."""

_MAX_GENERATIONS = 6
"""How far a worker may be removed from this process: a forkserver, a nanny or a launcher may be in between."""


class MemoryRecord(NamedTuple):
    """The resident memory of the processes of a run over time.

    Attributes:
        limit: bytes that the run may use: the machine's memory, or the limit of its control group. None if unknown.
        times: when each sample was taken, seconds since the epoch.
        processes: (name of the worker or `"main"`, bytes at each time or None) of each process; of consecutive samples that were
            merged, the largest.
    """

    limit: int | None
    times: tuple[float, ...]
    processes: tuple[tuple[str, tuple[int | None, ...]], ...]

    def as_json(self) -> dict[str, Any]:
        """Return the record as lists and dictionaries, which `from_json` reads."""
        processes = [[plain_text(name), list(sizes)] for name, sizes in self.processes]
        return {"limit": self.limit, "times": list(self.times), "processes": processes}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> MemoryRecord:
        """Read a record.

        Args:
            content: what `as_json` returned.
        """
        processes = tuple((name, tuple(sizes)) for name, sizes in content["processes"])
        return cls(content["limit"], tuple(content["times"]), processes)


class MemorySamples:
    """Take samples of the memory of a run's processes."""

    def __init__(self) -> None:
        self._times: list[float] = []
        self._samples: list[dict[str, int]] = []
        self._step = 1  # samples that are merged into one
        self._merged = 0
        self._launched: dict[int, float | None] = {}
        self._limit: int | None = None  # of memory, once it was read

    def sample(self, workers: dict[str, int]) -> dict[int, float]:
        """Take a sample.

        Args:
            workers: process id of each worker that is alive, by name.

        Returns:
            When processes that were not sampled before were launched, in seconds since the epoch, by process id.
        """
        found: dict[int, float] = {}
        sizes: dict[str, int] = {}
        own = os.getpid()
        for name, pid in (("main", own), *workers.items()):
            if pid not in self._launched:
                self._launched[pid] = launched = _launched(pid) if pid == own or _is_descendant(pid, own) else None
                if launched is not None:
                    found[pid] = launched
            if self._launched[pid] is not None and (pid != own or name == "main") and (size := _resident(pid)) is not None:
                sizes[name] = size
        self._add(sizes)
        return found

    def record(self) -> MemoryRecord | None:
        """Return the samples taken so far; None if there are none."""
        if not self._samples:
            return None
        names = dict.fromkeys(name for sample in self._samples for name in sample)
        processes = tuple((name, tuple(sample.get(name) for sample in self._samples)) for name in names)
        if self._limit is None:
            self._limit = _limit()
        return MemoryRecord(self._limit, tuple(self._times), processes)

    def _add(self, sizes: dict[str, int]) -> None:
        if self._merged % self._step == 0:
            self._times.append(round(time.time(), 3))
            self._samples.append(sizes)
        else:
            _merge(self._samples[-1], sizes)
        self._merged += 1
        if len(self._samples) > MAX_SAMPLES:
            for first, second in zip(self._samples[::2], self._samples[1::2], strict=False):
                _merge(first, second)
            self._times, self._samples = self._times[::2], self._samples[::2]
            self._step, self._merged = self._step * 2, 0


def _merge(into: dict[str, int], sizes: dict[str, int]) -> None:
    for name, size in sizes.items():
        into[name] = max(size, into.get(name, 0))


@lru_cache(maxsize=1)  # a service records many runs, and the limit hardly ever changes
def _limit() -> int | None:
    from treadle.execution.processes.memory import cgroup_limits

    try:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):  # not every system has these names
        return None
    return min([total, *cgroup_limits(Path("/sys/fs/cgroup"), Path("/proc/self/cgroup"))])


def _resident(pid: int) -> int | None:
    try:
        with open(f"/proc/{pid}/statm", encoding="ascii") as file:  # noqa: PTH123 - read five times a second, for each process
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):  # it has ended, or this is not Linux
        return None


def _is_descendant(pid: int, ancestor: int) -> bool:
    for _ in range(_MAX_GENERATIONS):
        fields = stat_fields(pid)
        if fields is None:
            return False
        pid = int(fields[1])
        if pid == ancestor:
            return True
    return False


def _launched(pid: int) -> float | None:
    """Return when a process was launched, in seconds since the epoch."""
    started = started_after_boot(pid)
    if started is None or not hasattr(time, "CLOCK_BOOTTIME"):
        return None
    return time.time() - (time.clock_gettime(time.CLOCK_BOOTTIME) - started)
