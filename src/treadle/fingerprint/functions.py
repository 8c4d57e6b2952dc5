"""Describe a function of the project: its syntax tree, what its names mean, default values, captured variables.

Without source, or if the file was edited after the import, the code object is compared instead of the tree. State: none.
"""

from __future__ import annotations

import sys
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any

from treadle.fingerprint.facts import Facts, digest_of
from treadle.fingerprint.modules import is_module, variable_of
from treadle.fingerprint.names import Import, References

if TYPE_CHECKING:
    from collections.abc import Iterator

    from treadle.fingerprint.context import Context
    from treadle.fingerprint.sources import Definition

_TYPE_PARAMETERS = {"TypeVar", "ParamSpec", "TypeVarTuple"}
_COMPILER_CELLS = frozenset({"__class__", "__classdict__", "__conditional_annotations__"})


def definition_of(function: FunctionType, context: Context) -> Definition | None:
    """Return the definition of a function; None if the source is missing, is not what was imported, or is outside the project."""
    if not context.modules.contains(module_of(function)):
        return None
    source = context.sources.of_code(function.__code__, function.__globals__)
    return source.function(function.__code__) if source is not None else None


def module_of(function: FunctionType) -> str:
    """Return the module that a function's code belongs to, also if a decorator gave the function another `__module__`."""
    return str(function.__globals__.get("__name__", function.__module__))


def label_of(function: FunctionType, definition: Definition | None) -> str:
    """Return the module and qualified name of a function, as they stand in the source."""
    qualname = definition.qualname if definition is not None else getattr(function.__code__, "co_qualname", function.__qualname__)
    return f"{module_of(function)}.{qualname}"


def function_parts(function: FunctionType, context: Context, facts: Facts) -> str:
    """Note the parts of a function, and what it refers to.

    Args:
        function: a function of the project.
        context: what describing it needs.
        facts: receives the parts.

    Returns:
        A token of all parts.
    """
    definition = definition_of(function, context)
    label = label_of(function, definition)
    module = module_of(function)
    cells = _cells(function)
    source = context.sources.of_code(function.__code__, function.__globals__) if definition is not None else None
    if definition is not None and source is not None:
        text, found = source.text_of(definition), source.references_of(definition)
    else:
        text = f"{code_text(function.__code__)} python {sys.version_info[0]}.{sys.version_info[1]}"
        found = code_references(function.__code__, function.__globals__)
        facts.unknown.add(_why_without_source(function, label, context))
    meanings = context.binding(label, module, function.__globals__).follow_all(found, cells, facts)
    own = digest_of(f"{text}\n{meanings}")
    facts.add(f"function {label}", own, own[:16])
    tokens = [own]
    if definition is not None and "<" not in definition.qualname:
        _refer_to_class(function, definition.qualname, context, facts)
    for name, value in _defaults(function):
        tokens.append(f"{name}={context.part(f'default {label}({name})', name, value, facts)}")
    tokens += [f"{name}={context.part(f'closure {label} {name}', name, cells[name], facts)}" for name in sorted(cells)]
    for name, value in sorted(vars(function).items()):
        if name == "__wrapped__":
            tokens.append(f"wrapped={context.part(f'wrapped by {label}', '', value, facts)}")
        elif not name.startswith("__"):
            tokens.append(f".{name}={context.part(f'attribute {label}.{name}', name, value, facts)}")
    return f"{label} #{digest_of(' '.join(tokens))}"


def _refer_to_class(function: FunctionType, qualname: str, context: Context, facts: Facts) -> None:
    """Refer to the class of a method, because a method that is used by itself (`Model.fit`) calls others of its class."""
    found: Any = function.__globals__.get(qualname.partition(".")[0])
    for name in qualname.split(".")[1:-1]:
        found = vars(found).get(name) if isinstance(found, type) else None
    if "." in qualname and isinstance(found, type):
        context.mark(found, facts)


