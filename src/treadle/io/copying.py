"""Copy values, so that changes to one copy do not affect another.

In the inferred mode, no change to a loaded value, at any depth, affects the stored one. Immutable values are not copied. Plain
arrays and frames are copied by their own library. Everything else is pickled and unpickled in memory: this isolates as well as
`copy.deepcopy`, is faster, and also copies the cells of object columns, which `DataFrame.copy` shares.
State: none. Neighbours: `memory` copies values with this module; `frames` copies values of pandas, numpy and polars.
"""

from __future__ import annotations

import copy
import datetime as dt
import enum
import functools
import io
import pathlib
import pickle
import re
import types
from typing import Any, Final

from treadle.errors import DatasetError
from treadle.io.frames import copy_frame, copy_polars, is_locked_array

_ATOMS: Final[frozenset[type]] = frozenset(
    {
        type(None), type(...), type(NotImplemented), bool, int, float, complex, str, bytes, range, slice,
        re.Pattern,
        dt.date, dt.datetime, dt.time, dt.timedelta, dt.timezone,
        pathlib.PosixPath, pathlib.WindowsPath, pathlib.PurePosixPath, pathlib.PureWindowsPath,
        types.FunctionType, types.BuiltinFunctionType, types.ModuleType, type,
    }
)  # fmt: skip
"""Types whose values are immutable, or that even a deep copy does not copy."""

_RARE_ATOMS: Final = frozenset({("decimal", "Decimal"), ("fractions", "Fraction"), ("uuid", "UUID")})
"""Others, by module and name: every worker imports this module, and few need these."""

_SHARED_PACKAGES: Final = frozenset({"pyspark", "ibis", "pyarrow"})
"""Packages whose values are query plans or immutable tables: a copy would fail or cost time, without isolating anything."""

_CLONED_PACKAGES: Final = frozenset({"polars"})
"""Packages whose values have a cheap `clone` (copy on write), which does not copy cells that are Python objects."""


class CopyMode(enum.Enum):
    """How a value is copied."""

    ASSIGN = "assign"
    COPY = "copy"
    DEEPCOPY = "deepcopy"

    @classmethod
    def parse(cls, mode: CopyMode | str | None) -> CopyMode | None:
        """Convert a string to a mode.

        Args:
            mode: a mode, its value as a string, or None.

        Returns:
            the mode; None for None, which means that it is inferred from the value.

        Raises:
            DatasetError: no mode has that name.
        """
        if mode is None or isinstance(mode, cls):
            return mode
        try:
            return cls(mode)
        except ValueError as exc:
            msg = f"There is no copy mode {mode!r}. Choose 'assign', 'copy' or 'deepcopy', or omit it to infer the mode."
            raise DatasetError(msg) from exc


def copy_value(value: Any, mode: CopyMode | None = None) -> Any:
    """Copy a value for another owner.

    Args:
        value: anything.
        mode: the copy mode; None infers the cheapest one that isolates the copy from the original.

    Returns:
        the value itself if it is immutable or the mode is ASSIGN; otherwise a copy.

    Raises:
        DatasetError: the value cannot be copied.
    """
    if mode is CopyMode.ASSIGN or _is_constant(value):
        return value
    if mode is CopyMode.COPY:
        return copy.copy(value)
    if type(value) is memoryview:
        return _copy_view(value)
    if mode is None:
        package = type(value).__module__.partition(".")[0]
        if package in _SHARED_PACKAGES and not _is_writable_buffer(value):
            return value
        if package in _CLONED_PACKAGES and hasattr(value, "clone"):
            return copy_polars(value)
    copied = copy_frame(value)
    return _deep_copy(value) if copied is None else copied


def _is_atom(kind: type) -> bool:
    return kind in _ATOMS or (kind.__module__, kind.__qualname__) in _RARE_ATOMS


def _is_constant(value: Any) -> bool:
    kind = type(value)
    if _is_atom(kind) or isinstance(value, (type, enum.Enum)):
        return True
    if kind is tuple or kind is frozenset:
        return all(_is_atom(type(item)) for item in value)
    return False


