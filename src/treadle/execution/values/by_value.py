"""A pickler for values that are sent to another process: cloudpickle's, extended for objects that cloudpickle cannot pickle.

Functions and classes are pickled by value if another process cannot import them: those of the main script, of a notebook, and of
modules that were loaded from a file, made at run time or are still being imported.

The pickler also preserves what cloudpickle loses or refuses: cached and single-dispatch functions, `__slots__`, the qualified
names of nested classes, cached properties, named types, and the file name and source lines of code. No cloudpickle release from
3.0.0 to 3.1.3 supports these, except that 3.1.1 kept the file name. Cached properties need no support from Python 3.12 on.

`restoring.py` recreates the objects in the receiving process; other modules call `pickling.py` or `in_band.py`. Used by the
parent and the workers. State: cloudpickle's registry of modules to pickle by value.
"""

from __future__ import annotations

import copyreg
import functools
import linecache
import os
import sys
import typing
from io import BytesIO
from types import CodeType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, ClassVar

import cloudpickle

from treadle.execution.values import restoring
from treadle.execution.values.arrays import reduce_array
from treadle.execution.values.importable import MAIN_MODULES, is_found_by_name, is_importable
from treadle.execution.values.tables import reduce_table
from treadle.io.views import reduce_view

if TYPE_CHECKING:
    from collections.abc import Callable

_dispatcher: Any = functools.singledispatch(len)
_DISPATCHER_CODE = _dispatcher.__code__  # all single-dispatch functions share it
_DISPATCHER_PARTS = frozenset(vars(_dispatcher))


class Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
    """Pickle by value what another process cannot import."""

    dispatch_table: ClassVar[Any]

    def reducer_override(self, obj: Any) -> Any:
        """Return the reduced form of an object; NotImplemented to let pickle use its own."""
        kind = type(obj)
        if kind is FunctionType and obj.__code__ is not _DISPATCHER_CODE:
            _register_module(obj.__module__)
            return _reduce_definition(obj, super().reducer_override(obj))
        if (reduce := _REDUCERS.get(kind)) is not None:  # pickle would only store the name
            _register_module(obj.__module__)
            return NotImplemented if is_found_by_name(obj) else _reduce_definition(obj, reduce(obj))
        if issubclass(kind, type):
            _register_module(getattr(obj, "__module__", None))
            return _reduce_definition(obj, _complete_class(obj, super().reducer_override(obj)))
        if kind is ModuleType:
            _register_module(obj.__name__)
            return NotImplemented
        if (known := _DATA_REDUCERS.get(kind.__name__)) is not None and kind.__module__ == known[0]:
            reduced = known[1](obj)
            if reduced is not None:
                return reduced
        registered = copyreg.dispatch_table.get(kind)
        return NotImplemented if registered is None or kind in _REDUCERS_BY_TYPE else registered(obj)


def dumps(value: Any) -> bytes:
    """Pickle a value without out-of-band buffers. Raises whatever the classes of the value's objects raise.

    Args:
        value: any value.
    """
    stream = BytesIO()
    Pickler(stream, protocol=5).dump(value)
    return stream.getvalue()


def _register_module(name: str | None) -> None:
    """Make cloudpickle pickle a module's functions and classes by value if another process cannot import the module."""
    if name is None or name == "__main__":  # cloudpickle always pickles this module by value
        return
    module = sys.modules.get(name)
    if module is not None and module.__name__ == name and (name in MAIN_MODULES or not is_importable(module)):
        cloudpickle.register_pickle_by_value(module)


def _reduce_definition(obj: Any, reduced: Any) -> Any:
    """Extend a reduced form so that the worker also defines the object in its module.

    A plain pickle, such as that of a multiprocessing Pool, then finds the object by name in the worker.
    """
    if not isinstance(reduced, tuple):
        return reduced
    module, name = obj.__module__, obj.__qualname__
    if vars(sys.modules.get(module, object)).get(name) is not obj or (module not in MAIN_MODULES and _importable(module)):
        return reduced
    make, arguments, *rest = reduced
    return (restoring.define, (module, name, make, arguments), *rest)


