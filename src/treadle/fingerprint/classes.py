"""Describe a class of the project: its definition, its methods, its attributes, its base classes.

Methods are functions with facts of their own, so that a change of one is reported as that. Values of attributes are read from the
live class. What remains of the definition (fields, their annotations, decorators, base classes) is its syntax tree. State: none.
"""

from __future__ import annotations

import ast
import enum
import functools
import sys
import types
from types import FunctionType
from typing import TYPE_CHECKING, Any

from treadle.fingerprint.facts import Facts, digest_of
from treadle.fingerprint.functions import definition_of, module_of
from treadle.fingerprint.instances import own_attributes
from treadle.fingerprint.names import references
from treadle.fingerprint.syntax import dump

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from treadle.fingerprint.context import Context
    from treadle.fingerprint.sources import Definition

_IGNORED = frozenset({"_abc_impl"})
_ANNOTATIONS = frozenset({"__annotate__", "__annotate_func__", "__annotations_cache__"})
"""Where Python 3.14 and later keep how the annotations of a class are computed, and what they were."""
_FIELDS = frozenset({"__annotations__", "__attrs_attrs__", "__dataclass_fields__", "__pydantic_fields__"})
"""Where libraries keep the fields of a class; they count if a function made the class, and no definition shows them."""
_FIELDS_MADE = _FIELDS - {"__annotations__"}
_OF_CLASS = frozenset({"__annotations__", "__doc__", "__module__", "__qualname__", "__slots__"})
"""What the body of a class can assign, and its definition shows."""
_OF_MEMBERS = frozenset({"_value_", "_name_", "_sort_order_", "__objclass__", "_inverted_"})
"""Attributes that every member of an enumeration has."""
_SLOTS = (types.MemberDescriptorType, types.GetSetDescriptorType)
_MOST_WRAPPERS = 20
_METHODS = (ast.FunctionDef, ast.AsyncFunctionDef)


def class_parts(kind: type, context: Context, facts: Facts) -> str:
    """Note the parts of a class, and what it refers to.

    Args:
        kind: a class of the project.
        context: what describing it needs.
        facts: receives the parts.

    Returns:
        A token of all parts.
    """
    label = f"{kind.__module__}.{kind.__qualname__}"
    source = context.modules.source(kind.__module__)
    definitions = source.classes(kind.__qualname__) if source is not None else []
    covered: set[int] = set()
    texts = [f"{name}={token}" for name, token in _members(kind, label, definitions, context, covered, facts)]
    texts += _bases(kind, bool(definitions), context, facts)
    if isinstance(kind.__doc__, str) and _makers(kind, context):
        texts.append(f"doc={digest_of(kind.__doc__)}")  # as a prompt, or the description of a schema
    module = sys.modules.get(kind.__module__)
    namespace: Mapping[str, Any] = vars(module) if module is not None else {}
    for each in definitions:
        node = each.node
        if isinstance(node, ast.ClassDef):
            rest = ast.ClassDef(
                name=node.name,
                bases=node.bases,
                keywords=node.keywords,
                body=[statement for statement in node.body if id(statement) not in covered],
                decorator_list=node.decorator_list,
            )
            cells = _cells_of(kind)
            texts += [dump(rest), context.binding(label, kind.__module__, namespace).follow_all(references(rest), cells, facts)]
    if definitions and source is not None and context.is_edited(source.path):
        texts.append("edited")
        facts.cannot_tell(f"The file of the class {label} was edited after it was imported: the node runs.")
    own = digest_of("\n".join(texts))
    facts.add(f"class {label}", own, own[:16])
    return f"class {label} #{own}"


def _bases(kind: type, is_defined: bool, context: Context, facts: Facts) -> Iterator[str]:  # noqa: FBT001 - private
    """Yield the base classes of the project, and refer to those of libraries.

    Those of the standard library are left out, because they differ between versions of Python; the definition names them.
    """
    direct = () if is_defined else kind.__bases__
    for each in (*kind.__mro__[1:], type(kind)):
        if each in direct or context.modules.contains(str(each.__module__)):
            yield f"base {context.values.describe(each, '', facts, 'class')}"
        else:
            context.mark(each, facts)


def _members(
    kind: type, label: str, definitions: list[Definition], context: Context, covered: set[int], facts: Facts
) -> Iterator[tuple[str, str]]:
    """Yield the names and tokens of a class's attributes, and collect the definitions of its methods in `covered`."""
    if issubclass(kind, enum.Enum):
        yield from _enum_members(kind, label, context, facts)
    in_body = {each.name for definition in definitions for each in ast.walk(definition.node) if isinstance(each, _METHODS)}
    bound = in_body | _variables(definitions)
    # The annotations are in the definition, or in the fields of the class.
    for name, member in sorted([each for each in vars(kind).items() if each[0] not in _ANNOTATIONS]):
        functions = list(_functions_in(member))
        found = [definition for each in functions if (definition := definition_of(each, context)) is not None]
        covered.update(id(each.node) for each in found)
        yield from _registered(name, member, definitions, context, facts)
        is_method = bool(found) or (bool(functions) and name in in_body)
        if is_method or (name not in bound and any(_wraps_own_code(each, context) for each in functions or [member])):
            yield name, context.values.describe(member, name, facts, f"class {label}")
        elif functions:
            if not ((definitions and not _is_made(kind)) or _is_of_library(functions, context)):
                yield name, context.values.describe(member, name, facts, f"class {label}")
        elif not _is_left_out(name, member, kind, bound if definitions else None, context):
            own = Facts()
            token = context.part(f"attribute {label}.{name}", name, member, own)
            if own.is_complete or not (definitions and _is_set_by_library(name, member, kind, definitions, context)):
                facts.include(own)
                yield name, token


