"""Checks of a new node: that it has a function, that the function accepts its inputs, and that its outputs are valid.

Pure functions without state, used by `node.py`; each raises an error with the node, the problem and the remedy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from treadle.errors import PipelineError
from treadle.pipeline.functions import function_name, is_async, why_not_callable_with
from treadle.pipeline.names import base_name, is_parameter, listed

if TYPE_CHECKING:
    from collections.abc import Callable

    from treadle.pipeline.arguments import Arguments


def check_callable(func: object) -> None:
    """Raise if a value is not a function.

    Args:
        func: what was given as one.

    Raises:
        PipelineError: it cannot be called.
    """
    if not callable(func):
        msg = (
            f"A node was given {func!r} as its function, a {type(func).__name__} that cannot be called. The function"
            " comes first: node(function, inputs, outputs)."
        )
        raise PipelineError(msg)


def check_function(node: str, func: Callable[..., Any], arguments: Arguments) -> None:
    """Refuse a function that the node could not call.

    Args:
        node: its name.
        func: what it is to call.
        arguments: what with.

    Raises:
        PipelineError: it is a coroutine function, or does not take these inputs.
    """
    if is_async(func):
        msg = (
            f"Node {node!r} has the coroutine function {function_name(func)!r}, which no runner awaits. Give it a plain"
            " function; one that calls asyncio.run will do."
        )
        raise PipelineError(msg, nodes=(node,))
    wrong = why_not_callable_with(func, len(arguments.positional), [key for key, _ in arguments.keywords])
    if wrong is not None:
        given = [*arguments.positional, *(f"{key}={name}" for key, name in arguments.keywords)]
        msg = (
            f"Node {node!r} passes {len(given)} inputs ({', '.join(given)}), but {wrong}. Make the node's inputs and"
            " the function's parameters agree."
        )
        raise PipelineError(msg, nodes=(node,))


def check_wiring(node: str, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> None:
    """Raise if outputs cannot be made.

    Args:
        node: its name.
        inputs: the datasets that it takes.
        outputs: the datasets that it makes.

    Raises:
        PipelineError: an output is a parameter, is listed twice or is also an input.
    """
    for output in outputs:
        if is_parameter(output):
            msg = f"Node {node!r} has the output {output!r}, but parameters are read only. Give the output another name."
            raise PipelineError(msg, nodes=(node,))
    if not outputs:
        return
    made = {base_name(output) for output in outputs}
    if len(made) < len(outputs):
        msg = f"Node {node!r} has an output twice: {listed(outputs)}. Each output is a dataset of its own."
        raise PipelineError(msg, nodes=(node,))
    both = [name for name in inputs if base_name(name) in made and not is_parameter(name)]
    if both:
        msg = (
            f"Node {node!r} has {listed(both)} both as input and as output, so it would wait for itself. Give what it"
            " makes a name of its own."
        )
        raise PipelineError(msg, nodes=(node,))
