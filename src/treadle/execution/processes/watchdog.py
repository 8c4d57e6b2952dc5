"""A small process beside a pool that kills the workers and their descendants if the parent is killed.

Each worker watches the parent too (`watch.py`), but in a Python thread, which cannot run while a node holds the GIL in C code or
the worker is stopped. The watchdog is a shell that reads a pipe from the parent until end of file; it costs a millisecond and a
megabyte. A pool that is closed kills it. If the parent ends without closing the pool, the shell replaces itself with a Python
process that cleans up::

    parent ── process ids of the workers, one line after each change ──► sh: read … read … end of file
                                                                             exec python: end_tree(workers), remove scratch

The class runs in the parent, owned by the pool. State: the pipe and the process.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import weakref
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING

from treadle.io.loaded import loaded_module

if TYPE_CHECKING:
    from collections.abc import Iterable

_logger = logging.getLogger(__name__)

_SHELL = "/bin/sh"

_WAIT = """
trap '' INT TERM HUP QUIT
workers=
while read -r line; do workers=$line; done
exec "$@" $workers
"""

_END = """
import os, sys
folder, path, *workers = sys.argv[1:]
sys.path.append(folder)
import process_tree, scratch
process_tree.end_tree({int(pid) for pid in workers}, process_tree.pool_mark(path))
scratch.remove_leftover(path)
"""

_watchdogs: weakref.WeakSet[Watchdog] = weakref.WeakSet()
"""The open watchdogs of this process. A child that the application forks must close its copies of their pipes."""


class Watchdog:
    """The watchdog of one pool.

    Args:
        scratch: path of the pool's scratch directory.

    Raises:
        OSError: the system does not allow another process or open file.
    """

    def __init__(self, scratch: str) -> None:
        self._scratch = scratch
        self._process: subprocess.Popen[bytes] | None = None
        self._start()

    def watch(self, workers: Iterable[int]) -> None:
        """Set the worker processes that are killed when this process is killed.

        Args:
            workers: process ids of all workers of the pool.
        """
        self._write(" ".join(map(str, workers)))

    def _start(self) -> None:
        if not os.path.exists(_SHELL):
            _logger.debug("The watchdog needs %s, which does not exist, so only the workers watch this process.", _SHELL)
            return
        spawn = loaded_module("multiprocessing.spawn")  # `set_executable` has imported it
        python = [os.fsdecode(sys.executable if spawn is None else spawn.get_executable()), "-I", "-S", "-c", _END]
        arguments = [os.path.dirname(__file__), self._scratch]
        # In a new session, so that a signal that kills the parent's process group does not kill the watchdog.
        self._process = subprocess.Popen(  # noqa: S603 - fixed words and paths of our own
            [_SHELL, "-c", _WAIT, _SHELL, *python, *arguments],
            stdin=subprocess.PIPE,
            bufsize=0,  # a buffered file has a lock, which another thread may hold while this process is forked
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
        )
        _close_pipes_in_forked_children()
        _watchdogs.add(self)

    def _write(self, line: str) -> None:
        if self._process is not None and self._process.stdin is not None:
            with suppress(BrokenPipeError):  # the watchdog was killed; the workers still watch this process
                self._process.stdin.write(line.encode() + b"\n")

    def close(self) -> None:
        """End the watchdog process. Called after the pool has ended its workers."""
        if self._process is None:
            return
        self._process.kill()  # before the end of file, at which it would clean up
        self._process.wait()
        self._close_pipe()
        _watchdogs.discard(self)
        self._process = None

    def abandon(self) -> None:
        """Close a forked child's copy of the pipe, so that the watchdog sees end of file when the parent ends."""
        self._close_pipe()
        if self._process is not None:
            self._process.returncode = 0  # the watchdog is the parent's child: subprocess must not wait for it here
        self._process = None

    def _close_pipe(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            with suppress(BrokenPipeError):
                self._process.stdin.close()


@cache
def _close_pipes_in_forked_children() -> None:
    """Register the fork handler once in each process."""
    os.register_at_fork(after_in_child=_abandon_all)


def _abandon_all() -> None:
    for watchdog in list(_watchdogs):
        watchdog.abandon()
    _watchdogs.clear()
