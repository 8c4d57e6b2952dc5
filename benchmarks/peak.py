"""The peak memory of this process and its descendants while something runs, sampled by a process of its own.

::

    measuring process ── "start" ─▶ sampler: memory of the tree now, then again and again
                      ── "stop" ──▶ sampler ── how far the peak was above the first sample, in bytes ──▶

A thread of the measuring process would wait for the GIL between samples, and would slow down engines that run nodes in that
process. State: the sampler's process, and in it the memory of each process of the tree at the last sample. Only Linux reports
what is needed here; elsewhere every peak is 0.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterator

SAMPLE_SECONDS = 0.01
"""Pause between two samples."""
START, STOP = "start", "stop"


class PeakSampler:
    """Measures peaks; its process runs inside the `with` statement.

    Attributes:
        peak_bytes: how far the memory of the process tree rose, at the most, during the last `sampling`.
    """

    def __enter__(self) -> PeakSampler:
        self.peak_bytes = 0
        self._process: subprocess.Popen[str] | None = None
        if sys.platform == "linux":
            command = [sys.executable, __file__, str(os.getpid())]
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *_exc: object) -> None:
        if self._process is not None:  # forked workers have its pipes too, so closing them would not end it
            self._process.terminate()
            self._process.communicate()

    @contextmanager
    def sampling(self) -> Iterator[None]:
        """Measure the peak of what runs inside."""
        self._ask(START)
        try:
            yield
        finally:
            self.peak_bytes = self._ask(STOP)

    def _ask(self, command: str) -> int:
        if self._process is None:
            return 0
        self._process.stdin.write(f"{command}\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


class ProcessTree:
    """The memory of a process and its descendants, without the process that samples them.

    Args:
        pid: the process.
    """

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)
        self._known: dict[int, tuple[str, int]] = {}

    def used_bytes(self) -> int:
        """Return the memory of the processes, in bytes.

        Pages that processes share count once (PSS). Shared memory, which may be mapped by no process for a while, is counted for
        the whole machine instead: what matters is by how much it grows.
        """
        pids = [self._root.pid, *(child.pid for child in self._root.children(recursive=True))]
        self._known = {pid: self._kilobytes_of(pid) for pid in pids if pid != os.getpid()}
        shared_memory = sum(_kilobytes("/proc/meminfo", "Shmem:"))
        return 1024 * (shared_memory + sum(kilobytes for _, kilobytes in self._known.values()))

    def _kilobytes_of(self, pid: int) -> tuple[str, int]:
        """Return a process's line in `stat`, and its memory.

        The kernel needs a millisecond or more to add up the pages of a process, and most processes of the tree are idle. The line
        has the page faults and the processor time, so while it stays the same, so does the memory.
        """
        try:
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        except OSError:  # the process is gone
            return "", 0
        known, kilobytes = self._known.get(pid, ("", 0))
        if stat != known:
            whole, shared = _kilobytes(f"/proc/{pid}/smaps_rollup", "Pss:", "Pss_Shmem:")
            kilobytes = whole - shared
        return stat, kilobytes


def _kilobytes(path: str, *names: str) -> list[int]:
    found = dict.fromkeys(names, 0)
    try:
        with Path(path).open(encoding="ascii") as lines:
            for line in lines:
                name, *rest = line.split(maxsplit=2)
                if name in found:
                    found[name] = int(rest[0])
    except OSError:  # the process is gone
        return [0] * len(names)
    return [found[name] for name in names]


def main() -> None:
    """Answer each line of standard input with a line; sample between "start" and "stop"."""
    tree = ProcessTree(int(sys.argv[1]))
    first = peak = 0
    is_sampling = False
    while True:
        ready, _, _ = select.select([sys.stdin], [], [], SAMPLE_SECONDS if is_sampling else None)
        command = sys.stdin.readline().strip() if ready else ""
        if ready and not command:  # the measuring process is gone
            return
        used = tree.used_bytes()
        if command == START:
            first, peak, is_sampling = used, used, True
        peak = max(peak, used)
        if command == STOP:
            is_sampling = False
        if command:
            print(peak - first, flush=True)


if __name__ == "__main__":
    main()
