"""The functions, classes and global variables of the project, and everything else that is code.

Each function, class and global variable has facts of its own, which are found out once: a function that many nodes use is read
once. Functions that share a name, such as lambdas and closures, have none: they are described where they are used, like values.
State: the facts found so far.
"""

from __future__ import annotations

import functools
import operator
import os
import re
import sys
import types
import typing
from types import FunctionType, ModuleType
from typing import Any

from treadle.fingerprint.binding import leads_anywhere, mark_module
from treadle.fingerprint.context import Context
from treadle.fingerprint.distributions import Distributions
from treadle.fingerprint.facts import Facts, Key, digest_of
from treadle.fingerprint.functions import code_references, code_text, definition_of, function_parts, label_of, module_of
from treadle.fingerprint.modules import Modules, is_module
from treadle.fingerprint.sources import Sources
from treadle.fingerprint.typing_values import is_of_typing, typing_parts
from treadle.fingerprint.values import Values

if typing.TYPE_CHECKING:
    from collections.abc import Callable

_DESCRIPTORS = (
    types.MethodDescriptorType,
    types.WrapperDescriptorType,
    types.ClassMethodDescriptorType,
    types.GetSetDescriptorType,
    types.MemberDescriptorType,
)
_BUILTIN_FUNCTIONS = {types.BuiltinFunctionType, type(re.compile("").match)}


