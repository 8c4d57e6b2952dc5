"""Find the names that a piece of code refers to outside itself.

The result is a set of chains: `("helpers", "clean")` for `helpers.clean(table)`, where `helpers` is neither a parameter nor a
local variable. Scopes follow Python's rules; where these are hard to follow statically (names of a class's body), too many names
are found rather than too few. State: none.
"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING, TypeAlias

from treadle.fingerprint.syntax import children, is_annotated
from treadle.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Chain: TypeAlias = "tuple[str, ...]"

_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_SCOPES = (*_FUNCTIONS, ast.ClassDef, *_COMPREHENSIONS)
_QUOTED = re.compile(r"@([^\W\d]\w*(?:\.[^\W\d]\w*)*)")


class Import(NamedTuple):
    """A name that an import statement binds.

    Attributes:
        name: the bound name; `*` for all names of the module.
        module: the module, as written: `..tools` with its leading dots.
        attribute: the name in the module; None if the name is the module itself.
        is_whole_path: whether the name is the module at the end of the path (`import a.b as c`), and not at its beginning.
    """

    name: str
    module: str
    attribute: str | None = None
    is_whole_path: bool = False


class References:
    """What a piece of code refers to.

    Attributes:
        chains: names that are not its own, each with the attributes that are read from it.
        imports: its own imports, at any depth.
        annotations: names in annotations, also in those that are texts.
        texts: for each called chain, its first arguments: a constant text, or None for anything else.
        attributes: every attribute that is read from anything.
        quoted: names after an `@` in texts, as in `table.query("price > @LIMIT")`.
        read: all chains, those that begin with its own names included.
    """

    __slots__ = ("annotations", "attributes", "chains", "imports", "quoted", "read", "texts")

    def __init__(self) -> None:
        self.chains: set[Chain] = set()
        self.imports: list[Import] = []
        self.annotations: set[Chain] = set()
        self.texts: dict[Chain, set[str | None]] = {}
        self.attributes: set[str] = set()
        self.quoted: set[Chain] = set()
        self.read: set[Chain] = set()


class _Scope:
    """One scope: names that it binds and reads, names that it declares global, and the scopes directly inside it."""

    __slots__ = ("bound", "declared_global", "declared_nonlocal", "inner", "is_class", "read")

    def __init__(self, *, is_class: bool = False) -> None:
        self.is_class = is_class
        self.bound: set[str] = set()
        self.read: set[Chain] = set()
        self.declared_global: set[str] = set()
        self.declared_nonlocal: set[str] = set()
        self.inner: list[ast.AST] = []


def references(code: ast.AST) -> References:
    """Find what a function, a class or a module refers to.

    Args:
        code: the tree; decorators and default values of the outermost function are included.

    Returns:
        The names.
    """
    found = References()
    outside = _Scope()
    _visit([code], outside, found)
    if isinstance(code, _SCOPES):
        outside.bound.clear()  # its own name is a name of its module
    free, declared = _close(outside, found)
    found.chains = free | declared
    return found


def imports_of(statement: ast.Import | ast.ImportFrom) -> Iterator[Import]:
    """Yield the names that an import statement binds."""
    if isinstance(statement, ast.Import):
        for alias in statement.names:
            name = alias.asname or alias.name.partition(".")[0]
            yield Import(name, alias.name, None, is_whole_path=alias.asname is not None)
    else:
        module = "." * statement.level + (statement.module or "")
        for alias in statement.names:
            yield Import(alias.asname or alias.name, module, alias.name)


def _close(scope: _Scope, found: References) -> tuple[set[Chain], set[Chain]]:
    """Return the chains that a scope and those inside it read from outside, and those that are declared global."""
    bound = scope.bound - scope.declared_global - scope.declared_nonlocal
    free = {chain for chain in scope.read if chain[0] not in scope.declared_global}
    declared = {chain for chain in scope.read if chain[0] in scope.declared_global}
    for inner in scope.inner:
        inside = _Scope()
        _enter(inner, inside, found)
        inner_free, inner_declared = _close(inside, found)
        declared |= inner_declared
        free |= inner_free
    return {chain for chain in free if chain[0] not in bound}, declared


def _enter(node: ast.AST, scope: _Scope, found: References) -> None:
    """Visit what belongs to the scope that a node opens."""
    if isinstance(node, _FUNCTIONS):
        arguments = node.args
        scope.bound.update(each.arg for each in _parameters(arguments))
        _visit(node.body if isinstance(node.body, list) else [node.body], scope, found)
    elif isinstance(node, ast.ClassDef):
        scope.is_class = True
        _visit(node.body, scope, found)
        # Functions in a class do not see the names of its body, and the body may read a global variable before it binds the name.
        scope.bound.clear()
    elif isinstance(node, _COMPREHENSIONS):
        elements: list[ast.AST] = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        for generator in node.generators:
            elements += [generator.target, *generator.ifs]
        elements += [each.iter for each in node.generators[1:]]
        _visit(elements, scope, found)


def _parameters(arguments: ast.arguments) -> list[ast.arg]:
    rest = [each for each in (arguments.vararg, arguments.kwarg) if each is not None]
    return [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, *rest]


def _visit(nodes: Sequence[ast.AST], scope: _Scope, found: References) -> None:
    """Note the names that nodes bind and read in a scope, without entering the scopes inside it."""
    pending: list[ast.AST] = [*nodes]
    while pending:
        node = pending.pop()
        if isinstance(node, _SCOPES):
            scope.inner.append(node)
            pending += _outside_of_scope(node, scope, found)
            continue
        chain = _chain(node)
        if chain is not None:
            scope.read.add(chain)
            found.read.add(chain)
            found.attributes.update(chain[1:])
            continue
        if isinstance(node, ast.Call):
            _note_call(node, found)
        elif isinstance(node, ast.Attribute):
            found.attributes.add(node.attr)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and "@" in node.value:
            found.quoted.update(tuple(each.split(".")) for each in _QUOTED.findall(node.value))
        elif isinstance(node, ast.AnnAssign):
            found.annotations.update(_chains_of([node.annotation]))
            counted = node.annotation if scope.is_class else None  # that of a variable in a function is not evaluated
            pending += [each for each in (node.target, node.value, counted) if each is not None]
            continue
        elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            scope.read.add((node.target.id,))
        _note_bound(node, scope, found)
        pending += children(node)


def _outside_of_scope(node: ast.AST, scope: _Scope, found: References) -> list[ast.AST]:
    """Return what is evaluated outside the scope that a node opens, and note what the node binds there."""
    outside: list[ast.AST] = []
    if isinstance(node, _FUNCTIONS):
        outside += [*node.args.defaults, *(each for each in node.args.kw_defaults if each is not None)]
        annotations: list[ast.AST] = [each.annotation for each in _parameters(node.args) if each.annotation is not None]
        if not isinstance(node, ast.Lambda):
            scope.bound.add(node.name)
            outside += node.decorator_list
            if node.returns is not None:
                annotations.append(node.returns)
        if is_annotated(node):
            outside += annotations
        found.annotations.update(_chains_of(annotations))
    elif isinstance(node, ast.ClassDef):
        scope.bound.add(node.name)
        outside += [*node.bases, *node.keywords, *node.decorator_list]
    elif isinstance(node, _COMPREHENSIONS):
        outside.append(node.generators[0].iter)
        # An assignment expression in a comprehension binds in the scope around it.
        scope.bound.update(
            each.target.id for each in ast.walk(node) if isinstance(each, ast.NamedExpr) and isinstance(each.target, ast.Name)
        )
    return outside


def _note_bound(node: ast.AST, scope: _Scope, found: References) -> None:
    if isinstance(node, ast.Name):  # stored or deleted: a name that is read is a chain
        scope.bound.add(node.id)
    elif (isinstance(node, ast.ExceptHandler) and node.name is not None) or (
        isinstance(node, (ast.MatchAs, ast.MatchStar)) and node.name is not None
    ):
        scope.bound.add(node.name)
    elif isinstance(node, ast.MatchMapping) and node.rest is not None:
        scope.bound.add(node.rest)
    elif isinstance(node, ast.Global):
        scope.declared_global.update(node.names)
    elif isinstance(node, ast.Nonlocal):
        scope.declared_nonlocal.update(node.names)
    elif isinstance(node, (ast.Import, ast.ImportFrom)):
        for each in imports_of(node):
            found.imports.append(each)
            scope.bound.add(each.name)


def _note_call(node: ast.Call, found: References) -> None:
    chain = _chain(node.func)
    if chain is not None:
        first = node.args[0] if node.args else None
        text = first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else None
        found.texts.setdefault(chain, set()).add(text)


def _chain(node: ast.AST | None) -> Chain | None:
    """Return the name and the attributes of an expression such as `a.b.c` or `getattr(a, "b")`; None for any other node."""
    attributes: list[str] = []
    while True:
        if isinstance(node, ast.Attribute):
            attributes.append(node.attr)
            node = node.value
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id == "getattr"
            and len(node.args) == 2
            and isinstance(node.args[1], ast.Constant)
            and isinstance(node.args[1].value, str)
        ):
            attributes.append(node.args[1].value)
            node = node.args[0]
        else:
            break
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
        return (node.id, *reversed(attributes))
    return None


def _chains_of(nodes: list[ast.AST]) -> Iterator[Chain]:
    for node in nodes:
        for each in ast.walk(node):
            if isinstance(each, ast.Constant) and isinstance(each.value, str):  # a class that is defined or imported later
                yield from _chains_in(each.value)
            chain = _chain(each)
            if chain is not None:
                yield chain


def _chains_in(text: str) -> Iterator[Chain]:
    """Yield the names in an annotation that is written as text."""
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    for each in ast.walk(tree):
        chain = _chain(each)
        if chain is not None:
            yield chain
