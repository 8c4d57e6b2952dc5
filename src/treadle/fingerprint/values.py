"""Identify values: constants, containers, instances of classes, arrays.

Each value becomes a token: a text that is equal in two processes exactly if the values are. Short tokens can be read (`[1,
'a']`), longer ones are hashes. Pickles are no identity, because equal values may have different pickles. No code of the value's
class is called: the state of an instance is read from its `__dict__` and slots. Values that refer to code are described by
`objects.py`.

State: the location of the project, large values that were described, and the description that is going on.
The module is long because each kind of value has a few lines here.
"""

from __future__ import annotations

import _thread
import builtins
import collections
import datetime as dt
import enum
import logging
import pathlib
import re
import threading
from contextvars import ContextVar
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from treadle.fingerprint.facts import Facts, digest_of, hidden
from treadle.fingerprint.instances import (
    CONTAINERS,
    LEAVES,
    MAPPINGS,
    elements_of,
    has_readable_state,
    is_of_process,
    items_of,
    own_attributes,
    plain_leaf,
)
from treadle.named_tuple import NamedTuple
from treadle.secrets import looks_secret, mask_setting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_MOST_VALUES = 100_000
_DEEPEST = 100
_LARGE = 100
"""Containers with as many elements are described once, however many nodes use them."""
_LONGEST_TOKEN = 200
_MOST_BYTES = 64 * 2**20

_READABLE = (dt.date, dt.datetime, dt.time, dt.timedelta, dt.timezone, range)
_READABLE_ELSEWHERE = {("decimal", "Decimal"), ("zoneinfo", "ZoneInfo")}
"""Types whose repr is exact; the second are not imported here."""
_WITHOUT_STATE = (
    threading.local,
    _thread.LockType,
    _thread.RLock,
    threading.Event,
    threading.Condition,
    threading.Semaphore,
)
"""Types whose state says nothing about what a function computes."""
_ARGUMENTS: Any = vars(BaseException)["args"]
_FACTORY: Any = vars(collections.defaultdict)["default_factory"]
_MOST_ELEMENTS: Any = vars(collections.deque)["maxlen"]
"""Attributes that are read without calling code of a class that has one of the same name."""

_SENTINEL = getattr(builtins, "sentinel", None)
"""The type of placeholders such as `dataclasses.MISSING` since Python 3.15; one is identified by its module and name."""
_WEAK = {"WeakKeyDictionary", "WeakSet", "WeakValueDictionary"}
"""Containers of the standard library that can be compared while they are empty, as caches are before a run."""
_ARRAYS = {"numpy", "pandas"}
"""Libraries whose values are either described by `arrays.py` or not at all."""


_is_secret = lru_cache(maxsize=10_000)(looks_secret)


class TooLargeError(Exception):
    """A value has too many parts, or is nested too deeply, to be compared."""


class _Large(NamedTuple):
    """The description of an instance or a large container; without a token, it is too large."""

    value: Any
    token: str | None
    visited: int
    facts: Facts


