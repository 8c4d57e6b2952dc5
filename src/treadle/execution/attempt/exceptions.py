"""Pickle a node's exception so that it is restored with its own class, whatever parameters its constructor has.

Pickle calls an exception's class with its `args`. That fails if the constructor has keyword-only parameters, or passes other
arguments to `Exception.__init__` than it takes. The exception is then rebuilt without its constructor, from its class, its
`args` and its attributes. Runs wherever nodes run. `failure.py` makes the record that contains the pickle. State: none.
"""

from __future__ import annotations

import pickle
from types import GetSetDescriptorType, MemberDescriptorType
from typing import TYPE_CHECKING, Any

from treadle.execution.values.pickling import pickle_value

if TYPE_CHECKING:
    from collections.abc import Mapping


def pickle_exception(exc: BaseException) -> bytes | None:
    """Pickle an exception.

    Args:
        exc: an exception that was raised.

    Returns:
        A pickle that restores an exception of the same class with the same text; None if that is impossible. Attributes that
        cannot be pickled are left out.
    """
    return _checked_pickle(exc, _OwnReduce(exc)) or _checked_pickle(exc, exc) or _checked_pickle(exc, _Parts(exc))


def _checked_pickle(exc: BaseException, candidate: Any) -> bytes | None:
    """Pickle `candidate`; return the pickle if it restores an exception equal to `exc`, else None."""
    try:
        data, buffers = pickle_value(candidate)
        if buffers:
            return None
        restored = pickle.loads(data)  # noqa: S301 - pickled just above
        return data if type(restored) is type(exc) and str(restored) == str(exc) else None
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001 - unpickling runs the exception's own code; if that raises, the pickle is of no use
        return None


class _OwnReduce:
    """Pickles an exception as its class says, even if a library has registered another way with `copyreg`.

    `tblib`, which dask.distributed imports, does so for all exceptions, and loses attributes such as the code of a SystemExit.
    """

    def __init__(self, exc: BaseException) -> None:
        self._exc = exc

    def __reduce__(self) -> str | tuple[Any, ...]:
        return self._exc.__reduce_ex__(pickle.HIGHEST_PROTOCOL)


class _Parts:
    """Pickles an exception as a call of `rebuild_exception`."""

    def __init__(self, exc: BaseException) -> None:
        self._exc = exc

    def __reduce__(self) -> tuple[Any, ...]:
        exc = self._exc
        args = tuple(arg if _pickles(arg) else repr(arg) for arg in exc.args)
        state = {name: value for name, value in _attributes(exc).items() if _pickles(value)}
        return rebuild_exception, (type(exc), args, state)


def rebuild_exception(kind: type[BaseException], args: tuple[Any, ...], state: Mapping[str, Any]) -> BaseException:
    """Create an exception without calling its constructor.

    Args:
        kind: its class.
        args: its `args`.
        state: its attributes: those in its `__dict__`, in slots, and the C-level ones of Python's built-in exceptions.
    """
    python_class = next(each for each in kind.__mro__ if each.__module__ == "builtins")
    exc: BaseException = python_class.__new__(kind, *args)
    exc.args = args
    for name, value in state.items():
        try:
            object.__setattr__(exc, name, value)
        except (AttributeError, TypeError):  # a read-only attribute of a built-in exception, already set from `args`
            continue
    return exc


def _attributes(exc: BaseException) -> dict[str, Any]:
    found = {}
    for kind in type(exc).__mro__:
        for name, member in vars(kind).items():
            if isinstance(member, (GetSetDescriptorType, MemberDescriptorType)) and not name.startswith("__") and name != "args":
                value = getattr(exc, name, None)
                if value is not None:  # in built-in exceptions, an attribute set to None differs from one that was never set
                    found[name] = value
    return {**found, **exc.__dict__}


def _pickles(value: object) -> bool:
    try:
        _data, buffers = pickle_value(value)
    except Exception:  # noqa: BLE001 - pickling runs the code of any class
        return False
    return not buffers
