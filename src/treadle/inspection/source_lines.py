"""Find the module and the source lines of a node's function. State: none. Neighbour: `inspect.py`."""

from __future__ import annotations

import functools
import inspect
import tokenize
from pathlib import Path
from types import MethodType
from typing import TYPE_CHECKING, Any

from treadle.inspection.snapshot import SourceLines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def module_of(func: Callable[..., Any]) -> str | None:
    """Return the name of the module that defines a function.

    Args:
        func: any callable.

    Returns:
        The module's name; None if that is unknown.
    """
    module = getattr(_definition(func), "__module__", None)
    return module if isinstance(module, str) else None


def source_lines(func: Callable[..., Any], folders: Iterable[Path]) -> SourceLines | None:
    """Return where a function is defined.

    Args:
        func: any callable. For a partial or a decorated function, the wrapped function is looked for; for an object with
            `__call__`, its class.
        folders: the folders of the project's files; the path in the result is relative to the first one that contains the file.

    Returns:
        The file and its lines; None if it has no source file, or one outside the folders.
    """
    definition = _definition(func)
    try:
        name = inspect.getsourcefile(definition)
        if name is None:
            return None
        file = Path(name).resolve()
        folder = next((each for each in folders if file.is_relative_to(each)), None)
        if folder is None:
            return None
        lines, first = inspect.getsourcelines(definition)
    except (OSError, TypeError):  # no file, or a builtin
        return None
    except (SyntaxError, IndexError, tokenize.TokenError):  # the file has changed since it was imported
        return None
    return SourceLines(file.relative_to(folder).as_posix(), first, first + len(lines) - 1)


def _definition(func: Any) -> Any:
    """Return the function or class that the source of a callable defines."""
    seen: set[int] = set()
    while id(func) not in seen:
        seen.add(id(func))
        if isinstance(func, functools.partial):
            func = func.func
        elif isinstance(func, MethodType):
            func = func.__func__
        elif "__wrapped__" in getattr(func, "__dict__", {}):
            func = func.__wrapped__
    is_definition = inspect.isroutine(func) or inspect.isclass(func)
    return func if is_definition else type(func)
