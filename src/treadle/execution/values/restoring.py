"""Restore, in the receiving process, the objects that `by_value.py` pickled.

Every worker imports this module, so it imports only the standard library. State: whether this process is a worker. A worker also
defines each received object in the module that the object came from.
"""

from __future__ import annotations

import functools
import linecache
import sys
import typing
from types import CodeType, ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_worker: list[bool] = []
"""Non-empty in a worker process."""


def define_received_objects() -> None:
    """Mark this process as a worker, which defines the functions and classes that it receives in its own modules."""
    _worker[:] = [True]


def define(module: str, name: str, make: Callable[..., Any], arguments: Sequence[Any]) -> Any:
    """Restore an object that was pickled by value. A worker also defines it in its module, where code can find it by name.

    Args:
        module: the module that defines it.
        name: its name in the module.
        make: creates it.
        arguments: the arguments of `make`.
    """
    made = make(*arguments)
    if _worker:
        setattr(sys.modules.setdefault(module, ModuleType(module)), name, made)
    return made


def same(value: Any) -> Any:
    """Return a value as it is, for `define`."""
    return value


def cached_function(function: Callable[..., Any], maxsize: int | None, typed: bool) -> Any:  # noqa: FBT001 - like lru_cache
    """Restore a function decorated with `functools.lru_cache`, with an empty cache."""
    return functools.lru_cache(maxsize, typed)(function)


def dispatcher(default: Callable[..., Any]) -> Any:
    """Restore a function of `functools.singledispatch`; `fill_dispatcher` registers its other implementations."""
    return functools.singledispatch(default)


def fill_dispatcher(made: Any, state: tuple[Mapping[type, Callable[..., Any]], Mapping[str, Any]]) -> None:
    """Register the implementations of a single-dispatch function, and set its attributes."""
    implementations, attributes = state
    for kind, implementation in implementations.items():
        made.register(kind, implementation)
    vars(made).update(attributes)


def new_type(module: str, name: str, supertype: Any) -> Any:
    """Restore a type of `typing.NewType`."""
    made = typing.NewType(name, supertype)  # type: ignore[misc]  # a type checker needs literal arguments
    made.__module__ = module
    return made


def code(make: Callable[..., CodeType], arguments: Sequence[Any], filename: str, lines: list[str] | None) -> CodeType:
    """Restore a code object with the name of its file.

    Args:
        make: creates it.
        arguments: the arguments of `make`.
        filename: the name of its file.
        lines: the source lines if the file does not exist; tracebacks and `inspect.getsource` use them.
    """
    if lines is not None and filename not in linecache.cache:
        linecache.cache[filename] = (sum(map(len, lines)), None, lines, filename)
    return make(*arguments).replace(co_filename=filename)


def dates(numbers: Any, dtype: Any) -> Any:
    """Restore an array of dates or durations.

    Args:
        numbers: an array of integers with the same bytes.
        dtype: the dtype of the array.
    """
    return numbers.view(dtype)


def strings(stored: Any, places: Any, missing: Any, shape: tuple[int, ...], order: str) -> Any:
    """Restore an array of `str` objects.

    Args:
        stored: a pyarrow array of the strings, in the order of the memory; of each different string if there are places.
        places: an array with the index in `stored` of each cell; None if `stored` has the cells themselves.
        missing: the object in place of each null: None, pandas.NA, or a float for numpy.nan.
        shape: shape of the array.
        order: "C" or "F", the order of its memory.
    """
    cells = stored.to_numpy(zero_copy_only=False)
    if missing is not None:
        import numpy as np

        # The cells must be numpy.nan itself: another NaN object is not equal to it, even in lists.
        cells[stored.is_null().to_numpy(zero_copy_only=False)] = np.nan if type(missing) is float else missing
    if places is not None:
        cells = cells[places]
    return cells.reshape(shape, order=order)


def table(stored: Any, is_batch: bool) -> Any:  # noqa: FBT001 - an argument in a pickle
    """Restore a table or record batch of pyarrow.

    Args:
        stored: a buffer with the rows, in Arrow's format for streams.
        is_batch: whether it is a record batch.
    """
    import pyarrow as pa

    with pa.ipc.open_stream(stored) as reader:
        return reader.read_next_batch() if is_batch else reader.read_all()