def _importable(name: str) -> bool:
    return is_importable(sys.modules[name])


def _complete_class(kind: type, reduced: Any) -> Any:
    """Add the slots of a class, and the name of the class or function that it is defined in."""
    if not isinstance(reduced, tuple) or reduced[0].__name__ != "_make_skeleton_class":
        return reduced
    more: dict[str, Any] = {"__slots__": kind.__slots__} if "__slots__" in vars(kind) else {}  # type: ignore[attr-defined]
    if kind.__qualname__ != kind.__name__:
        more["__qualname__"] = kind.__qualname__
    if not more:
        return reduced
    make, (constructor, name, bases, namespace, *others), *rest = reduced
    return (make, (constructor, name, bases, {**namespace, **more}, *others), *rest)


def _reduce_cached_function(obj: Any) -> tuple[Any, ...]:
    attributes = {name: value for name, value in vars(obj).items() if name not in ("__wrapped__", "cache_parameters")}
    parameters = obj.cache_parameters()
    return restoring.cached_function, (obj.__wrapped__, parameters["maxsize"], parameters["typed"]), attributes


def _reduce_dispatcher(obj: Any) -> tuple[Any, ...]:
    attributes = {name: value for name, value in vars(obj).items() if name not in _DISPATCHER_PARTS}
    state = (dict(obj.registry), attributes)
    return restoring.dispatcher, (obj.registry[object],), state, None, None, restoring.fill_dispatcher


def _reduce_cached_property(obj: functools.cached_property[Any]) -> tuple[Any, ...]:
    # Before Python 3.12 a cached property has a lock, which cannot be pickled.
    return functools.cached_property, (obj.func,), {"attrname": obj.attrname, "__doc__": obj.__doc__}


def _reduce_code(code: CodeType) -> tuple[Any, ...]:
    """Preserve the file name and, for code without a file, such as a notebook's, the source lines."""
    make, arguments = cloudpickle.Pickler.dispatch_table[CodeType](code)
    lines = None if _is_file(code.co_filename) else linecache.getlines(code.co_filename)
    return restoring.code, (make, arguments, code.co_filename, lines or None)


@functools.lru_cache(maxsize=1024)
def _is_file(name: str) -> bool:
    return os.path.exists(name)


def _reduce_new_type(obj: Any) -> tuple[Any, ...]:
    return restoring.new_type, (obj.__module__, obj.__name__, obj.__supertype__)


def _reduce_alias(obj: Any) -> tuple[Any, ...]:
    return type(obj), (obj.__name__, obj.__value__)


_REDUCERS: dict[type, Callable[[Any], tuple[Any, ...]]] = {
    FunctionType: _reduce_dispatcher,
    type(functools.lru_cache(len)): _reduce_cached_function,
    typing.NewType: _reduce_new_type,
}
if hasattr(typing, "TypeAliasType"):  # from Python 3.12 on
    _REDUCERS[typing.TypeAliasType] = _reduce_alias

_DATA_REDUCERS: dict[str, tuple[str, Callable[[Any], tuple[Any, ...] | None]]] = {
    "ndarray": ("numpy", reduce_array),
    "Table": ("pyarrow.lib", reduce_table),
    "RecordBatch": ("pyarrow.lib", reduce_table),
}
"""By name, with the module, because these libraries may not be loaded."""

_REDUCERS_BY_TYPE: dict[type, Callable[[Any], Any]] = {
    **{kind: each for kind, each in cloudpickle.Pickler.dispatch_table.items() if copyreg.dispatch_table.get(kind) is not each},
    memoryview: reduce_view,
    CodeType: _reduce_code,
    functools.cached_property: _reduce_cached_property,
}

# A plain dictionary, in which pickle finds a type without calling Python code. A look-up in cloudpickle's ChainMap takes longer
# than the rest of pickling an object. It has to find the types that are registered with `copyreg` later; here,
# `reducer_override` does.
Pickler.dispatch_table = _REDUCERS_BY_TYPE
