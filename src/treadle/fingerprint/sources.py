"""Parsed source files, and the definitions that live functions and classes were made from.

A file may have been edited since it was imported. So each function's code object is compared with what the file compiles to now,
and a definition is returned only if they are the same. State: the files that this process has parsed.
"""

from __future__ import annotations

import ast
import linecache
import os
import threading
import warnings
from contextlib import contextmanager
from functools import cached_property
from types import CodeType
from typing import TYPE_CHECKING, Any

from treadle.fingerprint.facts import digest_of
from treadle.fingerprint.names import Import, References, imports_of, references
from treadle.fingerprint.syntax import Function, children, dump
from treadle.forks import fork_safe
from treadle.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


class Definition(NamedTuple):
    """The definition of a function or a class.

    Attributes:
        node: its syntax tree.
        qualname: its name with those of the classes and functions around it, as in `__qualname__`.
        line: its first line, decorators included.
        code: what it compiles to; None for a class, and for code that the compiler leaves out.
    """

    node: Function | ast.ClassDef
    qualname: str
    line: int
    code: CodeType | None = None


class SourceFile:
    """One parsed file.

    Args:
        path: its path.
        source: its content.

    Raises:
        SyntaxError: the content is not valid Python.
        ValueError: the content contains a null byte.
    """

    def __init__(self, path: str, source: bytes | str) -> None:
        self.path = path
        with _no_warnings():
            self.tree = ast.parse(source, path)
        self._known: dict[int, References] = {}
        self._texts: dict[int, str] = {}

    @cached_property
    def definitions(self) -> dict[str, list[Definition]]:
        """The functions and lambdas by name, and the classes by qualified name, in the order of the file."""
        found: dict[str, list[Definition]] = {}
        codes = _codes(self.tree, self.path)
        functions: dict[tuple[int, str], list[Definition]] = {}
        for node, qualname in _walk(self.tree, ""):
            if isinstance(node, ast.ClassDef):
                found.setdefault(f"class {qualname}", []).append(Definition(node, qualname, _first_line(node)))
            else:
                name = qualname.rpartition(".")[2]
                functions.setdefault((_first_line(node), name), []).append(Definition(node, qualname, _first_line(node)))
        ambiguous = [each for place, same in functions.items() if len(same) > 1 or len(codes.get(place, ())) > 1 for each in same]
        told_apart = self._codes_of(ambiguous) if ambiguous else {}
        for place, same_place in functions.items():
            for each in same_place:
                code = told_apart[id(each)] if id(each) in told_apart else next(iter(codes.get(place, ())), None)
                found.setdefault(place[1], []).append(Definition(each.node, each.qualname, each.line, code))
        return found

    @cached_property
    def imports(self) -> dict[str, Import]:
        """The names that the module binds by import statements, and by nothing else."""
        bound: dict[str, Import | None] = {}
        for node in _walk_module_level(self.tree):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                for each in imports_of(node):
                    bound[each.name] = each if each.name not in bound or bound[each.name] == each else None
            elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
                bound[node.id] = None
            elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                bound[node.name] = None
        return {name: each for name, each in bound.items() if each is not None}

    @cached_property
    def references(self) -> References:
        """What the whole module refers to, with all of its imports."""
        return references(self.tree)

    @cached_property
    def digest(self) -> str:
        """The digest of the whole normalised tree."""
        return digest_of(dump(self.tree))

    def function(self, code: CodeType) -> Definition | None:
        """Return the definition that a code object was compiled from; None if the file has none now."""
        candidates = self.definitions.get(code.co_name, [])
        for each in sorted(candidates, key=lambda each: each.line != code.co_firstlineno):
            if each.code is not None and is_same_code(each.code, code):
                return each
        return None

    def classes(self, qualname: str) -> list[Definition]:
        """Return the definitions of a class: several if it is defined under conditions."""
        return self.definitions.get(f"class {qualname}", [])

    def is_unique(self, definition: Definition) -> bool:
        """Return whether a function's qualified name means only this one, and the module's name leads to it."""
        if "<" in definition.qualname:
            return False
        name = definition.qualname.rpartition(".")[2]
        return sum(each.qualname == definition.qualname for each in self.definitions.get(name, ())) == 1

    def references_of(self, definition: Definition) -> References:
        """Return what a definition refers to."""
        known = self._known.get(id(definition.node))
        if known is None:
            known = self._known[id(definition.node)] = references(definition.node)
        return known

    def text_of(self, definition: Definition) -> str:
        """Return a definition as text, without the default values of a function: long functions are written once a process."""
        known = self._texts.get(id(definition.node))
        if known is None:
            known = self._texts[id(definition.node)] = dump(definition.node, defaults=False)
        return known

    def _codes_of(self, definitions: list[Definition]) -> dict[int, CodeType | None]:
        """Compile the file with another line number for each of these, by which their code objects are told apart."""
        last = max((each.end_lineno or 0 for each in ast.walk(self.tree) if isinstance(each, ast.stmt)), default=0)
        nodes: list[Any] = [each.node for each in definitions]
        before = [{name: getattr(node, name) for name in _POSITION} for node in nodes]
        for number, node in enumerate(nodes, 1):
            node.lineno = node.end_lineno = last + number
            node.col_offset, node.end_col_offset = 0, 1
        try:
            codes = _codes(self.tree, self.path)
        finally:
            for node, position in zip(nodes, before, strict=True):
                for name, value in position.items():
                    setattr(node, name, value)
        found: dict[int, CodeType | None] = {}
        for number, each in enumerate(definitions, 1):
            compiled = codes.get((last + number, each.qualname.rpartition(".")[2]), [])
            found[id(each)] = compiled[0] if len(compiled) == 1 else None
        return found


