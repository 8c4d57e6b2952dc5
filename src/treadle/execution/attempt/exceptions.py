"""Pickling a node's exception so that it comes back in its own class, whatever its constructor takes.

Pickle calls an exception's class with its `args`; that fails where the constructor has keyword-only parameters, or passes on
other arguments than it takes. Then the exception is made without its constructor, from its class, its `args` and its attributes.
State: none. Neighbour: `failure.py` makes the record that travels.
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
        A pickle from which an exception of the same class and text comes back; None where there is none. Attributes that do not
        pickle are left out.
    """
    return _checked(exc, exc) or _checked(exc, _Parts(exc))


def _checked(exc: BaseException, sent: Any) -> bytes | None:
    try:
        data, buffers = pickle_value(sent)
        if buffers:
            return None
        back = pickle.loads(data)  # noqa: S301 - made one line above
        return data if type(back) is type(exc) and str(back) == str(exc) else None
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001 - reading back runs the exception's own code: where that fails, it does not survive
        return None


class _Parts:
    """Pickles as the call that rebuilds an exception."""

    def __init__(self, exc: BaseException) -> None:
        self._exc = exc

    def __reduce__(self) -> tuple[Any, ...]:
        exc = self._exc
        args = tuple(arg if _pickles(arg) else repr(arg) for arg in exc.args)
        state = {name: value for name, value in _attributes(exc).items() if _pickles(value)}
        return rebuild_exception, (type(exc), args, state)


def rebuild_exception(kind: type[BaseException], args: tuple[Any, ...], state: Mapping[str, Any]) -> BaseException:
    """Make an exception without calling its constructor.

    Args:
        kind: its class.
        args: its `args`.
        state: its attributes: those of its `__dict__`, its slots, and what Python's own exceptions keep elsewhere.
    """
    python_class = next(each for each in kind.__mro__ if each.__module__ == "builtins")
    exc: BaseException = python_class.__new__(kind, *args)
    exc.args = args
    for name, value in state.items():
        try:
            object.__setattr__(exc, name, value)
        except (AttributeError, TypeError):  # Python's own, and read-only: it was made from `args`
            continue
    return exc


def _attributes(exc: BaseException) -> dict[str, Any]:
    found = {}
    for kind in type(exc).__mro__:
        for name, member in vars(kind).items():
            if isinstance(member, (GetSetDescriptorType, MemberDescriptorType)) and not name.startswith("__") and name != "args":
                value = getattr(exc, name, None)
                if value is not None:  # Python's own exceptions tell an attribute that is None from one that was never set
                    found[name] = value
    return {**found, **exc.__dict__}


def _pickles(value: object) -> bool:
    try:
        _data, buffers = pickle_value(value)
    except Exception:  # noqa: BLE001 - pickling runs the code of any class
        return False
    return not buffers
