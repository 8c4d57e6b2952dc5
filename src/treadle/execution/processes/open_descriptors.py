"""Find out whether this process has something open that a forked child could damage.

A forked child has a copy of every descriptor of its parent, and of the objects that use it. Both copies stand for the same open
file: its position, its locks, its connection. The code of the nodes is the same in both processes, so it may use both copies.

Runs on Linux, in the parent. State: which sockets and pipes Treadle has opened.
"""

from __future__ import annotations

import logging
import os
import re
import stat
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from treadle.execution.processes.scratch import is_in_scratch
from treadle.forks import fork_safe_threads

if TYPE_CHECKING:
    from collections.abc import Iterator

_FOLDER = "/proc/self/fd"

_LAST_STANDARD = 2

_HARMLESS_DEVICE = re.compile(r"/dev/(null|zero|full|random|urandom|console|tty\d*|pts/\d+)")

_SHARED_LIBRARY = re.compile(r".*\.so(\.[0-9.]+)?")

_OWN_MEMORY_FILE = "/memfd:treadle"

_own: set[tuple[int, int]] = set()
"""Device and inode of the sockets and pipes that Treadle has opened and not closed."""


def find_descriptor_at_risk() -> str | None:
    """Return the first descriptor that a forked child could damage, in words; None if there is none.

    Every descriptor counts, unless it is certain that it can be shared:

    - A socket counts: two processes that use one connection mix their messages, and each gets answers that were for the other.
    - A file counts, even if it is only read: a process that moves the position moves it for the other too. SQLite forbids to use
      a connection in a forked child, which would not have the locks that it believes to hold. A folder counts, since listing it
      moves a position. Log files do not count, because workers send their log records to this process, nor do shared libraries,
      which are only mapped (libffi keeps its own file open).
    - A pipe counts: the process that reads it waits for its end until all copies are closed. Pipes that are open in every program
      that this one starts do not count (Python leaves none open): they are from the program that started this one.
    - A device counts, because a GPU cannot be used in a forked child of the process that has opened it. Terminals and devices
      without a state, such as /dev/null, do not count.
    - Other objects of the kernel, such as inotify, count: an event that one process reads is missing in the other. An epoll
      object does not count, since what it waits for does.
    - The standard streams do not count: they are shared with every program, and a worker sends its output to this process.
    - What Treadle has opened itself does not count: its workers close their copies, or are made to share it.
    """
    try:
        descriptors = sorted(map(int, os.listdir(_FOLDER)))
    except OSError as exc:  # no more open files allowed
        return f"the open descriptors cannot be listed ({exc.strerror})"
    for descriptor in descriptors:
        with suppress(OSError):  # the listing's own descriptor, which is closed again
            if descriptor > _LAST_STANDARD and (kind := _kind_at_risk(descriptor)) is not None:
                return f"descriptor {descriptor}, {kind}, is open"
    return None


@contextmanager
def own_descriptors() -> Iterator[None]:
    """Note that the sockets and pipes which are opened inside the block are Treadle's own.

    Nothing is noted beside other threads, since one of them may open a connection of the application meanwhile.
    """
    before = _sockets_and_pipes()
    if before is None or threading.active_count() > 1 + len(fork_safe_threads()):
        yield
        return
    before -= _own
    try:
        yield
    finally:
        now = _sockets_and_pipes()
        if now is not None:
            _own.clear()
            _own.update(now - before)


def _kind_at_risk(descriptor: int) -> str | None:
    """Return what a descriptor stands for, in words; None if it can be shared."""
    status, target = os.fstat(descriptor), os.readlink(f"{_FOLDER}/{descriptor}")
    is_own = (status.st_dev, status.st_ino) in _own
    kind: str | None
    if target.startswith("anon_inode:"):
        name = target.removeprefix("anon_inode:").strip("[]")
        kind = None if name == "eventpoll" else f"an object of the kernel ({name})"
    elif stat.S_ISSOCK(status.st_mode):
        kind = None if is_own else "a socket"
    elif stat.S_ISFIFO(status.st_mode):
        kind = None if is_own or os.get_inheritable(descriptor) else "a pipe"
    elif stat.S_ISREG(status.st_mode):
        is_own = target.startswith(_OWN_MEMORY_FILE) or is_in_scratch(target)
        can_be_shared = is_own or _SHARED_LIBRARY.fullmatch(target) or descriptor in _log_files()
        kind = None if can_be_shared else f"the file {target!r}"
    elif stat.S_ISDIR(status.st_mode):
        kind = None if is_in_scratch(target) else f"the folder {target!r}"
    else:
        kind = None if _HARMLESS_DEVICE.fullmatch(target) else f"the device {target!r}"
    return kind


def _log_files() -> Iterator[int]:
    """Yield the descriptors to which the logging handlers of this process write."""
    for logger in (logging.root, *logging.root.manager.loggerDict.values()):
        for handler in getattr(logger, "handlers", ()):
            with suppress(AttributeError, OSError, ValueError):  # it has no stream, or the stream has no open file
                yield handler.stream.fileno()


def _sockets_and_pipes() -> set[tuple[int, int]] | None:
    """Return the device and inode of each open socket and pipe. The kernel does not use an inode number of theirs again.

    None if they cannot be listed: there is no /proc, or no more open files are allowed.
    """
    try:
        names = os.listdir(_FOLDER)
    except OSError:
        return None
    found = set()
    for name in names:
        with suppress(OSError):
            status = os.fstat(int(name))
            if stat.S_ISSOCK(status.st_mode) or stat.S_ISFIFO(status.st_mode):
                found.add((status.st_dev, status.st_ino))
    return found
