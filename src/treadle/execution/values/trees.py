"""Copy containers and instances of Python classes that are trees, without pickling them.

A value is a tree if no part of it that can be changed is referenced twice, which `ownership.py` finds out before a value is
passed on without a copy. Then each part has one copy, and nothing needs to be remembered. All parts of one type at one depth are
copied together, with little Python code for each, which takes a fraction of the time of pickling them.

Runs wherever nodes run. State: none. Neighbours: `transfer.py` copies other values with `treadle.io.copying`.
"""

from __future__ import annotations

import copyreg
import gc
from collections import deque
from itertools import chain, islice, repeat
from types import GetSetDescriptorType, MemberDescriptorType
from typing import TYPE_CHECKING, Any, Final, cast

from treadle.collector import collection_paused
from treadle.io.containers import is_constant_type, is_fixed_container, types_of_others
from treadle.io.copying import copy_value
from treadle.io.loaded import loaded_module
from treadle.python_classes import is_python_class

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


def copy_tree(value: Any) -> Any | None:
    """Copy a container or an instance.

    Args:
        value: anything that `claim_ownership` has found to be referenced by its holder only.

    Returns:
        The copy; None if it is an array or a frame, or has an object in it whose class may have its own way to be copied.
    """
    kind = type(value)
    if _is_array_or_frame(kind) or not (kind in _CONTAINERS or is_fixed_container(kind) or is_python_class(kind)):
        return None
    try:
        with collection_paused():
            return _copies([value])[0]
    except (_OtherKindError, RecursionError):
        return None


class _OtherKindError(Exception):
    """An object has to be copied in another way."""


def _copies(objects: Sequence[Any]) -> Sequence[Any]:
    """Return a copy of each object; constants are not copied."""
    kinds = dict.fromkeys(map(type, objects))
    changeable = [kind for kind in kinds if not is_constant_type(kind)]
    if not changeable:
        return objects
    if len(kinds) == 1:
        return _copies_of(changeable[0], objects)
    copied = list(objects)
    for kind in changeable:
        places = [place for place, each in enumerate(objects) if type(each) is kind]
        for place, copy in zip(places, _copies_of(kind, [objects[place] for place in places]), strict=True):
            copied[place] = copy
    return copied


def _copies_of(kind: type, objects: Sequence[Any]) -> Sequence[Any]:
    """Return copies of objects of one type."""
    if (copier := _CONTAINERS.get(kind)) is not None:
        return copier(objects)
    if is_fixed_container(kind):
        return _copies_of_fixed(kind, objects)
    if _is_array_or_frame(kind):
        return [copy_value(each) for each in objects]
    return _copies_of_instances(kind, objects)


def _copies_of_lists(lists: Sequence[list[Any]]) -> list[list[Any]]:
    if _have_only_constants(lists):
        return list(map(list.copy, lists))
    copied = iter(_copies(list(chain.from_iterable(lists))))
    return [list(islice(copied, count)) for count in map(len, lists)]


def _copies_of_dictionaries(dictionaries: Sequence[dict[Any, Any]]) -> list[dict[Any, Any]]:
    if _have_only_constants(dictionaries):
        return [{**each} for each in dictionaries]  # in less time than `dict.copy` takes for small ones
    _require_constant_keys(dictionaries)
    return _with_copied_values(dictionaries)


def _require_constant_keys(dictionaries: Sequence[dict[Any, Any]]) -> None:
    if types_of_others(chain.from_iterable(dictionaries)):
        raise _OtherKindError  # a key that can be changed is found by its identity, or by its contents


def _with_copied_values(dictionaries: Sequence[dict[Any, Any]]) -> list[dict[Any, Any]]:
    copied = iter(_copies(list(chain.from_iterable(map(dict.values, dictionaries)))))
    # `zip` asks for a key first, so it takes no value too many.
    return [dict(zip(each, copied)) for each in dictionaries]  # noqa: B905 - as said


