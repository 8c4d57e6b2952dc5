"""The parent's store of a run's in-memory values: their handles, by dataset.

State: the handles, and the values that cannot leave this process. Where each value is, and who needs it, the scheduler knows; a
handle is only what it takes to load, send or free it. Neighbours: `segments.py` owns the memory files.
"""

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
    close_handle,
    describe_no_room,
    load_handle,
    open_spilled,
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
    from treadle.execution.placement import Placement
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
        self._here = LocalValues(copy_mode)

    def put(self, dataset: int, value: Any) -> Placement:
        """Take a value; one that cannot leave stays here, for the worker MAIN.

        Returns:
            Where it is now.

        Raises:
            DatasetError: there is no room for it.
        """
        try:
            handle = self._publish(dataset, value)
        except CannotLeaveError as exc:
            self._here.adopt(dataset, value)
            handle = Kept(MAIN, str(exc))
        self.keep(dataset, handle, MAIN)
        return handle.placement

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
        """Keep the handle of a value that a worker made.

        Where the store has the value already, its node ran again because another output of it was lost: the first one stays,
        since jobs that were sent name it.
        """
        if isinstance(self._handles.get(dataset), (Inline, Segment)):
            self.decline(handle, worker)
            return
        self._handles[dataset] = handle
        self._segments.add(handle, worker)

    def keep_transferred(self, dataset: int, handle: Handle, worker: int) -> bool:
        """Keep the handle of a value that a worker was asked for.

        Returns:
            False where it is not expected any more, and was freed.
        """
        if not isinstance(self._handles.get(dataset), Resident):
            self.decline(handle, worker)
            return False
        self._handles[dataset] = handle
        self._segments.add(handle, worker)
        return True

    def decline(self, handle: Handle, worker: int) -> None:
        """Give a value back that arrived after it was released."""
        self._segments.add(handle, worker)
        self._segments.give_back(handle)

    def for_message(self, datasets: Iterable[int]) -> list[tuple[list[tuple[int, Handle]], list[int]]]:
        """Return handles fit for messages, each list with the descriptors that travel beside it, in their order.

        A message carries only so many descriptors: where there are more, others with memory files only go before the last one.
        """
        plain: list[tuple[int, Handle]] = []
        messages: list[tuple[list[tuple[int, Handle]], list[int]]] = [([], [])]
        for dataset in datasets:
            handle = self._handles[dataset]
            if not isinstance(handle, Segment) or handle.fd is None:
                plain.append((dataset, handle))
                continue
            if len(messages[-1][1]) == MAX_DESCRIPTORS:
                messages.append(([], []))
            messages[-1][0].append((dataset, handle._replace(fd=None)))
            messages[-1][1].append(self._segments.share(handle.fd))  # the channel closes what it has sent
        messages[-1][0].extend(plain)
        return messages

    def spare_for(self, dataset: int) -> int | None:
        """Return a memory file into which a value that is asked for can be written, for the channel to close."""
        return self._segments.spare(self.size(dataset))

    def forget_worker(self, worker: int) -> None:
        """Forget the handles of values that were in a worker which is gone."""
        self._segments.forget_worker(worker)
        for dataset in [each for each, handle in self._handles.items() if handle.placement.worker == worker]:
            self.release(dataset)

    def size(self, dataset: int) -> int:
        """Return the bytes of a value, 0 where it is not here."""
        handle = self._handles.get(dataset)
        return size_of(handle) if handle is not None else 0

    def release(self, dataset: int) -> None:
        """Forget a value: its memory is freed."""
        handle = self._handles.pop(dataset, None)
        self._here.drop(dataset)
        if handle is not None:
            self._segments.give_back(handle)

    def detach(self, dataset: int) -> Handle | None:
        """Hand a value over; a spilled one is moved out of the scratch directory, which will not outlive the pool."""
        handle = self._handles.pop(dataset, None)
        if handle is None or isinstance(handle, (Kept, Resident)):
            return Local(self._here.take(dataset, last=True)) if dataset in self._here else None
        self._segments.remove(handle)
        if isinstance(handle, Segment) and handle.path is not None:
            try:
                source = open_spilled(handle.path)
            except FileNotFoundError as exc:
                name = self._name(dataset)
                msg = f"The value of '{name}' is lost: {exc.strerror}. Run its node again."
                raise DatasetError(msg, dataset=name) from exc
            with open(source, "rb") as spilled, tempfile.TemporaryFile() as kept:
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
            close_handle(handle)
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
