"""Copy values, so that changes to one copy do not affect another.

In the inferred mode, no change to a loaded value, at any depth, affects the stored one. Immutable values are not copied. Plain
arrays and frames are copied by their own library, flat containers of immutable values by theirs. Everything else is pickled and
unpickled in memory: this isolates as well as `copy.deepcopy`, is faster, and also copies the cells of object columns, which
`DataFrame.copy` shares. State: none. Neighbours: `memory` copies values with this module; `frames` copies values of pandas, numpy
and polars, `views` views of memory, `containers` flat lists, dictionaries and sets, `pickled_copies` everything else.
"""

from __future__ import annotations

import copy
import enum
import functools
import gc
from typing import Any, Final

from treadle.errors import DatasetError
from treadle.io.containers import copy_container, is_constant_type, is_fixed_container, types_of_others
from treadle.io.frames import copy_frame, copy_polars
from treadle.io.views import reduce_view, restore_view  # noqa: F401 - stored values of earlier versions name it here

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


def _is_constant(value: Any) -> bool:
    kind = type(value)
    if is_constant_type(kind):
        return True
    # A named tuple may define another `__iter__`, so the items are not iterated over.
    return is_fixed_container(kind) and not types_of_others(gc.get_referents(value))


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


def _deep_copy(value: Any) -> Any:
    for copier in (copy_container, _copy_with_pickle, functools.partial(_copy_with_pickle, keep_code=True)):
        try:
            copied = copier(value)
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001, S112 - pickling may raise anything, and a thread may change a container: try the next one
            continue
        if copied is not None:
            return copied
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
    from treadle.io.pickled_copies import copy_with_pickle  # imported late: a run in which nothing has changed copies nothing

    return copy_with_pickle(value, keep_code=keep_code)