class Objects:
    """Finds out what objects of the project depend on.

    Args:
        package: the project's package.
        is_edited: returns whether the file at a path was changed after it was imported.
    """

    def __init__(self, package: str, is_edited: Callable[[str], bool]) -> None:
        sources = Sources()
        self._modules = Modules(package, sources, is_edited)
        self._distributions = Distributions()
        values = Values(self._modules.root, self._describe_code)
        self._context = Context(sources, self._modules, values, self._mark, self._mark_global, is_edited)
        self._facts: dict[Key, Facts] = {}
        self._live: dict[Key, Any] = {}
        self._labels: dict[int, str | None] = {}

    def describe(self, function: Any, facts: Facts) -> None:
        """Note what a node's function consists of and refers to.

        Args:
            function: any callable.
            facts: receives the token, and the parts of a function that has no facts of its own.
        """
        token = self._context.values.describe(function, "", facts, "function of the node")
        is_name = token.startswith(("function ", "class ")) and "#" not in token
        facts.add("callable", token, token if is_name else None)

    def facts(self, key: Key) -> Facts:
        """Return the facts of an object.

        Args:
            key: names the object; it was noted as an edge before.
        """
        known = self._facts.get(key)
        if known is None:
            known = self._facts[key] = Facts()
            try:
                self._find_out(key, known)
            except Exception as exc:  # noqa: BLE001 - code of the project may raise anything when it is looked at
                known.cannot_examine(self._shown(key), exc)
        return known

    def _shown(self, key: Key) -> str:
        """Return what a key stands for, in words; no code of the object is called."""
        if key[0] in {"function", "class"}:
            value = self._live[key]
            name = value.__qualname__ if type(value) is FunctionType else vars(type)["__qualname__"].__get__(value)
            return f"{key[0]} {name}"
        return f"{key[0]} {'.'.join(map(str, key[1:]))}"

    def _find_out(self, key: Key, facts: Facts) -> None:
        kind = key[0]
        if kind == "function":
            function_parts(self._live[key], self._context, facts)
        elif kind == "class":
            from treadle.fingerprint.classes import class_parts

            class_parts(self._live[key], self._context, facts)
        elif kind == "global":
            name = str(key[-1])
            self._context.part(f"global {key[1]}.{name}", name, self._live[key], facts)
        elif kind == "module":
            self._modules.describe(str(key[1]), facts)
        elif kind == "package":
            self._modules.note_all(facts)
        else:
            self._outside_part(str(key[1]), facts)

    def _outside_part(self, module: str, facts: Facts) -> None:
        outside = self._distributions.of_module(module)
        if outside is not None and outside.value is not None:
            facts.add(outside.label, outside.value)
            for each in outside.imports:  # the user's own code is edited without a new version, wherever it is
                if self._modules.contains(each):
                    facts.edges.add(("module", each))
                elif (inner := self._distributions.of_module(each)) is not None and inner.label.startswith("package "):
                    facts.edges.add(("outside", each))
        elif outside is not None:
            facts.cannot_tell(f"The version of the {outside.label} cannot be determined: the node always runs.")

    def _mark_global(self, module: str, name: str, value: Any, facts: Facts) -> None:
        key = ("global", module, name)
        self._live[key] = value
        facts.edges.add(key)

    def _mark(self, value: Any, facts: Facts) -> str | None:
        """Note a function or class that has facts of its own, or that is outside the project, and return its label."""
        if type(value) is FunctionType:
            return self._mark_function(value, facts)
        if issubclass(type(value), type):
            return self._mark_class(value, facts)
        return None

    def _mark_function(self, function: FunctionType, facts: Facts) -> str | None:
        module = module_of(function)
        if not self._modules.contains(module):
            # A wrapper that a library made of a function of the project has the names of that one.
            if self._modules.contains(str(function.__module__)) or not _is_found_by_name(function):
                return None
            facts.edges.add(("outside", module))
            return self._noted(f"{module}.{function.__qualname__}", facts)
        label = self._label(function)
        if label is not None:
            key = ("function", id(function))
            self._live[key] = function
            facts.edges.add(key)
            return f"function {label}"
        return None

    def _label(self, function: FunctionType) -> str | None:
        """Return the label of a function whose name means only this one; None for lambdas, closures and code without source."""
        identity = id(function)
        if identity not in self._labels:
            definition = definition_of(function, self._context)
            source = self._context.sources.of_code(function.__code__, function.__globals__)
            label = None
            if definition is not None and source is not None and source.is_unique(definition):
                decorated = bool(getattr(definition.node, "decorator_list", ()))
                if decorated or _is_named(function, definition.qualname):
                    label = label_of(function, definition)
            self._labels[identity] = label
            self._live["alive", identity] = function
        return self._labels[identity]

    def _mark_class(self, kind: type, facts: Facts) -> str | None:
        module = str(kind.__module__)
        if not self._modules.contains(module):
            if module == "types" and vars(types).get(kind.__qualname__) is not kind:
                return None  # made by `dataclasses.make_dataclass` or `types.new_class`, which do not know for whom
            facts.edges.add(("outside", module))
            return f"{module}.{kind.__qualname__}"
        if "<locals>" in kind.__qualname__:
            return None
        key = ("class", id(kind))
        self._live[key] = kind
        facts.edges.add(key)
        return f"class {module}.{kind.__qualname__}"

    def _describe_code(self, value: Any, name: str, facts: Facts) -> str | None:  # noqa: PLR0911 - one line a kind
        """Describe a value that refers to code; None for any other value."""
        kind = type(value)
        label = self._mark(value, facts)
        if label is not None:
            return label
        if kind is FunctionType:
            inside = self._modules.contains(module_of(value))
            return function_parts(value, self._context, facts) if inside else self._outside_function(value, name, facts)
        if issubclass(kind, type):
            from treadle.fingerprint.classes import class_parts

            return class_parts(value, self._context, facts)
        if kind is functools.partial:
            return self._partial(value, name, facts)
        if is_module(value):
            return self._module_value(value, facts)
        parts_of = _PARTS_OF.get(kind)
        if parts_of is not None:
            return self._call(kind.__name__, parts_of(value), name, facts)
        if is_of_typing(value):
            return self._call(repr(value), typing_parts(value), name, facts)
        return self._builtin(value, kind, name, facts)

    def _partial(self, value: functools.partial[Any], name: str, facts: Facts) -> str:
        """Describe a partial; each of its arguments is a part."""
        function = self._context.values.describe(value.func, name, facts, "")
        called = function.partition(" #")[0].removeprefix("function ").removeprefix("class ")
        if called.startswith(("<", "#", "^")):
            called = type(value.func).__qualname__
        arguments = {**{f"argument {number}": each for number, each in enumerate(value.args, 1)}, **value.keywords}
        tokens = [
            f"{key}={self._context.part(f'partial {called}({key})', key, each, facts)}" for key, each in sorted(arguments.items())
        ]
        return f"<partial {', '.join((function, *tokens))}>"

    def _builtin(self, value: Any, kind: type[Any], name: str, facts: Facts) -> str | None:
        """Describe a function that is not written in Python."""
        if kind in _BUILTIN_FUNCTIONS:
            owner = value.__self__
            if owner is None or is_module(owner):
                return self._compiled(str(value.__module__ or "builtins"), value.__qualname__, facts)
            return self._call(f"builtin {value.__name__}", (owner,), name, facts)
        if kind is types.MethodWrapperType:
            return self._call(f"builtin {value.__name__}", (value.__self__,), name, facts)
        if kind in _DESCRIPTORS:
            return self._call(f"builtin {value.__name__}", (value.__objclass__,), name, facts)
        if kind.__module__ == "numpy" and kind.__name__ in {"ufunc", "_ArrayFunctionDispatcher"}:
            home = str(getattr(value, "__module__", None) or "numpy")
            found = vars(sys.modules[home]).get(value.__name__) if home in sys.modules else None
            if found is not None and found is value:  # and not made by numpy.frompyfunc
                facts.edges.add(("outside", home))
                return f"{home}.{value.__name__}"
        return None

    def _compiled(self, module: str, name: str, facts: Facts) -> str:
        """Refer to a function that is not written in Python: by its module in the project, or by the distribution."""
        facts.edges.add(("module" if self._modules.contains(module) else "outside", module))
        return self._noted(f"{module}.{name}", facts)

    def _noted(self, name: str, facts: Facts) -> str:
        """Return the name of a function outside the project; note that it can lead to any code, as `eval` in a variable can."""
        if leads_anywhere(name):
            facts.unknown.add(f"{name} is used as a value: the node depends on every module of the project.")
            facts.edges.add(("package",))
        return name

    def _outside_function(self, function: FunctionType, name: str, facts: Facts) -> str:
        """Describe a function that code outside the project made, such as the wrapper that a decorator returns."""
        module = module_of(function)
        facts.edges.add(("outside", module))
        if module == "functools" and hasattr(function, "registry"):  # functools.singledispatch, whose cells have a cache
            return self._call("singledispatch", (dict(function.registry),), name, facts)
        cells = [each.cell_contents for each in function.__closure__ or () if _is_set(each)]
        parts: tuple[Any, ...] = (*cells, function.__defaults__, function.__kwdefaults__, vars(function).get("__wrapped__"))
        code, made = function.__code__, ""
        if not code.co_filename.startswith("<frozen ") and not os.path.isfile(code.co_filename):  # noqa: PTH113 - a string
            # By `exec`, from a text that a template or an expression gives, so no version says what it is.
            made = f" #{digest_of(code_text(code))} python {sys.version_info[0]}.{sys.version_info[1]}"
            names = {chain[0] for chain in code_references(code, function.__globals__).chains}
            parts = (*parts, {name: function.__globals__[name] for name in sorted(names & function.__globals__.keys())})
        return self._call(f"{module}.{code.co_name}{made}", parts, name, facts)

    def _module_value(self, module: ModuleType, facts: Facts) -> str:
        name = module.__name__
        if self._modules.contains(name):
            mark_module(name, self._mark_global, facts)
            facts.unknown.add(
                f"The module {name} is used as a value, so any of its names may be meant: the node depends on the whole module"
                f" {name} and on those that it imports."
            )
        else:
            facts.edges.add(("outside", name))
        return f"module {name}"

    def _call(self, what: str, parts: tuple[Any, ...], name: str, facts: Facts) -> str:
        described = (self._context.values.describe(each, name, facts, "") for each in parts)
        return f"<{what} {', '.join(described)}>"


