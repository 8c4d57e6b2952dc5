"""Transfer the values of in-memory datasets between processes, and from node to node within a process.

Between processes: a small value is sent inside a message. A large one is pickled with protocol 5 (PEP 574) into one file, with
out-of-band buffers. On Linux the file is a memfd: no limit of /dev/shm applies, and the kernel frees it with its last descriptor.
On other systems, past the memory limit and past the limit of open files (`budget.py`), it is a scratch file. Each consumer maps
the file privately (MAP_PRIVATE): nothing is copied, and no consumer sees the writes of another. The parent owns every segment and
closes it when the value's last consumer has received it.

Within a process: a value is copied when it is stored, so that later changes by the node that made it have no effect. The copy is
avoided if the store has the only reference (`ownership.py`). The last consumer gets the stored object, every other one a copy.

Used by the parent and the workers. State: the values in `LocalValues`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from errno import ENOMEM, ENOSYS
from typing import TYPE_CHECKING, Any, TypeAlias

from treadle.errors import DatasetError
from treadle.execution.processes.sizes import format_bytes
from treadle.execution.protocol.handles import Atom, Inline, Segment, is_small_atom
from treadle.execution.values.ownership import claim_ownership, share_copy_on_write
from treadle.execution.values.pickling import ATOMS, pickle_pieces
from treadle.execution.values.trees import copy_tree
from treadle.io.copying import CopyMode, copy_value
from treadle.named_tuple import new_record

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from treadle.execution.values.budget import Budget

INLINE_BYTES = 1 << 16
"""Values up to this many bytes travel inside a message."""

RESIDENT_BYTES = 1 << 20
"""Plain arrays and frames from this many bytes stay in the worker that made them until another process needs them."""

_ALIGNMENT = 64

_Placed: TypeAlias = "tuple[int, bytes | memoryview]"
"""A part of a file, after its position in bytes."""


class NoRoomError(Exception):
    """A value fits neither into memory nor onto the disk; the text gives its size and the free space."""


def publish(value: Any, scratch: str, *, budget: Budget | None = None, spare: int | None = None) -> Atom | Inline | Segment:
    """Pickle a value so that other processes can load it.

    Args:
        value: any picklable value.
        scratch: directory for the files of large values that do not go to a memory file.
        budget: the memory limit of values; without it, there is no limit.
        spare: descriptor of an unused memory file to overwrite. It is closed if it is not used.

    Returns:
        The value's handle. A Segment without a path has a descriptor that the caller closes after sending it.

    Raises:
        UnpicklableValueError: the value cannot be pickled.
        NoRoomError: neither memory nor the scratch directory has enough space.
    """
    if spare is None and is_small_atom(value):
        return new_record(Atom, (value,))
    try:
        try:
            pickled, buffers = pickle_pieces(value)
        except MemoryError as exc:
            msg = f"there was not enough memory to pickle a {type(value).__module__}.{type(value).__qualname__}"
            raise NoRoomError(msg) from exc
        size = sum(map(len, pickled))
        if not buffers and size <= INLINE_BYTES:  # most values
            return new_record(Inline, (b"".join(pickled), ()))
        if size + sum(buffer.nbytes for buffer in buffers) <= INLINE_BYTES:
            return Inline(b"".join(pickled), tuple(bytes(buffer) for buffer in buffers))
        pieces, spans, end = _lay_out(pickled, buffers)
        reasons = []
        for attempt in (_in_file, _in_memory) if budget is not None and budget.is_short_of_files else (_in_memory, _in_file):
            try:
                path, fd = attempt(pieces, end, scratch, budget, spare)
            except OSError as exc:
                reasons.append(exc.strerror or str(exc))
            else:
                spare = None if fd is not None else spare
                return Segment(end, spans, path, fd)
    finally:
        if spare is not None:
            os.close(spare)
    raise NoRoomError(_describe_free_space(end, reasons, scratch))


def _lay_out(
    pickled: Sequence[bytes], buffers: Sequence[memoryview]
) -> tuple[Sequence[_Placed], tuple[tuple[int, int], ...], int]:
    """Return the position of each piece in the file, the spans of the pickle and of each buffer, and the size of the file."""
    placed: list[_Placed] = []
    end = 0
    for piece in pickled:
        placed.append((end, piece))
        end += len(piece)
    spans = [(0, end)]
    for buffer in buffers:
        start = -(-end // _ALIGNMENT) * _ALIGNMENT
        end = start + buffer.nbytes
        placed.append((start, buffer))
        spans.append((start, buffer.nbytes))
    return placed, tuple(spans), end


def _in_memory(
    pieces: Sequence[_Placed],
    size: int,
    _scratch: str,
    budget: Budget | None,
    spare: int | None,
) -> tuple[None, int]:
    if budget is not None and not budget.has_room(size):
        used, limit = format_bytes(budget.used()), format_bytes(budget.limit)
        raise OSError(ENOMEM, f"values take {used} of the {limit} of memory that they may have (exchange_memory)")
    if not hasattr(os, "memfd_create"):
        raise OSError(ENOSYS, "this system has no memory files")
    fd = os.memfd_create("treadle", os.MFD_CLOEXEC) if spare is None else spare
    try:
        _write_pieces(fd, pieces, size)
    except OSError:
        if fd != spare:
            os.close(fd)
        raise
    return None, fd


def _in_file(
    pieces: Sequence[_Placed],
    size: int,
    scratch: str,
    _budget: Budget | None,
    _spare: int | None,
) -> tuple[str, None]:
    import tempfile

    fd, path = tempfile.mkstemp(prefix="value-", dir=scratch)
    try:
        _write_pieces(fd, pieces, size)
    except OSError:
        os.unlink(path)
        raise
    finally:
        os.close(fd)
    return path, None


def _describe_free_space(size: int, reasons: Sequence[str], scratch: str) -> str:
    import shutil

    import psutil

    try:
        free = f"{format_bytes(shutil.disk_usage(scratch).free)} free"
    except OSError as exc:
        free = exc.strerror or str(exc)
    available = format_bytes(psutil.virtual_memory().available)
    return (
        f"{format_bytes(size)} fit neither into memory nor into a file in {scratch} ({'; '.join(reasons)}). "
        f"The machine has {available} of memory available; {os.path.dirname(scratch)}: {free}"
    )


def describe_unpicklable_result(name: str, reason: object) -> str:
    """Return the error message about a free output that cannot be sent to the main process.

    Args:
        name: name of the dataset.
        reason: why its value cannot be pickled.
    """
    return (
        f"The value of '{name}' cannot leave the worker process that made it: {reason}. It is a free output, so the run "
        "must return it. Give it an entry in the catalog, return something that can be pickled, or use a runner "
        "without worker processes (sequential or thread)."
    )


def describe_lost_value(name: str) -> str:
    """Return the error message about an input whose worker is gone.

    Args:
        name: name of the dataset.
    """
    return f"The value of '{name}' was lost with the worker that had it. Run its node again."


def describe_no_room(name: str, node: str | None, lack: object) -> str:
    """Return the error message about a value for which there is no space.

    Args:
        name: name of the dataset.
        node: name of the node that made or needs the value, if it is known.
        lack: the NoRoomError that `publish` raised, or its text.
    """
    of_node = f" of node '{node}'" if node else ""
    return (
        f"There is no room for the value of '{name}'{of_node}: {lack}. Give values more memory (the runner's exchange_memory), "
        f"point TMPDIR at a disk with more space, run fewer workers, or declare '{name}' in the catalog to save it to a file."
    )


def _write_pieces(fd: int, pieces: Sequence[_Placed], size: int) -> None:
    # write() is faster than copying into a map: the kernel fills new pages without a page fault for each.
    for start, piece in pieces:
        os.lseek(fd, start, os.SEEK_SET)
        rest = memoryview(piece)
        while rest.nbytes:
            rest = rest[os.write(fd, rest) :]
    os.ftruncate(fd, size)


def snapshot(value: Any, copy_mode: CopyMode | None) -> Any:
    """Return a copy of a value, so that changes to the original have no effect on it; the same object if it cannot be copied.

    Args:
        value: a node's output, or a stored value that will be needed again.
        copy_mode: the dataset's declared copy mode; None to infer it from the value.
    """
    return value if type(value) in ATOMS else _copy_or_share(value, copy_mode)[0]


def _copy_or_share(value: Any, copy_mode: CopyMode | None) -> tuple[Any, bool]:
    """Return a copy of a value and False; the value itself and True if it cannot be copied."""
    try:
        return copy_value(value, copy_mode), False
    except MemoryError:
        raise  # with more memory the value would be copied: sharing it is not safe
    except Exception:  # noqa: BLE001 - a lock, a connection or a generator can only be shared
        return value, True


def _read_twice(value: Any) -> DatasetError:
    kind = type(value)
    msg = (
        f"The value is an iterator of type {kind.__module__}.{kind.__qualname__}, which can be read only once: another "
        "node, or an earlier attempt of this node, has received it. Return a list or another value that can be copied. "
        "To share the object itself, declare its dataset with `type: MemoryDataset` and `copy_mode: assign`."
    )
    return DatasetError(msg)


class LocalValues:
    """The values of in-memory datasets in this process, by dataset index.

    Args:
        copy_mode_of: returns the declared copy mode of a dataset; None to infer it from the value.
    """

    def __init__(self, copy_mode_of: Callable[[int], CopyMode | None]) -> None:
        self._copy_mode_of = copy_mode_of
        self._values: dict[int, Any] = {}
        self._trees: set[int] = set()  # the datasets whose values were stored as trees, so that they are copied as such
        # The datasets whose values are iterators that cannot be copied and that a node has received, with a token of that load.
        self._read_once: dict[int, object] = {}

    def store_copy(self, dataset: int, value: Any) -> None:
        """Store a copy of a value."""
        self._put(dataset, snapshot(value, self._copy_mode_of(dataset)))

    def store_output(self, holder: dict[int, Any], dataset: int, *, is_plain: bool = False) -> None:
        """Move a node's output from `holder` into the store: the object itself if nothing else references it, else a copy.

        Args:
            holder: the dictionary that contains the value.
            dataset: index of the dataset, and the value's key.
            is_plain: whether the cells of the value are known to be immutable.
        """
        if type(holder[dataset]) in ATOMS:
            self._put(dataset, holder.pop(dataset))
            return
        mode = self._copy_mode_of(dataset)
        if mode is None and claim_ownership(holder, dataset, is_plain=is_plain):
            self._put(dataset, holder.pop(dataset), is_tree=True)
        else:
            self._put(dataset, snapshot(holder.pop(dataset), mode))

    def store_as_is(self, dataset: int, value: Any) -> None:
        """Store a value that no other code references, without a copy."""
        self._put(dataset, value)

    def _put(self, dataset: int, value: Any, *, is_tree: bool = False) -> None:
        self._values[dataset] = value
        self._read_once.pop(dataset, None)
        if is_tree:
            self._trees.add(dataset)
        else:
            self._trees.discard(dataset)

    def load_input(self, dataset: int, *, last: bool) -> Any:
        """Return a value for a node: a copy, or with `last` the stored object, which is removed from the store.

        Raises:
            DatasetError: the value is an iterator that cannot be copied, such as a generator, and a node has received it before.
        """
        if dataset in self._read_once:
            raise _read_twice(self._values[dataset])
        if last:
            return self._values.pop(dataset)
        value, mode = self._values[dataset], self._copy_mode_of(dataset)
        if type(value) in ATOMS:
            return value
        if mode is None:
            copied = copy_tree(value) if dataset in self._trees else None
            if copied is None:
                copied = share_copy_on_write(value)
            if copied is not None:
                return copied
        copied, shared = _copy_or_share(value, mode)
        if shared and isinstance(value, Iterator):
            token = object()
            if self._read_once.setdefault(dataset, token) is not token:  # another thread has received it meanwhile
                raise _read_twice(value)
        return copied

    def peek(self, dataset: int) -> Any:
        """Return the stored object itself, to pickle it."""
        return self._values[dataset]

    def discard(self, dataset: int) -> None:
        """Remove a value if it is stored."""
        self._values.pop(dataset, None)

    def __contains__(self, dataset: int) -> bool:
        return dataset in self._values

    def __len__(self) -> int:
        return len(self._values)

    def clear(self) -> None:
        """Remove all values."""
        self._values.clear()
