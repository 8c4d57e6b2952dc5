"""The parent's side of the exchange: where the value of each in-memory dataset of a run is, and who gives it back."""

from __future__ import annotations

import os
import shutil
import tempfile
from typing import TYPE_CHECKING, Any

from treadle.execution.channel import MAX_DESCRIPTORS
from treadle.execution.exchange import (
    MANY_DESCRIPTORS,
    CannotLeaveError,
    LocalValues,
    close_handle,
    load_handle,
    publish,
    size_of,
)
from treadle.execution.job import MAIN, Handle, Inline, Kept, Local, Resident, Segment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from treadle.io.memory import CopyMode

OPEN_SEGMENTS = 128
"""Past this many open memory files, large values go to scratch files: descriptors are few (RLIMIT_NOFILE)."""


class ParentValues:
    """The handles of a run's in-memory datasets; every memory file in it is this process's, and closed here.

    Args:
        scratch: directory for values that are spilled.
        copy_mode: returns the declared copy mode of a dataset, for values that stay in this process.
    """

    def __init__(self, scratch: str, copy_mode: Callable[[int], CopyMode | None]) -> None:
        self._scratch = scratch
        self._handles: dict[int, Handle] = {}
        self._open_segments = 0
        self._here = LocalValues(copy_mode)

    @property
    def crowded(self) -> bool:
        """True where so many memory files are open that large values had better go to scratch files."""
        return self._open_segments > OPEN_SEGMENTS

    def put(self, dataset: int, value: Any) -> int | None:
        """Publish a value; one that cannot leave stays here, for the worker MAIN, whose number is then returned."""
        try:
            handle: Handle = publish(value, self._scratch, spill=self.crowded)
        except CannotLeaveError as exc:
            self._here.adopt(dataset, value)
            handle = Kept(MAIN, str(exc))
        self.keep(dataset, handle)
        return MAIN if isinstance(handle, Kept) else None

    def give_here(self, dataset: int, value: Any) -> Handle:
        """Take an output of a node that ran in this process; the caller keeps the handle."""
        self._here.drop(dataset)  # a generator's earlier chunk
        try:
            return publish(value, self._scratch, spill=self.crowded)
        except CannotLeaveError as exc:
            self._here.put(dataset, value)
            return Kept(MAIN, str(exc))

    def take_here(self, dataset: int, *, last: bool) -> Any:
        """Return an input of a node that runs in this process."""
        if dataset in self._here:
            return self._here.take(dataset, last=last)
        return load_handle(self._handles[dataset])

    def keep(self, dataset: int, handle: Handle) -> None:
        """Keep a handle, in place of an earlier attempt's."""
        before = self._handles.pop(dataset, None)
        if before is not None:
            self._close(before)
        self._handles[dataset] = handle
        self._count(handle, 1)

    def holders(self, datasets: Iterable[int], worker: int) -> list[tuple[int, int]]:
        """Return those datasets that are resident in other workers than this, each with its holder."""
        found = []
        for dataset in datasets:
            handle = self._handles.get(dataset)
            if isinstance(handle, Resident) and handle.worker != worker:
                found.append((dataset, handle.worker))
        return found

    def resident_in(self, worker: int) -> list[int]:
        """Return the datasets that are resident in a worker."""
        return [dataset for dataset, handle in self._handles.items() if isinstance(handle, Resident) and handle.worker == worker]

    def holder(self, dataset: int) -> int | None:
        """Return the worker in which a dataset is resident, None where it is not."""
        handle = self._handles.get(dataset)
        return handle.worker if isinstance(handle, Resident) else None

    def for_message(self, datasets: Iterable[int]) -> tuple[list[tuple[int, Handle]], list[int]]:
        """Return handles fit for a message, and new descriptors that travel beside it, in their order."""
        handles: list[tuple[int, Handle]] = []
        descriptors: list[int] = []
        for dataset in datasets:
            handle = self._handles.get(dataset)
            if handle is None or isinstance(handle, (Kept, Resident)):
                continue  # the worker that gets the message has it
            if isinstance(handle, Segment) and (fd := handle.fd) is not None:
                if len(descriptors) < MAX_DESCRIPTORS:
                    descriptors.append(os.dup(fd))  # the channel closes what it has sent
                    handle = handle._replace(fd=None)
                else:
                    handle = self._move_to_file(dataset, handle, fd)
            handles.append((dataset, handle))
        return handles, descriptors

    def size(self, dataset: int) -> int:
        """Return the bytes of a value, 0 where it is not here."""
        handle = self._handles.get(dataset)
        return size_of(handle) if handle is not None else 0

    def release(self, dataset: int) -> None:
        """Forget a value: its memory is given back."""
        handle = self._handles.pop(dataset, None)
        self._here.drop(dataset)
        if handle is not None:
            self._close(handle)

    def detach(self, dataset: int) -> Handle | None:
        """Hand a value over; a spilled one is moved out of the scratch directory, which will not outlive the pool."""
        handle = self._handles.pop(dataset, None)
        if handle is None or isinstance(handle, (Kept, Resident)):
            return Local(self._here.take(dataset, last=True)) if dataset in self._here else None
        self._count(handle, -1)
        if isinstance(handle, Segment) and handle.path is not None:
            with open(handle.path, "rb") as spilled, tempfile.TemporaryFile() as kept:
                fd = os.dup(kept.fileno())
                if fd > MANY_DESCRIPTORS:
                    os.close(fd)
                    content = spilled.read()
                    data, *buffers = (content[start : start + length] for start, length in handle.spans)
                    moved: Handle = Inline(data, tuple(buffers))
                else:
                    shutil.copyfileobj(spilled, kept)
                    kept.flush()
                    moved = handle._replace(path=None, fd=fd)
            os.unlink(handle.path)
            return moved
        return handle

    def clear(self) -> None:
        """Forget every value."""
        for dataset in list(self._handles):
            self.release(dataset)
        self._here.clear()

    def abandon(self) -> None:
        """In a forked child: close its copies of the descriptors."""
        for handle in self._handles.values():
            if isinstance(handle, Segment) and handle.fd is not None:
                os.close(handle.fd)

    def _move_to_file(self, dataset: int, handle: Segment, fd: int) -> Segment:
        """Put a memory file's content into a scratch file, because a message carries only so many descriptors."""
        target, path = tempfile.mkstemp(prefix="value-", dir=self._scratch)
        with os.fdopen(target, "wb") as spilled:
            written = 0
            while written < handle.size:
                piece = os.pread(fd, min(1 << 24, handle.size - written), written)
                written += spilled.write(piece)
        moved = handle._replace(path=path, fd=None)
        self.keep(dataset, moved)
        return moved

    def _close(self, handle: Handle) -> None:
        self._count(handle, -1)
        close_handle(handle)

    def _count(self, handle: Handle, by: int) -> None:
        if isinstance(handle, Segment) and handle.fd is not None:
            self._open_segments += by