def _reduced(value: Any) -> tuple[Any, ...]:
    """Return what a value of the standard library is made from."""
    return tuple(value.__reduce__())


def _wrapped(value: Any) -> tuple[Any, ...]:
    return (value.__func__,)


_PARTS_OF: dict[type, Callable[[Any], tuple[Any, ...]]] = {
    types.MethodType: lambda value: (value.__self__, value.__func__),
    staticmethod: _wrapped,
    classmethod: _wrapped,
    property: lambda value: (value.fget, value.fset, value.fdel),
    functools.cached_property: lambda value: (value.func,),
    functools.partialmethod: lambda value: (value.func, value.args, value.keywords),
    functools.singledispatchmethod: lambda value: (value.dispatcher, value.func),
    type(functools.lru_cache(lambda: None)): lambda value: (value.__wrapped__, value.cache_parameters()),
    slice: lambda value: (value.start, value.stop, value.step),
    operator.itemgetter: _reduced,
    operator.attrgetter: _reduced,
    operator.methodcaller: _reduced,
}
"""What values that wrap functions consist of."""


_FUNCTION_OF: dict[type, Callable[[Any], Any]] = {
    staticmethod: lambda value: value.__func__,
    classmethod: lambda value: value.__func__,
    property: lambda value: value.fget,
    functools.cached_property: lambda value: value.func,
}
"""The function that an attribute of a class wraps."""


def _is_set(cell: types.CellType) -> bool:
    try:
        cell.cell_contents  # noqa: B018 - raises if it is empty
    except ValueError:
        return False
    return True


def _is_named(function: FunctionType, qualname: str) -> bool:
    """Return whether the qualified name of a function leads to it from the global variables of its module."""
    first, *attributes = qualname.split(".")
    found = function.__globals__.get(first)
    for each in attributes:
        if not isinstance(found, type):
            return False
        found = vars(found).get(each)
    unwrap = _FUNCTION_OF.get(type(found))
    return (found if unwrap is None else unwrap(found)) is function


def _is_found_by_name(function: FunctionType) -> bool:
    """Return whether a function is what its module has under its name, and so is given by the module's version."""
    found: Any = sys.modules.get(function.__module__)
    for each in function.__qualname__.split("."):
        found = vars(found).get(each) if is_module(found) or isinstance(found, type) else None
    return found is function
