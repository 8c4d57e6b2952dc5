"""What Treadle knows about a node's function: its name, whether it can take the inputs, whether two are the same.

Pure functions without state, used by `node.py`. A function may be anything that can be called: a plain function, a
lambda, a closure, a partial, a bound method, a class, an object with `__call__`, or a builtin.
"""

from __future__ import annotations

import functools
import inspect
import sys
from importlib import import_module
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence


_PLAIN = (str, int, float, bool, bytes)


def function_name(func: Callable[..., Any]) -> str:
    """Return the function's own name; a partial has that of the function inside, an object that of its class."""
    while isinstance(func, functools.partial):
        func = func.func
    name = getattr(func, "__name__", None)
    return name if isinstance(name, str) else type(func).__name__


def is_async(func: Callable[..., Any]) -> bool:
    """Return whether calling the function makes a coroutine or an asynchronous generator instead of running it."""
    while isinstance(func, functools.partial):
        func = func.func
    if type(func) not in (FunctionType, MethodType):
        func = getattr(type(func), "__call__", func)  # noqa: B004 - the method itself is wanted, not whether there is one
    code = getattr(func, "__code__", None)
    return code is not None and bool(code.co_flags & (inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR))


def why_not_callable_with(func: Callable[..., Any], positional: int, keywords: Collection[str]) -> str | None:
    """Say why a function cannot be called with so many positional arguments and these keywords.

    The wrapper's own signature counts, not that of the function it wraps, because the wrapper is what is called.

    Args:
        func: the function; where its signature cannot be known (some builtins), nothing is wrong with it.
        positional: how many positional arguments it gets.
        keywords: the names of its keyword arguments.

    Returns:
        None where the call fits, else a text such as `clean(table) cannot take them: too many positional arguments`.
    """
    if _plainly_fits(func, positional, keywords):
        return None
    try:
        signature = _signature(_called(func), follow_wrapped=False)
    except (ValueError, TypeError):  # the documented way of saying that a callable tells no signature
        return None
    try:
        signature.bind(*(None,) * positional, **dict.fromkeys(keywords))
    except TypeError as exc:
        return f"{function_name(func)}{signature} cannot take them: {exc}"
    return None


def bound_parameters(
    func: Callable[..., Any], call_arguments: Sequence[tuple[str | None, str]]
) -> tuple[tuple[inspect.Parameter | None, str], ...]:
    """Say which parameter of a function takes which dataset.

    Args:
        func: the function.
        call_arguments: pairs of keyword, None for a positional argument, and dataset, in the order of the call.

    Returns:
        Pairs of parameter and dataset in the same order; the parameter is None where the signature cannot be known.
    """
    try:
        parameters = _signature(_called(func), follow_wrapped=True).parameters
    except (ValueError, TypeError):
        return tuple((None, dataset) for _, dataset in call_arguments)
    by_place = [each for each in parameters.values() if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    rest = next((each for each in parameters.values() if each.kind is each.VAR_POSITIONAL), None)
    other = next((each for each in parameters.values() if each.kind is each.VAR_KEYWORD), None)
    bound: list[tuple[inspect.Parameter | None, str]] = []
    for place, (keyword, dataset) in enumerate(call_arguments):
        if keyword is not None:
            named = parameters.get(keyword)
            bound.append((other if named is None or named in (rest, other) else named, dataset))
        else:
            bound.append((by_place[place] if place < len(by_place) else rest, dataset))
    return tuple(bound)


def _signature(func: Callable[..., Any], *, follow_wrapped: bool) -> inspect.Signature:
    """Return the signature; from Python 3.14 on, an annotation with a name for type checkers only stays a reference."""
    lazy = tuple(sys.version_info) >= (3, 14)
    more: dict[str, Any] = {"annotation_format": import_module("annotationlib").Format.FORWARDREF} if lazy else {}
    return inspect.signature(func, follow_wrapped=follow_wrapped, **more)


def _called(func: Callable[..., Any]) -> Callable[..., Any]:
    """Return the bound `__call__` of an object of the user's own class: `inspect` would compare the object by its `==`."""
    called = getattr(type(func), "__call__", None)  # noqa: B004 - the method itself is wanted, not whether there is one
    return MethodType(called, func) if isinstance(called, FunctionType) and not hasattr(func, "__signature__") else func


def _plainly_fits(func: Callable[..., Any], positional: int, keywords: Collection[str]) -> bool:
    """Say yes at once for a plain function that gets positional arguments; `inspect` takes 30 times as long."""
    if type(func) is not FunctionType or keywords or "__signature__" in func.__dict__:
        return False
    code = func.__code__
    if code.co_kwonlyargcount:
        return False
    most = code.co_argcount
    least = most - len(func.__defaults__ or ())
    return least <= positional and (positional <= most or bool(code.co_flags & inspect.CO_VARARGS))


def same_function(one: Any, other: Any) -> bool:
    """Return whether two callables are the same function, made once or made again by the same code.

    A pipeline that is created twice holds new lambdas, closures and partials; they are the same where their code and
    all they carry are the same. `==` of foreign objects is never asked, because it may do anything.
    """
    return _same(one, other, frozenset())


def _same(one: Any, other: Any, asked: frozenset[tuple[int, int]]) -> bool:
    """Compare two values; `asked` holds the pairs whose comparison led here, as a closure may carry itself."""
    if one is other or (id(one), id(other)) in asked:
        return True
    if type(one) is not type(other) or type(one) in _PLAIN:
        return type(one) is type(other) and bool(one == other)
    asked |= {(id(one), id(other))}
    if isinstance(one, MethodType):
        return one.__self__ is other.__self__ and one.__func__ is other.__func__
    if isinstance(one, functools.partial):
        return (
            _same(one.func, other.func, asked)
            and _same_all(one.args, other.args, asked)
            and _same_keywords(one.keywords, other.keywords, asked)
        )
    if isinstance(one, FunctionType):
        return (
            one.__code__ is other.__code__
            and one.__globals__ is other.__globals__
            and _same_all(one.__defaults__ or (), other.__defaults__ or (), asked)
            and _same_keywords(one.__kwdefaults__ or {}, other.__kwdefaults__ or {}, asked)
            and _same_all(_carried(one), _carried(other), asked)
        )
    return False


def _same_all(ones: tuple[Any, ...], others: tuple[Any, ...], asked: frozenset[tuple[int, int]]) -> bool:
    return len(ones) == len(others) and all(_same(one, other, asked) for one, other in zip(ones, others, strict=True))


def _same_keywords(ones: dict[str, Any], others: dict[str, Any], asked: frozenset[tuple[int, int]]) -> bool:
    return ones.keys() == others.keys() and all(_same(ones[key], others[key], asked) for key in ones)


def _carried(func: FunctionType) -> tuple[Any, ...]:
    """Return the values a closure carries; a cell that is still empty stands for itself."""
    return tuple(_contents(cell) for cell in func.__closure__ or ())


def _contents(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # the documented answer of an empty cell
        return cell