class Sources:
    """The source files that live code came from; each is read and parsed once."""

    def __init__(self) -> None:
        self._files: dict[str, SourceFile | None] = {}

    def of_code(self, code: CodeType, module_globals: dict[str, Any]) -> SourceFile | None:
        """Return the file of a code object; None if there is no source."""
        return self.at(code.co_filename, module_globals)

    def at(self, path: str, module_globals: dict[str, Any] | None = None) -> SourceFile | None:
        """Return the parsed file at a path.

        Args:
            path: of a file, or the name of a notebook's cell.
            module_globals: the globals of the module, whose loader knows the source of modules in archives.

        Returns:
            The file; None if there is no source, or it cannot be parsed.
        """
        if path not in self._files:
            self._files[path] = _read(path, module_globals)
        return self._files[path]


def is_same_code(one: Any, other: Any) -> bool:
    """Return whether two code objects, or two of their constants, are the same except for line numbers and file names."""
    if type(one) is not type(other):
        return False
    if isinstance(one, CodeType):
        return all(getattr(one, name) == getattr(other, name) for name in _COMPARED) and is_same_code(
            one.co_consts, other.co_consts
        )
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(is_same_code, one, other))
    if isinstance(one, frozenset):
        return one == other and sorted(map(repr, one)) == sorted(map(repr, other))
    return repr(one) == repr(other)  # 0.0 == -0.0, and nan != nan


_POSITION = ("lineno", "end_lineno", "col_offset", "end_col_offset")
_COMPARED = (
    "co_name",
    "co_argcount",
    "co_posonlyargcount",
    "co_kwonlyargcount",
    "co_flags",
    "co_names",
    "co_varnames",
    "co_freevars",
    "co_cellvars",
    "co_code",
)


_parsed: dict[str, tuple[bytes | str, SourceFile]] = {}
"""The files that this process has parsed, with their contents: a service decides about the same code for each of its runs."""
_parse_lock = fork_safe(threading.Lock())


def _read(path: str, module_globals: dict[str, Any] | None) -> SourceFile | None:
    try:
        source: bytes | str
        if os.path.isfile(path):  # noqa: PTH113 - co_filename is a string
            with open(path, "rb") as file:  # noqa: PTH123 - the same
                source = file.read()
        else:
            source = "".join(linecache.getlines(path, module_globals))
            if not source:
                return None
        with _parse_lock:
            known = _parsed.get(path)
            if known is None or known[0] != source:
                known = _parsed[path] = source, SourceFile(path, source)
                _ = known[1].definitions  # computing them changes the tree for a moment
            return known[1]
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return None  # edited into something that is not Python, or deeper than the parser allows: as if there were no source


@contextmanager
def _no_warnings() -> Iterator[None]:
    """Ignore warnings about the source, which were shown when it was imported."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _codes(tree: ast.Module, path: str) -> dict[tuple[int, str], list[CodeType]]:
    """Compile a file, and return the code objects of its functions by first line and name."""
    found: dict[tuple[int, str], list[CodeType]] = {}
    try:
        with _no_warnings():
            pending = [compile(tree, path, "exec", dont_inherit=True)]
    except (SyntaxError, ValueError, RecursionError):
        return found
    while pending:
        for each in pending.pop().co_consts:
            if isinstance(each, CodeType):
                found.setdefault((each.co_firstlineno, each.co_name), []).append(each)
                pending.append(each)
    return found


def _walk(node: ast.AST, around: str) -> Iterator[tuple[Function | ast.ClassDef, str]]:
    """Yield the functions and classes under a node with their qualified names."""
    pending = [(child, around) for child in reversed(children(node))]
    while pending:
        each, prefix = pending.pop()
        inside = prefix
        if isinstance(each, (*_FUNCTIONS, ast.ClassDef)):
            name = "<lambda>" if isinstance(each, ast.Lambda) else each.name
            yield each, f"{prefix}{name}"
            inside = f"{prefix}{name}." if isinstance(each, ast.ClassDef) else f"{prefix}{name}.<locals>."
        pending += [(child, inside) for child in reversed(children(each))]


def _walk_module_level(tree: ast.Module) -> Iterator[ast.AST]:
    """Yield the nodes of a module that are not inside its functions and classes."""
    pending: list[ast.AST] = [tree]
    while pending:
        node = pending.pop()
        yield node
        if not isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
            pending += children(node)


def _first_line(node: Function | ast.ClassDef) -> int:
    decorators = [] if isinstance(node, ast.Lambda) else node.decorator_list
    return min([node.lineno, *(each.lineno for each in decorators)])
