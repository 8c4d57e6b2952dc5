"""A small process beside a pool that ends the workers, and all that came of them, when the pool's owner was killed.

A worker watches its parent itself (`watch.py`), but in a Python thread: a node that holds the GIL in C code keeps it from
running, and so does SIGSTOP. The watchdog is a shell that waits for the end of a pipe whose other end only the owner has;
it costs a millisecond and a megabyte. Only where the owner ends without a word it becomes a Python process::

    owner ── process ids of the workers, a line after each change ──► sh: read … read … end of file
          └─ "closed" when the pool is ────────────────────────────►      exec python: end_tree(workers), remove scratch

State: the pipe. Neighbours: `pool.py` owns it, `process_tree.py` ends the processes.
"""

from __future__ import annotations

import logging
import os
import subprocess
import weakref
from contextlib import suppress
from functools import cache
from multiprocessing import spawn
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_logger = logging.getLogger(__name__)

_SHELL = "/bin/sh"

_WAIT = """
trap '' INT TERM HUP QUIT
workers=
while read -r line; do workers=$line; done
[ "$workers" = closed ] || exec "$@" $workers
"""

_END = """
import os, sys
folder, owner, path, *workers = sys.argv[1:]
sys.path.append(folder)
import process_tree, scratch
process_tree.end_tree({int(pid) for pid in workers}, process_tree.pool_mark(path))
process_tree.remove_semaphores(int(owner))
scratch.remove_leftover(path)
"""

_watchdogs: weakref.WeakSet[Watchdog] = weakref.WeakSet()
"""Those of this process: a child that an application forks must not keep their pipes open."""

WAIT_SECONDS = 5.0
"""How long the process may take to end when the pool is closed."""


class Watchdog:
    """The watchdog of one pool.

    Args:
        scratch: path of the pool's scratch directory.

    Raises:
        OSError: no process can be started, or no more files opened.
    """

    def __init__(self, scratch: str) -> None:
        self._scratch = scratch
        self._process: subprocess.Popen[bytes] | None = None
        self._start()

    def watch(self, workers: Iterable[int]) -> None:
        """Set which processes are ended when this one is gone.

        Args:
            workers: process ids of all workers of the pool.
        """
        self._write(" ".join(map(str, workers)))

    def _start(self) -> None:
        if not os.path.exists(_SHELL):
            _logger.debug("There is no %s, so no watchdog process: each worker alone watches this process.", _SHELL)
            return
        python = [os.fsdecode(spawn.get_executable()), "-I", "-S", "-c", _END]
        arguments = [str(Path(__file__).parent), str(os.getpid()), self._scratch]
        # In a session of its own: what ends the owner's whole process group must not end the watchdog.
        self._process = subprocess.Popen(  # noqa: S603 - fixed words and paths of our own
            [_SHELL, "-c", _WAIT, _SHELL, *python, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
        )
        _close_pipes_in_forked_children()
        _watchdogs.add(self)

    def _write(self, line: str) -> None:
        if self._process is not None and self._process.stdin is not None:
            with suppress(BrokenPipeError):  # somebody killed it: each worker still watches this process
                self._process.stdin.write(line.encode() + b"\n")
                self._process.stdin.flush()

    def close(self) -> None:
        """End the watchdog: the pool has ended its workers."""
        if self._process is None:
            return
        self._write("closed")
        self._close_pipe()
        try:
            self._process.wait(WAIT_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        _watchdogs.discard(self)
        self._process = None

    def abandon(self) -> None:
        """In a forked child: close its copy of the pipe's end, so that the end of the parent is noticed."""
        self._close_pipe()
        if self._process is not None:
            self._process.returncode = 0  # it is the parent's child: nothing here waits for it
        self._process = None

    def _close_pipe(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            with suppress(BrokenPipeError):
                self._process.stdin.close()


@cache
def _close_pipes_in_forked_children() -> None:
    """Register it, once a process."""
    os.register_at_fork(after_in_child=_abandon_all)


def _abandon_all() -> None:
    for watchdog in list(_watchdogs):
        watchdog.abandon()
    _watchdogs.clear()
