"""Mask the secrets in exceptions: message, attributes, notes, causes and contexts. State: none."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from treadle.secrets.known import known_secrets, mask_secrets

if TYPE_CHECKING:
    from collections.abc import Callable

_OWN_ATTRIBUTES = ("strerror", "filename", "filename2", "msg", "text", "name", "path")
"""Attributes that built-in exceptions store outside their `__dict__` and show in their text."""
_LONGEST_CHAIN = 200
"""Maximum number of exceptions to mask in a chain of causes; ends a chain that contains itself."""


class MaskedError(Exception):
    """Replaces an exception whose text shows a secret and cannot be changed; its text begins with the exception's type."""


def masked_exception(error: BaseException) -> BaseException:
    """Mask the registered secrets in an exception and in everything that its traceback shows.

    Args:
        error: any exception; it is changed in place if its class allows it.

    Returns:
        The exception; a `MaskedError` if its text cannot be changed.
    """
    return _mask(error, {}) if known_secrets() else error


def summary_of(error: BaseException) -> str:
    """Describe an exception in one line, as the last line of a traceback does, without secrets.

    Args:
        error: any exception, even one whose `__str__` raises.

    Returns:
        Its type and its message, such as `ValueError: invalid literal`.
    """
    from treadle.secrets.patterns import mask_text

    message = " ".join(mask_text(_text(error)).split())
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def _mask(error: BaseException, done: dict[int, BaseException]) -> BaseException:
    if id(error) in done or len(done) > _LONGEST_CHAIN:
        return done.get(id(error), error)
    done[id(error)] = error
    shown = _shown(error)
    if mask_secrets(shown) != shown or _holds_secret(error):
        _change(error)
    result = error
    after = _shown(error)
    if mask_secrets(after) != after:
        kind = type(error)
        name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
        result = done[id(error)] = MaskedError(f"{name}: {mask_secrets(_text(error))}").with_traceback(error.__traceback__)
        result.__cause__, result.__context__ = error.__cause__, error.__context__
        result.__suppress_context__ = error.__suppress_context__
    suppressed = result.__suppress_context__
    if result.__cause__ is not None:
        result.__cause__ = _mask(result.__cause__, done)
    if result.__context__ is not None:
        result.__context__ = _mask(result.__context__, done)
    result.__suppress_context__ = suppressed
    members = _attempt(lambda: tuple(getattr(error, "exceptions", ())), ())
    for member in members if result is error else ():
        if isinstance(member, BaseException):
            _mask(member, done)
    return result


def _change(error: BaseException) -> None:
    """Mask the arguments and attributes of an exception, as far as its class allows."""
    _attempt(lambda: setattr(error, "args", tuple(_masked(each) for each in error.args)), None)
    for name in _OWN_ATTRIBUTES:
        value = _attempt(partial(getattr, error, name, None), None)
        if isinstance(value, (str, bytes)) and (masked := _masked(value)) != value:
            _attempt(partial(setattr, error, name, masked), None)
    attributes = _attributes(error)
    for name, value in list(attributes.items()):
        if isinstance(value, (str, bytes, list, tuple, dict)):
            attributes[name] = _masked(value)


def _holds_secret(error: BaseException) -> bool:
    values = [*_attempt(lambda: error.args, ()), *_attributes(error).values()]
    return any(isinstance(each, (str, bytes, list, tuple, dict)) and _masked(each) != each for each in values)


def _attributes(error: BaseException) -> dict[str, Any]:
    attributes: dict[str, Any] = _attempt(lambda: error.__dict__, {})
    return attributes


def _masked(value: Any) -> Any:
    if isinstance(value, str):
        return mask_secrets(value)
    if type(value) in (list, tuple):
        return type(value)(_masked(each) for each in value)
    if type(value) is dict:
        return {key: _masked(each) for key, each in value.items()}
    if value is None or isinstance(value, (int, float, BaseException)):
        return value
    shown = _attempt(lambda: repr(value), "")
    masked = mask_secrets(shown)
    return value if masked == shown else masked


def _shown(error: BaseException) -> str:
    notes = _attempt(lambda: [note for note in getattr(error, "__notes__", ()) if isinstance(note, str)], [])
    return "\n".join((_text(error), *notes))


def _text(error: BaseException) -> str:
    text: str = _attempt(lambda: str(error), "")
    return text


def _attempt(call: Callable[[], Any], default: Any) -> Any:
    """Call a function that runs code of the exception's class; return the default if it raises anything."""
    try:
        return call()
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001 - even an exit in a __str__ must not end the process
        return default
