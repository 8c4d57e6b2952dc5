"""Handles: references with which a process loads, sends or frees the value of an in-memory dataset.

A handle contains a small value itself. For a larger one it names the worker or the file that has the value. Handles are sent
between processes inside messages (`messages.py`), and each type has a pickle test. `values/transfer.py` makes handles of values,
`spilled.py` reads scratch files. Code that did not make a handle uses its attributes and never checks its type: only a store, and
a worker with its own values, knows the types. The module is long because each type documents its attributes. Used by the parent
and the workers. State: none.
"""

from __future__ import annotations

import mmap
import os
import pickle
import resource
from contextlib import suppress
from typing import Any, Protocol

from treadle.execution.protocol.placement import SHARED, Placement
from treadle.execution.protocol.spilled import open_spilled, read_all
from treadle.named_tuple import NamedTuple

DESCRIPTOR_LIMIT = 256
"""Values do not use descriptors above this number if they can avoid it: a process may often open 1,024 (RLIMIT_NOFILE)."""


class UnpicklableValueError(Exception):
    """A value cannot be sent to another process; the text says why."""


class Handle(Protocol):
    """The attributes and methods of every handle."""

    @property
    def size(self) -> int:
        """Size of the value in bytes; 0 if it is not known."""

    @property
    def memory(self) -> tuple[int, int]:
        """The value's share of the memory budget: bytes outside of messages, and number of memory files."""

    @property
    def placement(self) -> Placement:
        """Where the value is."""

    @property
    def worker(self) -> int | None:
        """The only worker that has the value; None if it can be loaded from this handle."""

    @property
    def fd(self) -> int | None:
        """The descriptor of a memory file in this process. It is not valid in another process."""

    @property
    def needs_descriptor(self) -> bool:
        """Whether a descriptor must be sent with the handle."""

    def with_descriptor(self, fd: int | None) -> Handle:
        """Return the handle with another descriptor."""

    def load(self) -> Any:
        """Return a writable value that no other process or node shares. A descriptor stays open.

        Raises:
            UnpicklableValueError: the value is in another worker.
        """

    def close(self) -> None:
        """Free the descriptor or file that the handle owns in this process."""


class Inline(NamedTuple):
    """A small pickled value, sent inside the message."""

    data: bytes
    buffers: tuple[bytes, ...] = ()

    @property
    def size(self) -> int:
        """Size of the pickle and its buffers in bytes."""
        return len(self.data) + sum(map(len, self.buffers))

    @property
    def memory(self) -> tuple[int, int]:
        """Nothing: the value is inside messages."""
        return 0, 0

    @property
    def placement(self) -> Placement:
        """In the store."""
        return SHARED

    @property
    def worker(self) -> int | None:
        """None: the handle contains the value."""
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
        if not self.buffers:  # most values
            return pickle.loads(self.data)  # noqa: S301 - from this pool only
        return pickle.loads(self.data, buffers=[bytearray(buffer) for buffer in self.buffers])  # noqa: S301 - the same

    def close(self) -> None:
        """Do nothing: it owns nothing."""


class Atom(NamedTuple):
    """A small value of an immutable built-in type, sent as it is: to pickle it by itself takes longer than a tiny node."""

    value: Any

    @property
    def size(self) -> int:
        """Size of its pickle in bytes, as for an inline value."""
        return len(pickle.dumps(self.value, protocol=5))

    @property
    def memory(self) -> tuple[int, int]:
        """Nothing: the value is inside messages."""
        return 0, 0

    @property
    def placement(self) -> Placement:
        """In the store."""
        return SHARED

    @property
    def worker(self) -> int | None:
        """None: the handle contains the value."""
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
        """Return the value, which cannot be changed."""
        return self.value

    def close(self) -> None:
        """Do nothing: it owns nothing."""


ATOM_TYPES = frozenset({type(None), bool, int, float, str})
"""The types of the values in an `Atom`. No handle is one of them, nor is the pickle of an inline value."""

IN_MESSAGE = frozenset({Inline, Atom})
"""The handles that contain their value, which are those of most values: they own nothing outside of the message."""

_LONGEST_ATOM = 64
"""Longest text, and most bits of an integer, in an `Atom`."""


