"""Inspect the function of a node: its name, whether it accepts the inputs, whether it equals another one.

A function may be any callable: a plain function, a lambda, a closure, a partial, a bound method, a class, an object with
`__call__`, or a builtin. State: none. Neighbour: `node.py`.
"""

from __future__ import annotations

import functools
import sys
from importlib import import_module
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import inspect
    from collections.abc import Callable, Collection, Sequence


_PLAIN = (str, int, float, bool, bytes)
_VARARGS, _COROUTINE, _ASYNC_GENERATOR = 0x04, 0x80, 0x200
"""Flags of code objects, as in the module `inspect`, which is imported only for functions that are not plain."""


def function_name(func: Callable[..., Any]) -> str:
    """Return the name of a function; for a partial, that of the wrapped function; for an object, that of its class."""
    while isinstance(func, functools.partial):
        func = func.func
    name = getattr(func, "__name__", None)
    return name if isinstance(name, str) else type(func).__name__


def is_async(func: Callable[..., Any]) -> bool:
    """Return whether a call of the function only creates a coroutine or an asynchronous generator."""
    while isinstance(func, functools.partial):
        func = func.func
    if type(func) not in (FunctionType, MethodType):
        func = getattr(type(func), "__call__", func)  # noqa: B004 - needs the method itself
    code = getattr(func, "__code__", None)
    return code is not None and bool(code.co_flags & (_COROUTINE | _ASYNC_GENERATOR))


def why_not_callable_with(func: Callable[..., Any], positional: int, keywords: Collection[str]) -> str | None:
    """Return why a function cannot be called with the given arguments.

    A wrapper is checked by its own signature, not by that of the wrapped function, because the wrapper is called.

    Args:
        func: the function; one without a readable signature (some builtins) is accepted.
        positional: the number of positional arguments.
        keywords: the names of the keyword arguments.

    Returns:
        None if the call is valid; otherwise a text such as `clean(table) cannot take them: too many positional arguments`.
    """
    if _accepts_positional(func, positional, keywords):
        return None
    try:
        signature = _signature(_called(func), follow_wrapped=False)
    except (ValueError, TypeError):  # the documented exceptions for a callable without a readable signature
        return None
    try:
        signature.bind(*(None,) * positional, **dict.fromkeys(keywords))
    except TypeError as exc:
        return f"{function_name(func)}{signature} cannot take them: {exc}"
    return None


def bound_parameters(
    func: Callable[..., Any], call_arguments: Sequence[tuple[str | None, str]]
) -> tuple[tuple[inspect.Parameter | None, str], ...]:
    """Match the parameters of a function with the datasets that are passed to them.

    Args:
        func: the function.
        call_arguments: pairs of keyword, None for a positional argument, and dataset, in the order of the call.

    Returns:
        Pairs of parameter and dataset in the same order; the parameter is None if the function has no readable signature.
    """
    try:
        parameters = _signature(_called(func), follow_wrapped=True).parameters
    except (ValueError, TypeError):
        return tuple((None, dataset) for _, dataset in call_arguments)
    by_position = [each for each in parameters.values() if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    rest = next((each for each in parameters.values() if each.kind is each.VAR_POSITIONAL), None)
    other = next((each for each in parameters.values() if each.kind is each.VAR_KEYWORD), None)
    bound: list[tuple[inspect.Parameter | None, str]] = []
    for position, (keyword, dataset) in enumerate(call_arguments):
        if keyword is not None:
            named = parameters.get(keyword)
            bound.append((other if named is None or named in (rest, other) else named, dataset))
        else:
            bound.append((by_position[position] if position < len(by_position) else rest, dataset))
    return tuple(bound)


def _signature(func: Callable[..., Any], *, follow_wrapped: bool) -> inspect.Signature:
    """Return the signature; from Python 3.14 on, annotations that cannot be evaluated stay references."""
    import inspect

    lazy = tuple(sys.version_info) >= (3, 14)
    more: dict[str, Any] = {"annotation_format": import_module("annotationlib").Format.FORWARDREF} if lazy else {}
    return inspect.signature(func, follow_wrapped=follow_wrapped, **more)


def _called(func: Callable[..., Any]) -> Callable[..., Any]:
    """Return the bound `__call__` of an object, because `inspect` would call the `==` of the user's class."""
    called = getattr(type(func), "__call__", None)  # noqa: B004 - needs the method itself
    return MethodType(called, func) if isinstance(called, FunctionType) and not hasattr(func, "__signature__") else func


def _accepts_positional(func: Callable[..., Any], positional: int, keywords: Collection[str]) -> bool:
    """Return True for a plain function that accepts the positional arguments; `inspect` takes 30 times as long."""
    if type(func) is not FunctionType or keywords or "__signature__" in func.__dict__:
        return False
    code = func.__code__
    if code.co_kwonlyargcount:
        return False
    most = code.co_argcount
    least = most - len(func.__defaults__ or ())
    return least <= positional and (positional <= most or bool(code.co_flags & _VARARGS))


def same_function(one: Any, other: Any) -> bool:
    """Return whether two callables are the same function, or were created by the same code with the same values.

    A pipeline that is created twice has new lambdas, closures and partials. They are the same if their code, defaults and
    captured values are the same. `==` of other objects is not called, because it may run any code.
    """
    return _same(one, other, frozenset())


def _same(one: Any, other: Any, asked: frozenset[tuple[int, int]]) -> bool:
    """Compare two values; `asked` has the pairs that are being compared, because a closure may contain itself."""
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
            and _same_all(_captured(one), _captured(other), asked)
        )
    return False


def _same_all(ones: tuple[Any, ...], others: tuple[Any, ...], asked: frozenset[tuple[int, int]]) -> bool:
    return len(ones) == len(others) and all(_same(one, other, asked) for one, other in zip(ones, others, strict=True))


def _same_keywords(ones: dict[str, Any], others: dict[str, Any], asked: frozenset[tuple[int, int]]) -> bool:
    return ones.keys() == others.keys() and all(_same(ones[key], others[key], asked) for key in ones)


def _captured(func: FunctionType) -> tuple[Any, ...]:
    """Return the captured values of a closure; for an empty cell, the cell itself."""
    return tuple(_contents(cell) for cell in func.__closure__ or ())


def _contents(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # the documented exception for an empty cell
        return cell