def code_text(code: CodeType) -> str:
    """Return a text that identifies a code object under one minor version of Python."""
    constants = ", ".join(code_text(each) if isinstance(each, CodeType) else _constant(each) for each in code.co_consts)
    names = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags, code.co_names)
    variables = (code.co_varnames, code.co_freevars, code.co_cellvars)
    return f"code {code.co_name} {names!a} {variables!a} {code.co_code.hex()} [{constants}]"


def code_references(code: CodeType, namespace: dict[str, Any]) -> References:
    """Return the names of a code object that are global variables, as far as they can be told from attributes.

    Args:
        code: the code.
        namespace: its global variables.
    """
    found = References()
    pending = [code]
    names: set[str] = set()
    while pending:
        each = pending.pop()
        names.update(each.co_names)
        found.imports += _imports_of(each)
        pending += [inner for inner in each.co_consts if isinstance(inner, CodeType)]
    found.attributes = names
    for name in names:
        found.chains.update([*_chains_from(name, variable_of(namespace, name), names)] or [(name,)])
    imported: set[tuple[str, ...]] = {(each.name,) for each in found.imports}
    imported |= {tuple(each.module.split(".")) for each in found.imports if each.attribute is None}
    found.read = {chain for path in imported for chain in [path, *[(*path, other) for other in names]]}
    return found


def _chains_from(name: str, value: Any, names: set[str]) -> Iterator[tuple[str, ...]]:
    """Yield the attributes of a module that a code object may mean, and those of the modules among them.

    Args:
        name: the global variable that has the module.
        value: its value; if it is no module, there are none.
        names: the names of the code object, which has global variables and attributes in one list.
    """
    for other in names if is_module(value) else ():
        if other in vars(value):
            yield (name, other)
            inner = variable_of(vars(value), other)
            yield from ((name, other, each) for each in names if is_module(inner) and each in vars(inner))


def _imports_of(code: CodeType) -> Iterator[Import]:
    """Yield the imports of a code object, by the names of the modules or of what is taken from them."""
    import dis  # not needed for functions with a source

    before: list[Any] = [None, None]
    for instruction in dis.get_instructions(code):
        if instruction.opname == "EXTENDED_ARG":
            continue  # a part of the next instruction, in a function with more than 256 names or constants
        if instruction.opname == "IMPORT_NAME":
            level, attributes = before
            module = "." * (level if isinstance(level, int) else 0) + str(instruction.argval)
            if isinstance(attributes, tuple):
                yield from (Import(each, module, each) for each in attributes)
            else:
                yield Import(module.partition(".")[0], module)
        before = [before[1], instruction.argval]


def _constant(value: Any) -> str:
    if isinstance(value, frozenset):
        return f"frozenset({sorted(map(ascii, value))})"
    if isinstance(value, tuple):
        return f"({', '.join(map(_constant, value))})"
    return f"{type(value).__name__} {value!a}"


def _why_without_source(function: FunctionType, label: str, context: Context) -> str:
    if context.sources.of_code(function.__code__, function.__globals__) is None:
        return f"The source of {label} is not available: its compiled code is compared, and the minor version of Python counts."
    return (
        f"The source of {label} on disk is not what was imported (it was edited since, or an import hook changed it): the"
        " compiled code is compared, and the minor version of Python counts."
    )


def _defaults(function: FunctionType) -> list[tuple[str, Any]]:
    code = function.__code__
    positional = function.__defaults__ or ()
    names = code.co_varnames[code.co_argcount - len(positional) : code.co_argcount]
    return [*zip(names, positional, strict=True), *sorted((function.__kwdefaults__ or {}).items())]


def _cells(function: FunctionType) -> dict[str, Any]:
    """Return the captured variables; a missing one is not set yet."""
    found: dict[str, Any] = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        if name not in _COMPILER_CELLS:
            try:
                value = cell.cell_contents
            except ValueError:
                continue
            if type(value).__name__ not in _TYPE_PARAMETERS:  # annotations capture them
                found[name] = value
    return found
