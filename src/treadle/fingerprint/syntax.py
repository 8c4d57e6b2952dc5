"""Write a syntax tree as a text that changes only if the meaning of the code can change.

Comments, formatting and line numbers are not in a tree anyway. Docstrings, annotations of functions and variables, `pass` and
other statements without effect are left out. The text is the same under every version of Python, which `ast.dump` and
`ast.unparse` do not promise: a field that only some versions have is written only where it is used, and strings are ASCII.

Annotations count where code reads them: in the body of a class (dataclasses, pydantic), and in a function with a decorator,
unless the decorator is one of the standard library's that do not. Names of local variables count, because code can read them,
for example `DataFrame.query("x > @limit")`. State: none.
"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

Function: TypeAlias = "ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda"

_ASSERTION = re.compile(r"\bAssert\(|id='\'__debug__'")
"""Code that `python -O` leaves out."""
_IGNORED = frozenset({"ctx", "kind", "type_comment", "type_ignores", "type_params"})
_UNREADING_DECORATORS = frozenset(
    {
        "abstractmethod",
        "asynccontextmanager",
        "cache",
        "cached_property",
        "classmethod",
        "contextmanager",
        "deleter",
        "final",
        "getter",
        "lru_cache",
        "overload",
        "override",
        "property",
        "setter",
        "staticmethod",
        "wraps",
    }
)
"""Decorators that do not read the annotations of the function; a project's own one may."""


class _Place:
    """The surroundings of a part of the tree that decide whether its annotations count."""

    __slots__ = ("annotated", "in_class")

    def __init__(self, *, in_class: bool, annotated: bool) -> None:
        self.in_class = in_class
        self.annotated = annotated


_ELSEWHERE = _Place(in_class=False, annotated=False)
_IN_CLASS = _Place(in_class=True, annotated=False)
_ANNOTATED = _Place(in_class=False, annotated=True)


def dump(tree: ast.AST, *, defaults: bool = True) -> str:
    """Write a tree as text.

    Args:
        tree: a module, a class, a function or any part of one.
        defaults: whether the default values of the function's own parameters are written.

    Returns:
        The text, to be hashed.
    """
    left_out: set[int] = set()
    if not defaults and isinstance(tree, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
        left_out.update(id(each) for each in (*tree.args.defaults, *tree.args.kw_defaults) if each is not None)
    text: list[str] = []
    # A stack instead of recursion, because a tree may be deeper than Python's stack.
    pending: list[tuple[Any, _Place]] = [(tree, _ELSEWHERE)]
    while pending:
        item, place = pending.pop()
        if isinstance(item, str):
            text.append(item)
        elif isinstance(item, ast.Constant):
            text.append(constant(item.value))
        elif isinstance(item, ast.Name):
            text.append(f"Name(id='{item.id!a})")
        elif isinstance(item, ast.AST) and not item._fields:
            text.append(f"{type(item).__name__}()")
        elif isinstance(item, ast.AST):
            text.append(type(item).__name__ + "(" if not isinstance(item, ast.AnnAssign) or place.in_class else "Assign(")
            pending.append((")", place))
            pending.extend(reversed(list(_fields(item, place, left_out))))
        else:
            text.append(f"'{item!a}")
    written = "".join(text)
    return written if __debug__ or not _ASSERTION.search(written) else f"{written} python -O"


def children(node: ast.AST) -> list[ast.AST]:
    """Return the nodes directly under a node, in order, without those that say whether a name is read or written."""
    found: list[ast.AST] = []
    for name in node._fields:
        value = getattr(node, name, None)
        if isinstance(value, list):
            found += [each for each in value if isinstance(each, ast.AST)]
        elif isinstance(value, ast.AST) and name != "ctx":
            found.append(value)
    return found


def constant(value: Any) -> str:
    """Write a constant of the source: its type and its value, in ASCII."""
    if isinstance(value, str | bytes):
        return ascii(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return hex(value)  # the decimal form of an enormous number is refused
    return f"{type(value).__name__}:{value!r}"


def without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    """Return statements without those that have no effect: docstrings and other constants, `pass`."""
    return [
        each
        for each in body
        if not isinstance(each, ast.Pass) and not (isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant))
    ]


def is_annotated(function: ast.AST) -> bool:
    """Return whether the annotations of a function count, because a decorator may read them."""
    return any(_decorator_name(each) not in _UNREADING_DECORATORS for each in getattr(function, "decorator_list", ()))


def _decorator_name(node: ast.expr) -> str:
    if isinstance(node, ast.Call):
        node = node.func
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _fields(node: ast.AST, place: _Place, left_out: set[int]) -> Iterator[tuple[Any, _Place]]:
    """Yield what is written of a node, in order: texts, nodes and plain values."""
    inside = place
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
        inside = _ANNOTATED if is_annotated(node) else _ELSEWHERE
    elif isinstance(node, ast.ClassDef):
        inside = _IN_CLASS
    for name in node._fields:
        value = getattr(node, name, None)
        if name in _IGNORED or value is None or _is_uncounted_annotation(node, name, place, inside):
            continue
        if name == "is_lazy" and not value:  # since Python 3.15, of each import
            continue
        if isinstance(node, ast.AnnAssign) and not place.in_class:  # written as an assignment
            if name == "simple":
                continue
            if name == "target":
                name, value = "targets", [value]  # noqa: PLW2901 - as of `ast.Assign`
        if isinstance(value, list):
            # Annotations count in the arguments of a function, not in its body.
            yield from _list(node, name, value, _ELSEWHERE if name == "body" and inside is _ANNOTATED else inside, left_out)
        else:
            yield f"{name}=", inside
            yield value if isinstance(value, ast.AST) else f"'{value!a}", inside


def _list(node: ast.AST, name: str, value: list[Any], inside: _Place, left_out: set[int]) -> Iterator[tuple[Any, _Place]]:
    if isinstance(node, ast.JoinedStr):
        value = _joined(value)
    elif name in {"body", "orelse", "finalbody"}:
        value = without_docstring(value)
    value = [each for each in value if id(each) not in left_out]
    if value:
        yield f"{name}=[", inside
        for each in value:
            yield "None" if each is None else each, inside
            yield ",", inside
        yield "]", inside


def _is_uncounted_annotation(node: ast.AST, name: str, place: _Place, inside: _Place) -> bool:
    if isinstance(node, ast.arg) and name == "annotation":
        return not place.annotated
    if isinstance(node, ast.AnnAssign) and name == "annotation":
        return not place.in_class
    return name == "returns" and not inside.annotated


def _joined(values: list[ast.expr]) -> list[ast.expr]:
    """Join the constant parts of an f-string, which versions of Python split in different ways."""
    joined: list[ast.expr] = []
    for each in values:
        if isinstance(each, ast.Constant) and isinstance(each.value, str):
            if not each.value:
                continue
            last = joined[-1] if joined else None
            if isinstance(last, ast.Constant):
                joined[-1] = ast.Constant(str(last.value) + each.value)
                continue
        joined.append(each)
    return joined