class Values:
    """Identifies values.

    Args:
        root: the project's folder; its path in a value does not count.
        code: describes a value that refers to code, such as a function; None for any other value.
    """

    def __init__(self, root: str, code: Callable[[Any, str, Facts], str | None]) -> None:
        self._code = code
        self._root = re.compile(rf"{re.escape(root)}(?=[/\\]|$)") if len(root) > 1 else None
        self._stack: list[int] = []
        self._lowest = 0
        self._count = 0
        self._done: dict[int, tuple[Any, str]] = {}
        self._arrays: dict[int, tuple[Any, str | None]] = {}
        self._large: dict[tuple[int, bool], _Large] = {}

    def describe(self, value: Any, name: str, facts: Facts, label: str) -> str:
        """Return the token of a value, and note what it refers to.

        Args:
            value: any value.
            name: of the variable, which may say that the value is secret.
            facts: receives references, and what cannot be compared.
            label: the variable in sentences, such as `global demo.nodes.LIMIT`.

        Returns:
            The token.
        """
        if self._stack:
            return self._describe(value, name, facts)
        self._count, self._lowest = 0, 0
        try:
            token = self._describe(value, name, facts)
        except (TooLargeError, RecursionError):
            facts.cannot_tell(
                f"The {label} has more than {_MOST_VALUES} parts, is nested more than {_DEEPEST} levels deep or is larger than"
                f" {_MOST_BYTES >> 20} MB, so it is not compared: the node always runs."
            )
            return "unknown: too large"
        finally:
            self._stack, self._done = [], {}
        if facts.opaque:
            facts.unknown.add(
                f"The {label} is or contains an object of type {facts.opaque}. Its state cannot be compared: the node always runs"
                ". Create the object inside the function, or set a version."
            )
            facts.opaque = ""
        return token

    def _describe(self, value: Any, name: str, facts: Facts) -> str:
        leaf = self._leaf(value, name)
        if leaf is not None:
            return leaf
        identity = id(value)
        if identity in self._done:
            return self._done[identity][1]
        if identity in self._stack:
            at = self._stack.index(identity)
            self._lowest = min(self._lowest, at)
            return f"^{len(self._stack) - at}"
        self._count += 1
        if self._count > _MOST_VALUES or len(self._stack) >= _DEEPEST:
            raise TooLargeError
        around, self._lowest = self._lowest, len(self._stack)
        self._stack.append(identity)
        try:
            token = self._inside(value, name, facts)
        finally:
            self._stack.pop()
        if len(token) > _LONGEST_TOKEN:
            token = f"#{digest_of(token)}"
        if self._lowest >= len(self._stack):
            # It refers to nothing around it, so it is the same wherever it occurs. (The value is kept, so its id stays its own.)
            self._done[identity] = value, token
        self._lowest = min(around, self._lowest)
        return token

    def _once(self, value: Any, name: str, facts: Facts, describe: Callable[[Any, type, str, Facts], str]) -> str:
        """Describe an instance or a large container, or take the description that it got when another node used it."""
        key = id(value), _is_secret(name)
        known = self._large.get(key)
        if known is None:
            known = self._describe_large(value, name, describe)
            if self._lowest >= len(self._stack) - 1:  # else it refers to something around it
                self._large[key] = known
        else:
            self._count += known.visited
        if known.token is None or self._count > _MOST_VALUES:
            raise TooLargeError
        facts.include(known.facts)
        return known.token

    def _describe_large(self, value: Any, name: str, describe: Callable[[Any, type, str, Facts], str]) -> _Large:
        """Describe a value by itself: what was described before does not shorten its facts."""
        done, before = self._done, self._count
        self._done, self._count = {}, 0
        own = Facts()
        try:
            token = describe(value, type(value), name, own)
        except TooLargeError:
            if self._count <= _MOST_VALUES:  # it is nested too deeply where it is
                raise
            token = None
        finally:
            count, self._done, self._count = self._count, done, before + self._count
        return _Large(value, token, count, own)

    def _leaf(self, value: Any, name: str) -> str | None:  # noqa: PLR0911 - one line a kind
        kind = type(value)
        if value is None or kind is bool or value is ... or value is NotImplemented:
            return repr(value)
        if kind is _SENTINEL:
            return f"sentinel {value.__module__}.{value.__name__}"
        if kind is str:
            return self._text(value, name)
        if kind is int or kind is float or kind is complex:
            token = hex(value) if kind is int and value.bit_length() > 10_000 else repr(value)
            return hidden(token, name) if name and _is_secret(name) else token
        if kind is bytes or kind is bytearray:
            if len(value) > _MOST_BYTES:
                raise TooLargeError
            if name and _is_secret(name):
                return hidden(bytes(value).hex(), name)
            return f"{kind.__name__} {bytes(value)!r}" if len(value) < _LONGEST_TOKEN else f"{kind.__name__} #{digest_of(value)}"
        return None

    def _text(self, text: str, name: str) -> str:
        if len(text) > _MOST_BYTES:
            raise TooLargeError
        if self._root is not None:
            text = self._root.sub("<project>", text)
        if (name and _is_secret(name)) or (len(text) < 10_000 and mask_setting(text) != text):
            return hidden(text, name)
        token = "'" + text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n") + "'"
        if not token.isascii() or "\0" in token:  # a store escapes what its database refuses, so this is done before
            token = token.replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode("utf-8")
        return token if len(token) <= _LONGEST_TOKEN else f"str #{digest_of(token)}"

    def _inside(self, value: Any, name: str, facts: Facts) -> str:
        kind = type(value)
        if kind in CONTAINERS and len(value) >= _LARGE:
            return self._once(value, name, facts, self._container)
        if kind in CONTAINERS:
            return self._container(value, kind, name, facts)
        token = self._code(value, name, facts)
        if token is None:
            token = self._simple(value, kind, name, facts)
        if token is None:
            token = self._array(value, kind, facts)
        return self._once(value, name, facts, self._instance) if token is None else token

    def _array(self, value: Any, kind: type, facts: Facts) -> str | None:
        if kind.__module__.partition(".")[0] not in _ARRAYS:
            return None
        facts.edges.add(("outside", kind.__module__))
        if kind.__name__ == "ndarray" and value.dtype == object:
            return f"array {value.shape} {self._describe(value.tolist(), '', facts)}"
        known = self._arrays.get(id(value))
        if known is None:
            from treadle.fingerprint.arrays import array_token

            try:
                token = array_token(value)
            except Exception:  # noqa: BLE001 - the library cannot hash it, so it is not compared
                token = None
            known = self._arrays[id(value)] = value, token
        return known[1]

    def _simple(self, value: Any, kind: type, name: str, facts: Facts) -> str | None:  # noqa: PLR0911 - one line a kind
        """Describe a value of the standard library that its text identifies, or that has no state that counts."""
        if kind in _READABLE or (kind.__module__, kind.__qualname__) in _READABLE_ELSEWHERE:
            return self._readable(value, name, facts)
        if issubclass(kind, enum.Enum):
            is_member = value._name_ in kind.__members__  # and not a combination of flags
            which = f".{value._name_}" if is_member else f"({self._describe(value._value_, '', facts)})"
            return f"{self._kind(kind, facts)}{which}"
        if kind is ContextVar:
            return f"{kind.__qualname__} {value.name!r}{self._current(value, name, facts)}"
        if issubclass(kind, logging.Logger):
            return f"{self._project_kind(kind, facts)} {value.name!r}"
        if kind.__module__ in {"weakref", "_weakrefset"} and kind.__name__ in _WEAK and not len(value):
            return f"{kind.__qualname__}()"
        if kind is object or issubclass(kind, _WITHOUT_STATE):
            return f"{self._project_kind(kind, facts)}()"
        if is_of_process(value):
            return "environment or stream of the process"
        if issubclass(kind, pathlib.PurePath) and kind.__module__.partition(".")[0] == "pathlib":
            return f"Path({self._text(value.as_posix(), name)})"
        if kind is re.Pattern:
            return f"re.compile({self._describe(value.pattern, name, facts)}, {value.flags})"
        return None

    def _readable(self, value: Any, name: str, facts: Facts) -> str:
        zone = getattr(value, "tzinfo", None)
        if zone is not None and self._kind(type(zone), facts).startswith("class "):  # its `repr` is code of the project
            return f"{value.replace(tzinfo=None)!r} in {self._describe(zone, name, facts)}"
        return repr(value)

    def _project_kind(self, kind: type, facts: Facts) -> str:
        """Return the name of a class; the code of a class of the project counts."""
        label = self._kind(kind, facts)
        return label if label.startswith("class ") else kind.__qualname__

    def _current(self, variable: ContextVar[Any], name: str, facts: Facts) -> str:
        """Describe the value that a context variable has now; nothing if it has none."""
        try:
            value = variable.get()
        except LookupError:
            return ""
        return "" if value is None else f" = {self._describe(value, name, facts)}"

    def _container(self, value: Any, kind: type, name: str, facts: Facts) -> str:
        if issubclass(kind, MAPPINGS):
            pairs = (self._pair(key, each, name, facts) for key, each in items_of(value))
            return f"{'' if kind is dict else kind.__name__}{{{self._joined(pairs)}}}"
        tokens = [self._describe(each, name, facts) for each in elements_of(value)]
        if issubclass(kind, (set, frozenset)):
            return f"{kind.__name__}{{{self._joined(sorted(tokens))}}}"
        if issubclass(kind, tuple):
            return f"({self._joined(tokens)}{',' * (len(tokens) == 1)})"
        if issubclass(kind, collections.deque) and (most := _MOST_ELEMENTS.__get__(value)) is not None:
            return f"{kind.__name__}[{self._joined(tokens)}] of at most {most}"
        return f"{'' if kind is list else kind.__name__}[{self._joined(tokens)}]"

    def _pair(self, key: Any, value: Any, name: str, facts: Facts) -> str:
        if key == "__builtins__":  # of the global variables of code that was made by `exec`
            return "builtins"
        inner = key if isinstance(key, str) and key else name
        return f"{self._describe(key, '', facts)}: {self._describe(value, inner, facts)}"

    def _joined(self, tokens: Iterable[str]) -> str:
        """Join tokens; many of them are hashed one by one, because a large list need not become a large text."""
        text = ""
        for each in tokens:
            text = f"{text}, {each}" if text else each
            if len(text) > 10_000:
                text = f"#{digest_of(text)}"
        return text

    def _instance(self, value: Any, kind: type, name: str, facts: Facts) -> str:
        """Describe an instance of a class by its class, its content if the class extends a container, and its attributes."""
        label = self._kind(kind, facts)
        if not has_readable_state(kind):
            wrapped = own_attributes(value).get("__wrapped__")
            if wrapped is not None:  # made by a decorator, such as numba.njit
                return f"<{label} {self._describe(wrapped, name, facts)}>"
            facts.is_complete = False
            facts.opaque = facts.opaque or f"{kind.__module__}.{kind.__qualname__}"
            return f"unknown <{label}>"
        content = ""
        base = next((each for each in kind.__mro__ if each in CONTAINERS or each in LEAVES), None)
        if base in LEAVES:
            content = f"{self._leaf(plain_leaf(value, base), name)} "
        elif base is not None:
            content = f"{self._container(value, base, name, facts)} "
        elif issubclass(kind, BaseException):
            content = f"{self._describe(_ARGUMENTS.__get__(value), name, facts)} "
        if issubclass(kind, collections.defaultdict):
            content += f"{self._describe(_FACTORY.__get__(value), name, facts)} "
        attributes = own_attributes(value)
        state = (f"{each}={self._describe(attributes[each], each, facts)}" for each in sorted(attributes))
        return f"<{label} {content}{self._joined(state)}>"

    def _kind(self, kind: type, facts: Facts) -> str:
        return self._describe(kind, "", facts)
