"""Handles: what it takes to load, send or free the value of an in-memory dataset.

A handle has a small value with it, and else names the process or the memory file that has it. Code outside of this module
asks a handle's attributes, never which kind it is. Handles cross processes inside messages, and like those each has a pickle
test. State: none. Neighbours: `job.py` has the messages, `exchange.py` makes handles of values.
"""

from __future__ import annotations

import mmap
import os
import pickle
from contextlib import suppress
from typing import Any, NamedTuple, Protocol

from treadle.execution.protocol.placement import SHARED, Placement

MANY_DESCRIPTORS = 256
"""Descriptors above this number are left to others where there is a choice: often a process may open 1,024 (RLIMIT_NOFILE)."""


class CannotLeaveError(Exception):
    """A value that cannot be pickled; the text says why."""


class Handle(Protocol):
    """What every handle has."""

    @property
    def size(self) -> int:
        """Bytes of the value, 0 where they were not counted."""

    @property
    def memory(self) -> tuple[int, int]:
        """What the value takes of the memory budget: bytes outside of messages, and memory files."""

    @property
    def placement(self) -> Placement:
        """Where the value is."""

    @property
    def worker(self) -> int | None:
        """The only worker that has the value; None where it can be loaded from this handle."""

    @property
    def fd(self) -> int | None:
        """The descriptor of a memory file in this process, which means nothing in another one."""

    @property
    def needs_descriptor(self) -> bool:
        """True where a descriptor travels beside the handle."""

    def with_descriptor(self, fd: int | None) -> Handle:
        """Return the handle with another descriptor."""

    def load(self) -> Any:
        """Return the value: the caller's own, writable, isolated from everybody else's. A descriptor stays open.

        Raises:
            CannotLeaveError: the value is in another worker.
        """

    def close(self) -> None:
        """Free what the handle owns in this process."""


class Inline(NamedTuple):
    """A small value, pickled: it travels inside the message."""

    data: bytes
    buffers: tuple[bytes, ...] = ()

    @property
    def size(self) -> int:
        """Bytes of the pickle and its buffers."""
        return len(self.data) + sum(map(len, self.buffers))

    @property
    def memory(self) -> tuple[int, int]:
        """Nothing outside of messages."""
        return 0, 0

    @property
    def placement(self) -> Placement:
        """In the store."""
        return SHARED

    @property
    def worker(self) -> int | None:
        """None: it is here."""
        return None

    @property
    def fd(self) -> int | None:
        """None: it has no file."""
        return None

    @property
    def needs_descriptor(self) -> bool:
        """False: it has no file."""
        return False

    def with_descriptor(self, fd: int | None) -> Handle:  # noqa: ARG002 - it has no file
        """Return the handle itself."""
        return self

    def load(self) -> Any:
        """Unpickle the value."""
        return pickle.loads(self.data, buffers=[bytearray(buffer) for buffer in self.buffers])  # noqa: S301 - of an authenticated worker

    def close(self) -> None:
        """Do nothing: it owns nothing."""


class Segment(NamedTuple):
    """A large value: a pickle and its out-of-band buffers in one memory file, each buffer at a 64-byte boundary.

    The file is a memfd, whose descriptor travels beside the message, or, where `path` is set, a file in the scratch
    directory.
    """

    size: int
    spans: tuple[tuple[int, int], ...]
    """Start and length in bytes of the pickle, then of each buffer."""
    path: str | None = None
    fd: int | None = None
    """The descriptor in this process; it means nothing in another one and is replaced on arrival."""

    @property
    def memory(self) -> tuple[int, int]:
        """The file, where it is in memory."""
        return (self.size, 1) if self.path is None else (0, 0)

    @property
    def placement(self) -> Placement:
        """In the store; a worker keeps a memory file open until the value is released."""
        return Placement(size=self.size, retained=self.path is None)

    @property
    def worker(self) -> int | None:
        """None: it can be loaded from here."""
        return None

    @property
    def needs_descriptor(self) -> bool:
        """True where it is a memory file."""
        return self.path is None

    def with_descriptor(self, fd: int | None) -> Handle:
        """Return the handle with another descriptor."""
        return self._replace(fd=fd)

    def load(self) -> Any:
        """Map the file privately and unpickle the value, whose buffers stay in the map.

        Raises:
            FileNotFoundError: its scratch file has been removed.
            RuntimeError: its descriptor did not travel with it.
        """
        fd = open_spilled(self.path) if self.path is not None else self.fd
        if fd is None:
            msg = "the segment's descriptor did not travel with it"
            raise RuntimeError(msg)
        try:
            # A map holds a descriptor of its own for as long as the value lives: the next one that is free, as this does.
            os.close(next_one := os.dup(fd))
            many = next_one > MANY_DESCRIPTORS
            mapped = memoryview(_read_all(fd, self.size) if many else mmap.mmap(fd, self.size, access=mmap.ACCESS_COPY))
        finally:
            if self.path is not None:
                os.close(fd)
        pieces = [mapped[start : start + length] for start, length in self.spans]
        return pickle.loads(pieces[0], buffers=pieces[1:])  # noqa: S301 - an authenticated worker wrote it

    def close(self) -> None:
        """Close the descriptor, or remove the scratch file."""
        if self.fd is not None:
            os.close(self.fd)
        elif self.path is not None:
            with suppress(FileNotFoundError):  # a cleaner of the temporary directory may have removed it
                os.unlink(self.path)

    def reopened(self) -> Segment | None:
        """Return a handle with a descriptor of an open file of its own, None where that cannot be had."""
        if self.fd is None:
            return self
        try:
            return self._replace(fd=os.open(f"/proc/self/fd/{self.fd}", os.O_RDONLY | os.O_CLOEXEC))
        except OSError:
            return None


