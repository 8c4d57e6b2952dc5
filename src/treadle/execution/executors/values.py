"""The parent's side of the exchange: where the value of each in-memory dataset of a run is, and who gives it back."""

from __future__ import annotations

import os
import shutil
import tempfile
from typing import TYPE_CHECKING, Any

from treadle.errors import DatasetError
from treadle.execution.channel import MAX_DESCRIPTORS
from treadle.execution.exchange import (
    MANY_DESCRIPTORS,
    LocalValues,
    NoRoomError,
    describe_no_room,
    load_handle,
    publish,
    size_of,
)
from treadle.execution.handles import Handle, Inline, Kept, Local, Resident, Segment
from treadle.execution.handover import large_size
from treadle.execution.job import MAIN
from treadle.execution.pickling import CannotLeaveError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from treadle.execution.executors.segments import Segments
    from treadle.io.memory import CopyMode


class ParentValues:
    """The handles of a run's in-memory datasets; every memory file in it is this process's, and given back here.

    Args:
        scratch: directory for values that are spilled.
        segments: the pool's memory files.
        copy_mode: returns the declared copy mode of a dataset, for values that stay in this process.
        name: returns the name of a dataset, for errors.
    """

    def __init__(
        self, scratch: str, segments: Segments, copy_mode: Callable[[int], CopyMode | None], name: Callable[[int], str]
    ) -> None:
        self._scratch = scratch
        self._segments = segments
        self._name = name
        self._handles: dict[int, Handle] = {}
        self._sent: dict[int, set[int]] = {}  # which workers have a descriptor of a dataset's memory file
        self._here = LocalValues(copy_mode)

    def put(self, dataset: int, value: Any) -> int | None:
        """Publish a value; one that cannot leave stays here, for the worker MAIN, whose number is then returned.

        Raises:
            DatasetError: there is no room for it.
        """
        try:
            handle = self._publish(dataset, value)
        except CannotLeaveError as exc:
            self._here.adopt(dataset, value)
            handle = Kept(MAIN, str(exc))
        self.keep(dataset, handle, MAIN)
        return MAIN if isinstance(handle, Kept) else None

    def give_here(self, dataset: int, value: Any) -> Handle:
        """Take an output of a node that ran in this process; the caller keeps the handle.

        Raises:
            DatasetError: there is no room for it.
        """
        self._here.drop(dataset)  # a generator's earlier chunk
        try:
            return self._publish(dataset, value)
        except CannotLeaveError as exc:
            self._here.put(dataset, value)
            return Kept(MAIN, str(exc))

    def _publish(self, dataset: int, value: Any) -> Handle:
        size = large_size(value) if self._segments.has_idle else 0  # to look into a frame takes time
        try:
            spare = self._segments.spare(size) if size else None
            return publish(value, self._scratch, budget=self._segments.budget, spare=spare)
        except NoRoomError as exc:
            name = self._name(dataset)
            raise DatasetError(describe_no_room(name, None, exc), dataset=name) from exc

    def take_here(self, dataset: int, *, last: bool) -> Any:
        """Return an input of a node that runs in this process."""
        if dataset in self._here:
            return self._here.take(dataset, last=last)
        handle = self._handles[dataset]
        if not isinstance(handle, Segment) or handle.fd is None:
            return load_handle(handle)
        fd = self._segments.share(handle.fd)
        try:
            return load_handle(handle._replace(fd=fd))
        finally:
            os.close(fd)

    def keep(self, dataset: int, handle: Handle, worker: int) -> None:
        """Keep a handle that a worker made.

        Where the value is here already, its node ran again because another output of it was lost: that one stays, since jobs
        that are under way name it.
        """
        if isinstance(self._handles.get(dataset), (Inline, Segment)):
            self.decline(handle, worker)
            if isinstance(handle, Resident):
                self._sent.setdefault(dataset, set()).add(worker)  # it is told when nobody needs the value any more
            return
        self._handles[dataset] = handle
        self._segments.add(handle, worker)

    def decline(self, handle: Handle, worker: int) -> None:
        """Give a value back that arrived after it was released."""
        self._segments.add(handle, worker)
        self._segments.give_back(handle)

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

    def for_message(self, datasets: Iterable[int], worker: int) -> tuple[list[tuple[int, Handle]], list[int]]:
        """Return handles fit for a message, and new descriptors that travel beside it, in their order.

        What the worker has already is not among them: a value that lives there, or a memory file that went there before.
        """
        handles: list[tuple[int, Handle]] = []
        descriptors: list[int] = []
        for dataset in datasets:
            handle = self._handles.get(dataset)
            if handle is None or isinstance(handle, (Kept, Resident)) or worker in self._sent.get(dataset, ()):
                continue
            if isinstance(handle, Segment) and (fd := handle.fd) is not None:
                if len(descriptors) < MAX_DESCRIPTORS:
                    descriptors.append(self._segments.share(fd))  # the channel closes what it has sent
                    self._sent.setdefault(dataset, set()).add(worker)
                    handle = handle._replace(fd=None)
                else:
                    handle = self._move_to_file(dataset, handle, fd)
            handles.append((dataset, handle))
        return handles, descriptors

    def spare_for(self, dataset: int) -> int | None:
        """Return a memory file into which a value that is asked for can be written, for the channel to close."""
        return self._segments.spare(self.size(dataset))

    def forget_worker(self, worker: int) -> None:
        """A worker is gone, and with it what it was sent."""
        self._segments.forget_worker(worker)
        for workers in self._sent.values():
            workers.discard(worker)

    def size(self, dataset: int) -> int:
        """Return the bytes of a value, 0 where it is not here."""
        handle = self._handles.get(dataset)
        return size_of(handle) if handle is not None else 0

    def release(self, dataset: int) -> Iterable[int]:
        """Forget a value: its memory is given back.

        Returns:
            The workers that have something of it.
        """
        handle = self._handles.pop(dataset, None)
        self._here.drop(dataset)
        if handle is not None:
            self._segments.give_back(handle)
            if isinstance(handle, Resident):
                return (handle.worker,)
        return sorted(self._sent.pop(dataset)) if dataset in self._sent else ()

    def detach(self, dataset: int) -> Handle | None:
        """Hand a value over; a spilled one is moved out of the scratch directory, which will not outlive the pool."""
        handle = self._handles.pop(dataset, None)
        if handle is None or isinstance(handle, (Kept, Resident)):
            return Local(self._here.take(dataset, last=True)) if dataset in self._here else None
        self._segments.remove(handle)
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
        self._sent.clear()
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
        self._segments.give_back(handle)  # those that have a descriptor of it go on with that
        self._handles[dataset] = moved
        return moved