def is_small_atom(value: Any) -> bool:
    """Return whether a value is one for an `Atom`."""
    kind = type(value)
    if kind is int:
        return bool(value.bit_length() <= _LONGEST_ATOM)
    if kind is str:
        return len(value) <= _LONGEST_ATOM
    return kind in ATOM_TYPES


def _descriptors_allowed() -> int:
    limit, _maximum = resource.getrlimit(resource.RLIMIT_NOFILE)
    return limit if limit != resource.RLIM_INFINITY else 1 << 30


class Segment(NamedTuple):
    """A large value: a pickle and its out-of-band buffers in one file, each buffer at a 64-byte boundary.

    The file is a memfd whose descriptor is sent with the message or, if `path` is set, a file in the scratch directory.
    """

    size: int
    spans: tuple[tuple[int, int], ...]
    """Start and length in bytes of the pickle, then of each buffer."""
    path: str | None = None
    fd: int | None = None
    """The descriptor in this process. The receiving process replaces it with the descriptor that it received."""

    @property
    def memory(self) -> tuple[int, int]:
        """The file, if it is a memory file."""
        return (self.size, 1) if self.path is None else (0, 0)

    @property
    def placement(self) -> Placement:
        """In the store; a worker keeps a memory file open until the value is released."""
        return Placement(size=self.size, retained=self.path is None)

    @property
    def worker(self) -> int | None:
        """None: the value can be loaded from the file."""
        return None

    @property
    def needs_descriptor(self) -> bool:
        """True for a memory file."""
        return self.path is None

    def with_descriptor(self, fd: int | None) -> Handle:
        """Return the handle with another descriptor."""
        return self._replace(fd=fd)

    def load(self) -> Any:
        """Map the file privately and unpickle the value. The value's buffers refer to the map.

        Raises:
            FileNotFoundError: the scratch file was removed.
            RuntimeError: the descriptor was not sent with the handle.
        """
        fd = open_spilled(self.path) if self.path is not None else self.fd
        if fd is None:
            msg = "the segment's descriptor was not sent with it"
            raise RuntimeError(msg)
        try:
            # mmap duplicates the descriptor and keeps it while the value lives. It would get the same number as this duplicate.
            os.close(next_free := os.dup(fd))
            short_of_files = next_free > min(DESCRIPTOR_LIMIT, _descriptors_allowed() * 3 // 4)
            mapped = memoryview(read_all(fd, self.size) if short_of_files else mmap.mmap(fd, self.size, access=mmap.ACCESS_COPY))
        finally:
            if self.path is not None:
                os.close(fd)
        pieces = [mapped[start : start + length] for start, length in self.spans]
        return pickle.loads(pieces[0], buffers=pieces[1:])  # noqa: S301 - a worker wrote it

    def close(self) -> None:
        """Close the descriptor, or remove the scratch file."""
        if self.fd is not None:
            os.close(self.fd)
        elif self.path is not None:
            with suppress(FileNotFoundError):  # a cleaner of the temporary directory may have removed it
                os.unlink(self.path)

    def reopened(self) -> Segment | None:
        """Return a handle that opened the file once more, so that it has another open file description; None if that fails."""
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
    """Size in bytes, if the value can be pickled but there was no space for the pickle."""

    @property
    def memory(self) -> tuple[int, int]:
        """Its bytes in the worker."""
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
            UnpicklableValueError: always.
        """
        raise UnpicklableValueError(self.reason)

    def close(self) -> None:
        """Do nothing: it owns nothing here."""


class RemoteValue(NamedTuple):
    """A large value that stays in the worker that made it until another process needs it."""

    worker: int
    size: int

    @property
    def memory(self) -> tuple[int, int]:
        """Its bytes in the worker."""
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
            UnpicklableValueError: always.
        """
        msg = "the value is in another worker"
        raise UnpicklableValueError(msg)

    def close(self) -> None:
        """Do nothing: it owns nothing here."""


class LocalValue(NamedTuple):
    """An object in this process, not pickled."""

    value: Any

    @property
    def size(self) -> int:
        """0: the size of objects is not known."""
        return 0

    @property
    def memory(self) -> tuple[int, int]:
        """Nothing: objects do not count towards the budget."""
        return 0, 0

    @property
    def placement(self) -> Placement:
        """In the store."""
        return SHARED

    @property
    def worker(self) -> int | None:
        """None: the handle contains the value."""
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
