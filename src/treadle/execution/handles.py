"""Handles: where the value of an in-memory dataset is.

A handle has a small value with it, and else names the process or the memory file that has it. Handles cross processes inside
messages, and like those each has a pickle test. State: none. Neighbours: `job.py` has the messages, `exchange.py` makes
handles of values and values of handles.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

from treadle.execution.placement import SHARED, Placement


class Inline(NamedTuple):
    """A small value, pickled: it travels inside the message."""

    data: bytes
    buffers: tuple[bytes, ...] = ()

    @property
    def placement(self) -> Placement:
        """Where the value is: in the store."""
        return SHARED


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
    def placement(self) -> Placement:
        """Where the value is: in the store; a worker keeps a memory file open until the value is released."""
        return Placement(size=self.size, retained=self.path is None)


class Kept(NamedTuple):
    """A value that cannot be pickled and stays in the worker that made it."""

    worker: int
    reason: str
    size: int = 0
    """Bytes, where it could be pickled and there was no room for it."""

    @property
    def placement(self) -> Placement:
        """Where the value is: in its worker only."""
        return Placement(self.worker, movable=False, size=self.size, reason=self.reason)


class Resident(NamedTuple):
    """A large value that stays in the worker that made it until another process needs it."""

    worker: int
    size: int

    @property
    def placement(self) -> Placement:
        """Where the value is: in its worker, until it is transferred."""
        return Placement(self.worker, size=self.size)


class Local(NamedTuple):
    """A value in this process, as it is."""

    value: Any

    @property
    def placement(self) -> Placement:
        """Where the value is: in the store."""
        return SHARED


Handle: TypeAlias = "Inline | Segment | Kept | Resident | Local"