def _copies_of_sets(sets: Sequence[set[Any]]) -> list[set[Any]]:
    if not _have_only_constants(sets):
        raise _OtherKindError  # as a key
    return list(map(set.copy, sets))


def _copies_of_fixed(kind: type, objects: Sequence[Any]) -> Sequence[Any]:
    """Return tuples or frozen sets: the same ones if all of their items are constants."""
    if _have_only_constants(objects):
        return objects
    if not issubclass(kind, tuple) or _has_own_methods(kind, tuple):
        raise _OtherKindError
    # The methods of tuples, because a named tuple may define its own.
    copied = iter(_copies(list(chain.from_iterable(map(tuple.__iter__, objects)))))
    return [tuple.__new__(kind, islice(copied, count)) for count in map(tuple.__len__, objects)]


def _copies_of_instances(kind: type, objects: Sequence[Any]) -> list[Any]:
    """Return instances of a Python class with copies of the attributes."""
    if not _is_copied_by_attributes(kind):
        raise _OtherKindError
    made: list[Any] = list(map(object.__new__, repeat(kind, len(objects))))
    if kind.__dictoffset__:
        attributes: list[dict[Any, Any]] = [vars(each) for each in objects]
        _require_constant_keys(attributes)
        # Not the garbage collector: from Python 3.13 on, it sees them in the instance instead of its dictionary.
        if types_of_others(chain.from_iterable(map(dict.values, attributes))):
            attributes = _with_copied_values(attributes)
        for each, own in zip(made, attributes, strict=True):
            vars(each).update(own)
    for slot in [each for base in kind.__mro__ for each in vars(base).values() if type(each) is MemberDescriptorType]:
        try:
            values = list(map(slot.__get__, objects))
        except AttributeError:  # some instances do not have it
            raise _OtherKindError from None
        _run(map(slot.__set__, made, _copies(values)))
    return made


def _is_copied_by_attributes(kind: type) -> bool:
    """Return whether a class neither has its own way to be created and copied, nor memory that is no attribute."""
    if _has_own_methods(kind, object) or cast("object", kind.__new__) is not object.__new__:
        return False
    for base in kind.__mro__[:-1]:
        if not is_python_class(base) or type(vars(base).get("__dict__")) not in _DICTIONARY_ATTRIBUTES:
            return False
    return True


def _has_own_methods(kind: type, base: type) -> bool:
    """Return whether a class is copied or pickled in another way than its base."""
    return kind in copyreg.dispatch_table or any(
        getattr(kind, method, None) is not getattr(base, method, None) for method in _COPYING_METHODS
    )


def _is_array_or_frame(kind: type) -> bool:
    numpy, pandas = loaded_module("numpy"), loaded_module("pandas")
    return (numpy is not None and kind is numpy.ndarray) or (pandas is not None and kind in (pandas.DataFrame, pandas.Series))


def _have_only_constants(objects: Sequence[Any]) -> bool:
    """Return whether all that containers or named tuples refer to is constant. A dictionary refers to its keys, too."""
    return not types_of_others(gc.get_referents(*objects))


def _run(calls: Iterable[Any]) -> None:
    """Make the calls of an iterator."""
    deque(calls, maxlen=0)


_CONTAINERS: Final[dict[type, Callable[[Sequence[Any]], Sequence[Any]]]] = {
    list: _copies_of_lists,
    dict: _copies_of_dictionaries,
    set: _copies_of_sets,
}

_COPYING_METHODS: Final = (
    "__copy__",
    "__deepcopy__",
    "__getnewargs_ex__",
    "__getstate__",
    "__reduce__",
    "__reduce_ex__",
    "__setstate__",
)
"""The methods with which a class determines how it is copied and pickled (the documentation of `copy` and `pickle`). Not
`__getnewargs__`, which every named tuple has, and which only matters beside a `__new__`."""

_DICTIONARY_ATTRIBUTES: Final = (type(None), GetSetDescriptorType)
"""What a class may have as `__dict__`: nothing of its own, or Python's own attribute."""
