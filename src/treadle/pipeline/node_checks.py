"""Check a new node: it has a function, the function accepts its inputs, and its outputs are valid.

State: none. Neighbour: `node.py` calls it. Each error has the node, the problem and the remedy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from treadle.errors import PipelineError
from treadle.parameter_names import is_parameter
from treadle.pipeline.functions import function_name, is_async, why_not_callable_with
from treadle.pipeline.names import base_name, listed

if TYPE_CHECKING:
    from collections.abc import Callable

    from treadle.pipeline.arguments import Arguments


def check_callable(func: object) -> None:
    """Raise if a value is not a function.

    Args:
        func: the value.

    Raises:
        PipelineError: it cannot be called.
    """
    if not callable(func):
        msg = (
            f"A node was created with {func!r} as its function, a {type(func).__name__} that cannot be called. The function"
            " is the first argument: node(function, inputs, outputs)."
        )
        raise PipelineError(msg)


def check_function(node: str, func: Callable[..., Any], arguments: Arguments) -> None:
    """Raise if the node cannot call its function with its inputs.

    Args:
        node: the name of the node.
        func: the function.
        arguments: the datasets that are passed to it.

    Raises:
        PipelineError: it is a coroutine function, or does not accept these inputs.
    """
    if is_async(func):
        msg = (
            f"Node {node!r} has the coroutine function {function_name(func)!r}, which no runner awaits. Use a plain"
            " function, for example one that calls asyncio.run."
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
    """Raise if an output is invalid.

    Args:
        node: the name of the node.
        inputs: its inputs.
        outputs: its outputs.

    Raises:
        PipelineError: an output is a parameter, is listed twice or is also an input.
    """
    for output in outputs:
        if is_parameter(output):
            msg = f"Node {node!r} has the output {output!r}, but parameters are read-only. Give the output another name."
            raise PipelineError(msg, nodes=(node,))
    if not outputs:
        return
    made = {base_name(output) for output in outputs}
    if len(made) < len(outputs):
        msg = f"Node {node!r} has an output twice: {listed(outputs)}. Each output must be a different dataset."
        raise PipelineError(msg, nodes=(node,))
    both = [name for name in inputs if base_name(name) in made and not is_parameter(name)]
    if both:
        msg = f"Node {node!r} has {listed(both)} both as input and as output, so it would depend on itself. Rename the output."
        raise PipelineError(msg, nodes=(node,))
