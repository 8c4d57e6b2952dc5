"""Convert plain data to annotated types: dataclasses, pydantic models, and the types nested in and around them.

A value that already has the type is returned unchanged. Plain data (mappings, lists, strings, numbers) is converted if the
conversion is unambiguous, and rejected otherwise: `"5"` is not a number, `1` is not a boolean. State: none. Neighbour: `typed.py`
calls it.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import inspect
import sys
import types
import typing
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from enum import Enum
from pathlib import Path, PurePath
from typing import Any, Union, get_args, get_origin

from treadle.suggestions import close_names, did_you_mean

_WRAPPERS = frozenset({"Annotated", "Required", "NotRequired", "ReadOnly", "Final"})
_UNIONS = (Union, types.UnionType)
_BARE_COLLECTIONS: tuple[type[Any], ...] = (tuple, frozenset, set, deque)
"""Collections that configuration cannot express; a list is converted to them."""
_REST = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_WORDS: Mapping[type, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    type(None): "null",
}


class InvalidValueError(Exception):
    """A value that does not match a type: its path within the parameter, the problem, and a hint as a sentence."""

    def __init__(self, problem: str, path: tuple[Any, ...] = (), *, hint: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.path = path
        self.hint = hint


def holds_model(annotation: Any) -> bool:
    """Return whether a type is or contains a dataclass or a pydantic model, for example as a list of them."""
    if isinstance(annotation, type) and get_origin(annotation) is None:
        return _is_model(annotation) or dataclasses.is_dataclass(annotation)
    return any(holds_model(each) for each in get_args(annotation))


def convert(value: Any, kind: Any) -> Any:  # noqa: PLR0911 - one return per kind of type
    """Convert a value to a type.

    Args:
        value: plain data, or an instance.
        kind: a class, or a type of `typing`.

    Returns:
        The value of that type.

    Raises:
        InvalidValueError: the value does not match the type.
    """
    kind = _unwrapped(kind)
    origin = get_origin(kind)
    if origin in _UNIONS:
        return _one_of(value, get_args(kind))
    if origin is typing.Literal:
        return _listed(value, get_args(kind))
    if isinstance(origin, type):
        return _collection(value, origin, get_args(kind))
    if kind is Any or not isinstance(kind, type):
        return value  # `Any` and type variables accept any value
    if hasattr(kind, "__required_keys__"):  # a TypedDict, of `typing` or of `typing_extensions`
        return _typed_dict(value, kind)
    if not _is_checkable(kind):
        return value
    if _is_plain_instance(value, kind):
        return value
    if _is_model(kind):
        return _model(value, kind)
    if dataclasses.is_dataclass(kind):
        return _dataclass(value, kind)
    return _single(value, kind)


def _unwrapped(kind: Any) -> Any:
    """Return the type inside `Annotated[…]`, `InitVar[…]`, `Required[…]` or a `NewType`."""
    while True:
        if _wrapper(kind) in _WRAPPERS:
            kind = get_args(kind)[0]
        elif isinstance(kind, dataclasses.InitVar):
            kind = kind.type
        elif isinstance(kind, typing.NewType):
            kind = kind.__supertype__
        else:
            return kind


def _wrapper(kind: Any) -> str | None:
    origin = get_origin(kind)
    return getattr(origin, "_name", None) or getattr(origin, "__name__", None)


def _is_checkable(kind: type) -> bool:
    """Return whether `isinstance` accepts a class; TypedDicts and non-runtime protocols raise."""
    try:
        isinstance(None, kind)
    except TypeError:
        return False
    return True


def _is_model(kind: type) -> bool:
    return callable(getattr(kind, "model_validate", None)) and hasattr(kind, "model_fields")


def _is_plain_instance(value: Any, kind: type) -> bool:
    # A bool is an int in Python, but not a number in configuration.
    return _is_checkable(kind) and isinstance(value, kind) and not (isinstance(value, bool) and kind in {int, float})


def _single(value: Any, kind: type) -> Any:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if issubclass(kind, Enum):
        return _enum(value, kind)
    if hasattr(kind, "_fields") and issubclass(kind, tuple):
        return _named_tuple(value, kind)
    if kind in _BARE_COLLECTIONS:
        return _collection(value, kind, ())
    if _full_name(kind) == "decimal.Decimal" and isinstance(value, (int, float)) and not isinstance(value, bool):
        return _called(lambda: _reader(kind)(str(value)), kind)  # type: ignore[misc]  # it has one
    reader = _reader(kind)
    if reader is not None and isinstance(value, str):
        return _called(lambda: reader(value), kind)
    raise InvalidValueError(f"it must be {_WORDS.get(kind, f'a {kind.__name__}')}, not {value!r}")


def _full_name(kind: type) -> str:
    """Return the name of a class with its module, so that a comparison does not import the module."""
    return f"{kind.__module__}.{kind.__qualname__}"


def _reader(kind: type) -> Callable[[str], Any] | None:
    """Return the function that parses a string to a type; None if there is none."""
    if issubclass(kind, PurePath):
        return Path if kind is Path else kind
    if _full_name(kind) in {"decimal.Decimal", "uuid.UUID"}:
        return kind
    readers = (dt.datetime, dt.date, dt.time)
    return next((each.fromisoformat for each in readers if kind is each), None)


def _enum(value: Any, kind: type[Enum]) -> Any:
    by_word = {**{each.name: each for each in kind}, **{each.value: each for each in kind}}
    try:
        return by_word[value]
    except (KeyError, TypeError):
        return _listed(value, [each.value for each in kind])


def _listed(value: Any, allowed: Sequence[Any]) -> Any:
    for each in allowed:
        if each == value and type(each) is type(value):
            return value
    texts = [each for each in allowed if isinstance(each, str)] if isinstance(value, str) else []
    hint = did_you_mean(close_names(value, texts, most=1))
    raise InvalidValueError(f"it must be one of {', '.join(map(repr, allowed))}, not {value!r}", hint=hint)


def _one_of(value: Any, kinds: Sequence[Any]) -> Any:
    if value is None and type(None) in kinds:
        return None
    others = [each for each in kinds if each is not type(None)]
    for each in others:  # a type that the value already has takes precedence over a conversion
        if isinstance(each, type) and _is_plain_instance(value, each):
            return value
    wrong: list[InvalidValueError] = []
    for each in others:
        try:
            return convert(value, each)
        except InvalidValueError as exc:
            wrong.append(exc)
    if len(wrong) == 1:
        raise wrong[0]
    deepest = max(wrong, key=lambda each: len(each.path))
    raise InvalidValueError(
        f"it fits none of {', '.join(map(_name, others))}; {deepest.problem}", deepest.path, hint=deepest.hint
    )


def _name(kind: Any) -> str:
    return kind.__name__ if isinstance(kind, type) else str(kind).replace("typing.", "")


def _collection(value: Any, origin: type, kinds: tuple[Any, ...]) -> Any:
    if issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            raise InvalidValueError(f"it must be a mapping, not {value!r}")
        key_kind, value_kind = kinds if len(kinds) == 2 else (Any, Any)
        items = {_at(key, key, key_kind): _at(key, each, value_kind) for key, each in value.items()}
        return OrderedDict(items) if issubclass(origin, OrderedDict) else items
    if not issubclass(origin, (Sequence, AbstractSet)):
        return value
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, (Sequence, AbstractSet)):
        raise InvalidValueError(f"it must be a list, not {value!r}")
    if issubclass(origin, tuple) and kinds and not (len(kinds) == 2 and kinds[1] is Ellipsis):
        if len(value) != len(kinds):
            raise InvalidValueError(f"it must be a list of {len(kinds)}, not of {len(value)}")
        return tuple(_at(place, each, kind) for (place, each), kind in zip(enumerate(value), kinds, strict=True))
    elements = [_at(place, each, kinds[0] if kinds else Any) for place, each in enumerate(value)]
    made = next(
        (each for each in _BARE_COLLECTIONS if issubclass(origin, each)), set if issubclass(origin, AbstractSet) else list
    )
    return _called(lambda: made(elements), made)


def _at(step: Any, value: Any, kind: Any) -> Any:
    try:
        return convert(value, kind)
    except InvalidValueError as exc:
        raise InvalidValueError(exc.problem, (step, *exc.path), hint=exc.hint) from exc.__cause__


def _dataclass(value: Any, kind: type) -> Any:
    if not isinstance(value, Mapping):
        raise InvalidValueError(f"it must be a mapping with the keys of {kind.__name__}, not {value!r}")
    # Use the constructor's parameters, not the fields: an InitVar is not a field, and the class may have its own constructor.
    parameters = inspect.signature(kind).parameters.values()
    known = [each.name for each in parameters if each.kind not in _REST]
    needed = [each.name for each in parameters if each.default is each.empty and each.kind not in _REST]
    given = _by_key(value, kind, None if any(each.kind is each.VAR_KEYWORD for each in parameters) else known, needed)
    return _called(lambda: kind(**given), kind)


def _typed_dict(value: Any, kind: Any) -> Any:
    if not isinstance(value, Mapping):
        raise InvalidValueError(f"it must be a mapping with the keys of {kind.__name__}, not {value!r}")
    hints = _hints(kind)
    known = [*hints] or [*kind.__required_keys__, *kind.__optional_keys__]
    # If annotations are strings, the class itself does not know which keys are not required.
    needed = [name for name in known if name in kind.__required_keys__ and _wrapper(hints.get(name)) != "NotRequired"]
    return _by_key(value, kind, known, needed)


def _named_tuple(value: Any, kind: Any) -> Any:
    needed = [name for name in kind._fields if name not in kind._field_defaults]
    if isinstance(value, (list, tuple)) and len(needed) <= len(value) <= len(kind._fields):
        value = dict(zip(kind._fields, value, strict=False))
    if not isinstance(value, Mapping):
        raise InvalidValueError(f"it must be a mapping or a list with the fields of {kind.__name__}, not {value!r}")
    given = _by_key(value, kind, kind._fields, needed)
    return _called(lambda: kind(**given), kind)


def _by_key(value: Mapping[Any, Any], kind: type, known: Sequence[str] | None, needed: Sequence[str]) -> dict[Any, Any]:
    """Convert the value of each key; any key is allowed if `known` is None."""
    for key in value:
        if known is not None and key not in known:
            hint = did_you_mean(close_names(key, known, most=1), f"It has {', '.join(known) or 'none'}.")
            raise InvalidValueError(f"{kind.__name__} has no such key", (key,), hint=hint)
    hints = _hints(kind)
    given = {key: _at(key, each, hints.get(key, Any)) for key, each in value.items()}
    for name in needed:
        if name not in given:
            raise InvalidValueError(f"{kind.__name__} requires it, but it is missing", (name,))
    return given


def _hints(kind: type) -> Mapping[str, Any]:
    try:
        return typing.get_type_hints(kind, include_extras=True)
    except Exception:  # noqa: BLE001 - one fails (a name for type checkers; InitVar in 3.10): evaluate them one by one
        annotations = [
            (name, each, base) for base in reversed(kind.__mro__) for name, each in inspect.get_annotations(base).items()
        ]
    found = {name: _evaluated(annotation, base) for name, annotation, base in annotations}
    return {name: hint for name, hint in found.items() if hint is not None}  # the values of the others are not converted


def _evaluated(annotation: Any, kind: type) -> Any:
    """Evaluate an annotation; return None if that fails."""
    if not isinstance(annotation, str):
        return annotation
    module = sys.modules.get(kind.__module__)
    try:
        return eval(annotation, dict(vars(module)) if module is not None else {}, dict(vars(kind)))  # noqa: S307 - the project's code
    except Exception:  # noqa: BLE001 - see above
        return None


def _model(value: Any, kind: Any) -> Any:
    return _called(lambda: kind.model_validate(value), kind)


def _called(make: Callable[[], Any], kind: type) -> Any:
    """Create an instance, and convert an exception to an InvalidValueError; pydantic's have the path of the value."""
    try:
        return make()
    except Exception as exc:
        errors = getattr(exc, "errors", None)
        if callable(errors) and (problems := errors()):
            first = problems[0]
            more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
            shown = f", not {first['input']!r}" if first.get("type") != "missing" and "input" in first else ""
            raise InvalidValueError(f"{first['msg']}{shown}{more}", tuple(first["loc"])) from exc
        raise InvalidValueError(f"{kind.__name__} rejects it: {type(exc).__name__}: {exc}") from exc
