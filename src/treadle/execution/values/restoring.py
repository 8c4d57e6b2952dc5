"""Makes again, in the process that takes it, what `by_value.py` has pickled.

State: whether this process is a worker, whose modules take in what arrives. Imported in every worker: only the standard library.
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
"""Not empty in a worker process."""


def define_what_arrives() -> None:
    """Have this process, a worker, put what it is sent of the main script into its own `__main__`."""
    _worker[:] = [True]


def define(module: str, name: str, make: Callable[..., Any], arguments: Sequence[Any]) -> Any:
    """Make an object that was pickled by value; a worker finds it by its name from then on.

    Args:
        module: the module that defines it.
        name: its name there.
        make: makes it.
        arguments: of `make`.
    """
    made = make(*arguments)
    if _worker:
        setattr(sys.modules.setdefault(module, ModuleType(module)), name, made)
    return made


def cached_function(function: Callable[..., Any], maxsize: int | None, typed: bool) -> Any:  # noqa: FBT001 - as lru_cache has it
    """Make a function of `functools.lru_cache`, with an empty cache."""
    return functools.lru_cache(maxsize, typed)(function)


def dispatcher(default: Callable[..., Any]) -> Any:
    """Make a function of `functools.singledispatch`; `fill_dispatcher` adds the others to it."""
    return functools.singledispatch(default)


def fill_dispatcher(made: Any, state: tuple[Mapping[type, Callable[..., Any]], Mapping[str, Any]]) -> None:
    """Register the implementations of a single-dispatch function, and give it its attributes."""
    implementations, attributes = state
    for kind, implementation in implementations.items():
        made.register(kind, implementation)
    vars(made).update(attributes)


def new_type(module: str, name: str, supertype: Any) -> Any:
    """Make a type of `typing.NewType`."""
    made = typing.NewType(name, supertype)  # type: ignore[misc]  # not a type that a checker could know
    made.__module__ = module
    return made


def code(make: Callable[..., CodeType], arguments: Sequence[Any], filename: str, lines: list[str] | None) -> CodeType:
    """Make a code object that knows its file.

    Args:
        make: makes it.
        arguments: of `make`.
        filename: the name of its file.
        lines: the source, where there is no such file; tracebacks and `inspect.getsource` find it.
    """
    if lines is not None and filename not in linecache.cache:
        linecache.cache[filename] = (sum(map(len, lines)), None, lines, filename)
    return make(*arguments).replace(co_filename=filename)