def _is_writable_buffer(value: Any) -> bool:
    """Return whether a value gives access to writable memory, as a `pyarrow.Buffer` over a bytearray does."""
    try:
        with memoryview(value) as view:
            return not view.readonly
    except (TypeError, BufferError):
        return False


def _copy_view(view: memoryview) -> memoryview:
    """Copy the memory under a view, which neither pickle nor `copy` can do."""
    if type(view.obj) is bytes:
        return view
    restore, arguments = reduce_view(view)
    restored: memoryview = restore(*arguments)
    return restored


def reduce_view(view: memoryview) -> tuple[Any, tuple[Any, ...]]:
    """Return a function and arguments that create a copy of a memoryview, as `__reduce__` would.

    Args:
        view: any memoryview, contiguous or not.

    Returns:
        The function and its arguments. The memory is a pickle buffer, so that it can be transferred out of band.
    """
    if not view.nbytes or not _is_castable(view.format, view.itemsize):
        import numpy as np  # casting cannot create such a view, but an array can have any format and shape

        return memoryview, (np.array(view),)
    content = view.tobytes()
    memory = content if type(view.obj) is bytes else bytearray(content)
    return restore_view, (pickle.PickleBuffer(memory), view.format, view.shape)


def _is_castable(form: str, size: int) -> bool:
    try:
        memoryview(bytes(size)).cast(form)  # type: ignore[call-overload]  # any format
    except ValueError:
        return False
    return True


def restore_view(memory: Any, form: str, shape: tuple[int, ...]) -> memoryview:
    """Create a memoryview from its content, format and shape.

    Args:
        memory: the content in C order: bytes, or a writable buffer.
        form: format of the items.
        shape: number of items along each dimension.
    """
    flat = memoryview(memory).cast("B")
    return flat if form == "B" and len(shape) == 1 else flat.cast(form, list(shape))  # type: ignore[call-overload]  # any format


def _deep_copy(value: Any) -> Any:
    for copier in (_copy_with_pickle, functools.partial(_copy_with_pickle, keep_code=True)):
        try:
            return copier(value)
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001, S112 - pickling may raise anything; the next method is tried
            continue
    try:
        return copy.deepcopy(value)
    except MemoryError:
        raise  # memory is exhausted; the value itself can be copied
    except Exception as exc:
        msg = (
            f"A value of type {type(value).__module__}.{type(value).__qualname__} cannot be copied: {exc}. It probably "
            "contains a connection, a lock, an open file or a generator. To pass on the object itself, declare its dataset with "
            "`type: MemoryDataset` and `copy_mode: assign`."
        )
        raise DatasetError(msg) from exc


def _copy_with_pickle(value: Any, *, keep_code: bool = False) -> Any:
    stream = io.BytesIO()
    pickler = _CodeKeepingPickler(stream) if keep_code else _Pickler(stream)
    pickler.dump(value)
    stream.seek(0)
    return _Unpickler(stream, [bytearray(buffer.raw()) for buffer in pickler.buffers], pickler.references).load()


class _Pickler(pickle.Pickler):
    """Pickle buffers out of band, so that they are copied once. Read-only arrays become writable, as in a deep copy."""

    def __init__(self, stream: io.BytesIO) -> None:
        self.buffers: list[pickle.PickleBuffer] = []
        self.references: list[Any] = []
        super().__init__(stream, protocol=5, buffer_callback=self.buffers.append)

    def reducer_override(self, obj: Any) -> Any:
        if type(obj) is memoryview:
            return reduce_view(obj)
        if is_locked_array(obj):
            return obj.copy(order="K").__reduce_ex__(5)
        return NotImplemented


class _CodeKeepingPickler(_Pickler):
    """Keep functions, classes and modules as references, as a deep copy does, because local ones cannot be pickled."""

    def persistent_id(self, obj: Any) -> int | None:
        if isinstance(obj, (types.FunctionType, types.BuiltinFunctionType, types.ModuleType, type)):
            self.references.append(obj)
            return len(self.references) - 1
        return None


class _Unpickler(pickle.Unpickler):
    def __init__(self, stream: io.BytesIO, buffers: list[bytearray], references: list[Any]) -> None:
        super().__init__(stream, buffers=buffers)
        self._references = references

    def persistent_load(self, pid: Any) -> Any:
        return self._references[pid]
