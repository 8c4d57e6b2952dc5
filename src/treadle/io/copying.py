"""Copy values, so that changes to one copy do not affect another.

In the inferred mode, no change to a loaded value, at any depth, affects the stored one. Immutable values are not copied. Plain
arrays and frames are copied by their own library. Everything else is pickled and unpickled in memory: this isolates as well as
`copy.deepcopy`, is faster, and also copies the cells of object columns, which `DataFrame.copy` shares.
State: none. Neighbours: `memory` copies values with this module; `frames` copies values of pandas, numpy and polars, `views`
views of memory, `pickled_copies` everything else.
"""

from __future__ import annotations

import copy
import enum
import functools
import re
import types
from types import MappingProxyType
from typing import Any, Final

from treadle.errors import DatasetError
from treadle.io.frames import copy_frame, copy_polars
from treadle.io.views import reduce_view, restore_view  # noqa: F401 - stored values of earlier versions name it here

_ATOMS: Final[frozenset[type]] = frozenset(
    {
        type(None), type(...), type(NotImplemented), bool, int, float, complex, str, bytes, range, slice,
        re.Pattern,
        types.FunctionType, types.BuiltinFunctionType, types.ModuleType, type,
    }
)  # fmt: skip
"""Types whose values are immutable, or that even a deep copy does not copy."""

_RARE_ATOMS: Final = MappingProxyType(
    {
        "datetime": ("date", "datetime", "time", "timedelta", "timezone"),
        "decimal": ("Decimal",),
        "fractions": ("Fraction",),
        "pathlib": ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath"),
        "uuid": ("UUID",),
    }
)
"""Others, by module and name: every worker imports this module, and few need these."""

_CONTAINERS: Final[frozenset[type]] = frozenset({dict, list, set})

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
    return kind in _ATOMS or kind.__qualname__ in _RARE_ATOMS.get(kind.__module__.partition(".")[0], ())


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


def _deep_copy(value: Any) -> Any:
    if type(value) in _CONTAINERS and not value:
        return value.copy()  # pickle need not be imported for it: a project may have no params
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
    from treadle.io.pickled_copies import copy_with_pickle  # imported late: a run in which nothing has changed copies nothing

    return copy_with_pickle(value, keep_code=keep_code)