def _enum_members(kind: type[enum.Enum], label: str, context: Context, facts: Facts) -> Iterator[tuple[str, str]]:
    for name, member in kind.__members__.items():
        yield name, context.part(f"attribute {label}.{name}", name, member._value_, facts)
        for more, value in sorted(own_attributes(member).items()):
            if more not in _OF_MEMBERS:
                yield f"{name}.{more}", context.part(f"attribute {label}.{name}.{more}", more, value, facts)


def _is_made(kind: type) -> bool:
    """Return whether a function made a class: it can use variables of the function, which its definition does not show."""
    return "<locals>" in kind.__qualname__


def _wraps_own_code(member: Any, context: Context) -> bool:
    """Return whether an attribute is a function of the project that a decorator of a library has wrapped.

    Other code has added it to the class if the class does not define it. Methods that a library writes are not wrapped.
    """
    for _ in range(_MOST_WRAPPERS):
        if type(member) is FunctionType and definition_of(member, context) is not None:
            return True
        member = own_attributes(member).get("__wrapped__")
    return False


def _registered(
    name: str, member: Any, definitions: list[Definition], context: Context, facts: Facts
) -> Iterator[tuple[str, str]]:
    """Yield the implementations of a method that are registered outside the class, whose definition has the others."""
    if type(member) is not functools.singledispatchmethod:
        return
    in_body = {id(each) for definition in definitions for each in ast.walk(definition.node)}
    for kind, function in member.dispatcher.registry.items():
        definition = definition_of(function, context) if type(function) is FunctionType else None
        if definition is None or id(definition.node) not in in_body:
            yield f"{name} registered", context.values.describe((kind, function), name, facts, f"method {name}")


def _variables(definitions: list[Definition]) -> set[str]:
    """Return the names that are assigned in the definition of a class."""
    return {
        each.id
        for definition in definitions
        for each in ast.walk(definition.node)
        if isinstance(each, ast.Name) and not isinstance(each.ctx, ast.Load)
    }


def _is_set_by_library(name: str, member: Any, kind: type, definitions: list[Definition], context: Context) -> bool:
    """Return whether a base class or metaclass of a library set an attribute, so that it follows from the definition.

    An example is the registry that SQLAlchemy adds to the classes of tables.
    """
    return name not in _variables(definitions) and type(member).__module__.partition(".")[0] in _makers(kind, context)


def _makers(kind: type, context: Context) -> set[str]:
    """Return the libraries that have base classes or the metaclass of a class, without the standard library."""
    makers = {str(each.__module__) for each in (*kind.__mro__, type(kind))}
    return {each.partition(".")[0] for each in makers if not context.modules.contains(each)} - sys.stdlib_module_names


def _is_of_library(functions: list[FunctionType], context: Context) -> bool:
    """Return whether a library made these functions, as `collections.namedtuple` does."""
    return not any(context.modules.contains(module_of(each)) for each in functions)


def _is_left_out(name: str, member: Any, kind: type, bound: set[str] | None, context: Context) -> bool:
    counted = _FIELDS if bound is None else _FIELDS_MADE | (bound - _OF_CLASS) if _is_made(kind) else frozenset()
    if (
        (name.startswith("__") and name not in counted)
        or name in _IGNORED
        or (issubclass(kind, enum.Enum) and (name.startswith("_") or name in kind.__members__))
    ):
        return True
    if type(member).__name__ == "_tuplegetter" or type(member) in _SLOTS:  # a field of a named tuple, a slot
        return True
    # A descriptor of a library (a column, a field, a slot) is made by the definition.
    home = type(member).__module__
    return bound is not None and hasattr(type(member), "__get__") and home != "builtins" and not context.modules.contains(home)


def _functions_in(member: Any) -> Iterator[FunctionType]:
    """Yield the functions in an attribute of a class: a method, or those of a property."""
    kind = type(member)
    if kind is FunctionType:
        yield member
    elif issubclass(kind, (staticmethod, classmethod)):
        yield from _functions_in(member.__func__)
    elif issubclass(kind, property):
        for each in (member.fget, member.fset, member.fdel):
            yield from _functions_in(each)
    elif kind in {functools.cached_property, functools.partialmethod}:
        yield from _functions_in(member.func)


def _cells_of(kind: type) -> dict[str, Any]:
    """Return the variables that the methods of a class capture, which its body may read too."""
    found: dict[str, Any] = {}
    for member in vars(kind).values():
        for each in _functions_in(member):
            for name, cell in zip(each.__code__.co_freevars, each.__closure__ or (), strict=True):
                try:
                    found[name] = cell.cell_contents
                except ValueError:
                    continue
    return found
