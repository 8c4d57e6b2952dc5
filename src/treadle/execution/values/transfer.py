"""How in-memory datasets cross processes, and how they pass from node to node within one.

Between processes: a small value travels inside the message. A large one is pickled with protocol 5 (PEP 574), its
buffers out of band, into one memory file (memfd on Linux, so no limit of /dev/shm applies and nothing is left when its
last holder is gone; elsewhere, and past a number of open files, a file in the scratch directory). Each consumer maps the
file privately (MAP_PRIVATE): it copies nothing, may write, and sees nobody's writes. The parent owns every segment and
closes it when the last taker has it. Values in memory are counted against a limit (`budget`), past which they go to files
in the scratch directory too.

Within a process: a value is copied when it is saved, so that what its maker does with it later is not seen, unless nobody
but the exchange holds it any more (`handover`); the last taker gets what is stored itself, every other one a copy.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from errno import ENOMEM, ENOSYS
from typing import TYPE_CHECKING, Any

from treadle.execution.processes.sizes import format_bytes
from treadle.execution.protocol.handles import Inline, Segment
from treadle.execution.values.ownership import borrow, claim
from treadle.execution.values.pickling import ATOMS, pickle_value
from treadle.io.memory import CopyMode, copy_value

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from treadle.execution.values.budget import Budget

INLINE_BYTES = 1 << 16
"""Values up to this many bytes travel inside a message."""

RESIDENT_BYTES = 1 << 20
"""Plain arrays and frames from this many bytes stay in the worker that made them until another process needs them."""

_ALIGNMENT = 64


class NoRoomError(Exception):
    """A value that fits neither into memory nor onto the disk; the text says its size, and what is free where."""


def publish(value: Any, scratch: str, *, budget: Budget | None = None, spare: int | None = None) -> Inline | Segment:
    """Make a value fit to leave this process.

    Args:
        value: any picklable value.
        scratch: directory for the files of large values for which there is no memory file.
        budget: what values may take in memory; without it, as much as there is.
        spare: descriptor of a memory file that nobody maps any more, to be written over; it is closed where it is not used.

    Returns:
        Its handle; a Segment without a path holds a descriptor that the caller closes when it has passed it on.

    Raises:
        CannotLeaveError: the value cannot be pickled.
        NoRoomError: there is no room for it, in memory nor in the scratch directory.
    """
    try:
        try:
            data, buffers = pickle_value(value)
        except MemoryError as exc:
            msg = f"there was not enough memory to pickle a {type(value).__module__}.{type(value).__qualname__}"
            raise NoRoomError(msg) from exc
        size = len(data) + sum(buffer.nbytes for buffer in buffers)
        if size <= INLINE_BYTES:
            return Inline(data, tuple(bytes(buffer) for buffer in buffers))
        pieces: tuple[bytes | memoryview, ...] = (data, *buffers)
        spans: list[tuple[int, int]] = []
        end = 0
        for piece in pieces:
            start = -(-end // _ALIGNMENT) * _ALIGNMENT
            end = start + (piece.nbytes if isinstance(piece, memoryview) else len(piece))
            spans.append((start, end - start))
        why = []
        for attempt in (_in_file, _in_memory) if budget is not None and budget.is_crowded else (_in_memory, _in_file):
            try:
                path, fd = attempt(pieces, spans, scratch, budget, spare)
            except OSError as exc:
                why.append(exc.strerror or str(exc))
            else:
                spare = None if fd is not None else spare
                return Segment(end, tuple(spans), path, fd)
    finally:
        if spare is not None:
            os.close(spare)
    raise NoRoomError(_describe_lack(end, why, scratch))


def _in_memory(
    pieces: Sequence[bytes | memoryview],
    spans: Sequence[tuple[int, int]],
    _scratch: str,
    budget: Budget | None,
    spare: int | None,
) -> tuple[None, int]:
    size = spans[-1][0] + spans[-1][1]
    if budget is not None and not budget.has_room(size):
        used, limit = format_bytes(budget.used()), format_bytes(budget.limit)
        raise OSError(ENOMEM, f"values take {used} of the {limit} of memory that they may have (exchange_memory)")
    if not hasattr(os, "memfd_create"):
        raise OSError(ENOSYS, "there are no memory files on this system")
    fd = os.memfd_create("treadle", os.MFD_CLOEXEC) if spare is None else spare
    try:
        _write_pieces(fd, pieces, spans)
    except OSError:
        if fd != spare:
            os.close(fd)
        raise
    return None, fd


def _in_file(
    pieces: Sequence[bytes | memoryview],
    spans: Sequence[tuple[int, int]],
    scratch: str,
    _budget: Budget | None,
    _spare: int | None,
) -> tuple[str, None]:
    fd, path = tempfile.mkstemp(prefix="value-", dir=scratch)
    try:
        _write_pieces(fd, pieces, spans)
    except OSError:
        os.unlink(path)
        raise
    finally:
        os.close(fd)
    return path, None


def _describe_lack(size: int, why: Sequence[str], scratch: str) -> str:
    import psutil

    try:
        free = f"{format_bytes(shutil.disk_usage(scratch).free)} free"
    except OSError as exc:
        free = exc.strerror or str(exc)
    available = format_bytes(psutil.virtual_memory().available)
    return (
        f"{format_bytes(size)} fit neither into memory nor into a file in {scratch} ({'; '.join(why)}). "
        f"The machine has {available} of memory available; {os.path.dirname(scratch)}: {free}"
    )


def describe_no_room(name: str, node: str | None, lack: object) -> str:
    """Return what to tell about a value for which there is no room, as one paragraph.

    Args:
        name: of the dataset.
        node: that made the value or needs it, where it is known.
        lack: the NoRoomError that `publish` raised, or its text.
    """
    whose = f" of node '{node}'" if node else ""
    return (
        f"There is no room for the value of '{name}'{whose}: {lack}. Give values more memory (the runner's exchange_memory), "
        f"point TMPDIR at a disk with more room, run fewer workers, or give '{name}' an entry in the catalog that keeps it in a "
        "file of its own."
    )


def _write_pieces(fd: int, pieces: Sequence[bytes | memoryview], spans: Sequence[tuple[int, int]]) -> None:
    # write() beats copying into a map: the kernel fills fresh pages without a fault for each.
    for piece, (start, _length) in zip(pieces, spans, strict=True):
        os.lseek(fd, start, os.SEEK_SET)
        rest = memoryview(piece)
        while rest.nbytes:
            rest = rest[os.write(fd, rest) :]
    os.ftruncate(fd, spans[-1][0] + spans[-1][1])


def snapshot(value: Any, copy_mode: CopyMode | None) -> Any:
    """Copy a value so that what others do with the original is not seen; the same object where it cannot be copied.

    Args:
        value: what a node returned, or what is stored and will be needed again.
        copy_mode: as declared for the dataset; inferred from the value where None.
    """
    if type(value) in ATOMS:
        return value
    try:
        return copy_value(value, copy_mode)
    except MemoryError:
        raise  # it could be copied, and may not be shared
    except Exception:  # noqa: BLE001 - a lock, a connection, a generator: such a thing is shared, or it cannot be passed on at all
        return value


class LocalValues:
    """The in-memory datasets that live in this process, by dataset index."""

    def __init__(self, copy_mode_of: Callable[[int], CopyMode | None]) -> None:
        self._copy_mode_of = copy_mode_of
        self._values: dict[int, Any] = {}

    def put(self, dataset: int, value: Any) -> None:
        """Keep a snapshot of a value."""
        self._values[dataset] = snapshot(value, self._copy_mode_of(dataset))

    def settle(self, holder: dict[int, Any], dataset: int) -> None:
        """Keep a value that a node made and that only `holder` has left: as it is where that is safe, else a snapshot."""
        mode = self._copy_mode_of(dataset)
        if mode is None and claim(holder, dataset):
            self._values[dataset] = holder.pop(dataset)
        else:
            self._values[dataset] = snapshot(holder.pop(dataset), mode)

    def adopt(self, dataset: int, value: Any) -> None:
        """Keep a value that nobody else holds."""
        self._values[dataset] = value

    def take(self, dataset: int, *, last: bool) -> Any:
        """Return a value that is the caller's own; the last taker gets the stored one, and it is forgotten."""
        if last:
            return self._values.pop(dataset)
        value, mode = self._values[dataset], self._copy_mode_of(dataset)
        borrowed = borrow(value) if mode is None else None
        return snapshot(value, mode) if borrowed is None else borrowed

    def peek(self, dataset: int) -> Any:
        """Return the stored value itself, to pickle it."""
        return self._values[dataset]

    def drop(self, dataset: int) -> None:
        """Forget a value, where it is here."""
        self._values.pop(dataset, None)

    def __contains__(self, dataset: int) -> bool:
        return dataset in self._values

    def clear(self) -> None:
        """Forget everything."""
        self._values.clear()