class PinnedValue(NamedTuple):
    """A value that cannot be pickled and stays in the worker that made it."""

    worker: int
    reason: str
    size: int = 0
    """Bytes, where it could be pickled and there was no room for it."""

    @property
    def memory(self) -> tuple[int, int]:
        """Its bytes in that worker."""
        return self.size, 0

    @property
    def placement(self) -> Placement:
        """In its worker only."""
        return Placement(self.worker, movable=False, size=self.size, reason=self.reason)

    @property
    def fd(self) -> int | None:
        """None: it has no file."""
        return None

    @property
    def needs_descriptor(self) -> bool:
        """False: it has no file."""
        return False

    def with_descriptor(self, fd: int | None) -> Handle:  # noqa: ARG002 - it has no file
        """Return the handle itself."""
        return self

    def load(self) -> Any:
        """Raise: the value cannot leave its worker.

        Raises:
            CannotLeaveError: always.
        """
        raise CannotLeaveError(self.reason)

    def close(self) -> None:
        """Do nothing: it owns nothing here."""


class RemoteValue(NamedTuple):
    """A large value that stays in the worker that made it until another process needs it."""

    worker: int
    size: int

    @property
    def memory(self) -> tuple[int, int]:
        """Its bytes in that worker."""
        return self.size, 0

    @property
    def placement(self) -> Placement:
        """In its worker, until it is transferred."""
        return Placement(self.worker, size=self.size)

    @property
    def fd(self) -> int | None:
        """None: it has no file yet."""
        return None

    @property
    def needs_descriptor(self) -> bool:
        """False: it has no file yet."""
        return False

    def with_descriptor(self, fd: int | None) -> Handle:  # noqa: ARG002 - it has no file yet
        """Return the handle itself."""
        return self

    def load(self) -> Any:
        """Raise: the value was not transferred.

        Raises:
            CannotLeaveError: always.
        """
        msg = "it is in another worker"
        raise CannotLeaveError(msg)

    def close(self) -> None:
        """Do nothing: it owns nothing here."""


class LocalValue(NamedTuple):
    """A value in this process, as it is."""

    value: Any

    @property
    def size(self) -> int:
        """0: the bytes of objects are not counted."""
        return 0

    @property
    def memory(self) -> tuple[int, int]:
        """Nothing that is counted."""
        return 0, 0

    @property
    def placement(self) -> Placement:
        """In the store."""
        return SHARED

    @property
    def worker(self) -> int | None:
        """None: it is here."""
        return None

    @property
    def fd(self) -> int | None:
        """None: it has no file."""
        return None

    @property
    def needs_descriptor(self) -> bool:
        """False: it has no file."""
        return False

    def with_descriptor(self, fd: int | None) -> Handle:  # noqa: ARG002 - it has no file
        """Return the handle itself."""
        return self

    def load(self) -> Any:
        """Return the object itself."""
        return self.value

    def close(self) -> None:
        """Do nothing: it owns nothing."""


def open_spilled(path: str) -> int:
    """Open the scratch file of a value.

    Args:
        path: the file.

    Returns:
        Its descriptor.

    Raises:
        FileNotFoundError: the file has been removed; its text says the probable cause.
    """
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError as exc:
        msg = (
            "the file was removed while the run was going on, probably by a cleaner of temporary files (exclude "
            f"{os.path.dirname(os.path.dirname(path))}/treadle-* from it, or point TMPDIR elsewhere)"
        )
        raise FileNotFoundError(exc.errno, msg, path) from None


def _read_all(fd: int, size: int) -> mmap.mmap:
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with memoryview(memory) as view:
        at = 0
        while at < size:
            with view[at:] as rest:
                at += os.preadv(fd, [rest], at)
    return memory
