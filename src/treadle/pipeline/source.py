"""Write a node as code for a notebook cell: load its inputs, define its function, call it.

The cell runs without changes, so that a user can work on one node interactively. State: none. Neighbour: `treadle.ipython` puts
the code into the next cell.
"""

from __future__ import annotations

import ast
import inspect
import keyword
import re
import textwrap
import tokenize
from types import FunctionType
from typing import TYPE_CHECKING, Any

from treadle.parameter_names import is_parameter
from treadle.pipeline.functions import bound_parameters

if TYPE_CHECKING:
    from collections.abc import Callable

    from treadle.pipeline.node import Node

_NON_WORD = re.compile(r"\W+")


def notebook_cell(node: Node, *, known: Callable[[str], bool]) -> str:
    """Write the code of a cell for a node.

    Args:
        node: the node.
        known: returns whether the catalog has a dataset; another node produces any other dataset in memory.

    Returns:
        Python code that uses `catalog` and, for a function without available source, `pipelines`.
    """
    variables = _variables(node)
    lines = [f"# Node {node.name}", "", "# Its inputs"]
    for variable, dataset in variables.items():
        where = "" if known(dataset) or is_parameter(dataset) else "  # another node produces it in memory: create it here first"
        lines.append(f"{variable} = catalog.load({dataset!r}){where}")
    code, called = _function(node)
    lines += ["", "# Its function", *code, "", _call(node, called, variables)]
    return "\n".join(lines) + "\n"


def _variables(node: Node) -> dict[str, str]:
    """Choose a variable name for each input: the function's parameter if known, otherwise the name of the dataset."""
    named: dict[str, str] = {}
    for parameter, dataset in bound_parameters(node.func, node.call_arguments):
        if dataset in named.values():
            continue
        single = parameter is not None and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        wanted = parameter.name if parameter is not None and single else _NON_WORD.sub("_", dataset).strip("_")
        if not wanted.isidentifier() or keyword.iskeyword(wanted) or wanted in named:
            wanted = f"input_{len(named) + 1}"
        named[wanted] = dataset
    return named


def _function(node: Node) -> tuple[list[str], str]:
    """Return the lines that define the function, and the name to call it by."""
    func = node.func
    if isinstance(func, FunctionType) and func.__name__.isidentifier() and not func.__closure__:
        try:
            source = textwrap.dedent(inspect.getsource(func))
        except (OSError, TypeError):  # the documented exceptions if there is no source
            source = ""
        except (SyntaxError, IndexError, tokenize.TokenError):  # the file has changed since it was imported
            source = ""
        if source:
            return [*_needs(func, source), *source.rstrip().splitlines()], func.__name__
    search = f"next(node for pipeline in pipelines.values() for node in pipeline if node.name == {node.name!r})"
    return [f"function = {search}.func"], "function"


def _needs(func: FunctionType, source: str) -> list[str]:
    """Return the imports that the function's source needs: imports of its module, and names that its module defines."""
    try:
        used = {each.id for each in ast.walk(ast.parse(source)) if isinstance(each, ast.Name)} - {func.__name__}
        module = inspect.getmodule(func)
        tree = ast.parse(inspect.getsource(module)) if module is not None else ast.Module([], [])
    except (OSError, TypeError, SyntaxError):
        return []
    if func.__module__ == "__main__":
        return []  # defined in the notebook, where all names exist
    lines = []
    for statement in _imports(tree):
        names = [each for each in statement.names if (each.asname or each.name).partition(".")[0] in used]
        if names or (isinstance(statement, ast.ImportFrom) and statement.module == "__future__"):
            lines.append(_absolute(statement, names or statement.names, func))
            used -= {(each.asname or each.name).partition(".")[0] for each in names}
    own = sorted(name for name in used if name in func.__globals__ and not _is_builtin(name, func))
    if own:
        lines.append(f"from {func.__module__} import {', '.join(own)}")
    return [*lines, ""] if lines else []


def _imports(tree: ast.Module) -> list[ast.Import | ast.ImportFrom]:
    """Return the import statements at the top of a module, including those for type checkers, which annotations may need."""
    found: list[ast.Import | ast.ImportFrom] = []
    for statement in tree.body:
        block = statement.body if isinstance(statement, ast.If) else [statement]
        found += [each for each in block if isinstance(each, (ast.Import, ast.ImportFrom))]
    return found


def _absolute(statement: ast.Import | ast.ImportFrom, names: list[ast.alias], func: FunctionType) -> str:
    if isinstance(statement, ast.Import):
        return ast.unparse(ast.Import(names=names))
    module = statement.module or ""
    if statement.level:
        package = func.__globals__.get("__package__") or func.__module__.rpartition(".")[0]
        base = ".".join(package.split(".")[: len(package.split(".")) - statement.level + 1])
        module = f"{base}.{module}" if module else base
    return ast.unparse(ast.ImportFrom(module=module, names=names, level=0))


def _is_builtin(name: str, func: FunctionType) -> bool:
    builtins: Any = func.__globals__.get("__builtins__", {})
    return name in (builtins if isinstance(builtins, dict) else vars(builtins)) and name not in func.__globals__


def _call(node: Node, called: str, variables: dict[str, str]) -> str:
    by_dataset = {dataset: variable for variable, dataset in variables.items()}
    words = [by_dataset[dataset] if key is None else f"{key}={by_dataset[dataset]}" for key, dataset in node.call_arguments]
    outputs = f"  # produces {', '.join(node.outputs)}" if node.outputs else ""
    return f"returned = {called}({', '.join(words)}){outputs}"
