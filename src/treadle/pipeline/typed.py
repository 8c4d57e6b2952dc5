"""Typed parameters: convert parameters to the types that the annotations of a node's function declare.

If an argument is annotated with a dataclass or a pydantic model, and its input is `params:…` or `parameters`, the function
receives a validated instance. pydantic is recognised but not imported. State: none. Neighbours: `conversion.py` converts values;
a plan checks parameters with `build_parameter` before the run, an attempt converts them with `typed_inputs`.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from types import FunctionType
from typing import TYPE_CHECKING, Any

from treadle.errors import ConfigError
from treadle.parameter_names import ALL_PARAMETERS, PARAMETER_PREFIX, is_parameter
from treadle.pipeline.functions import bound_parameters
from treadle.secrets import masked_exception

if TYPE_CHECKING:
    from treadle.pipeline.node import Node


def typed_parameters(node: Node) -> dict[str, Any]:
    """Return the inputs of a node that are typed parameters, with their annotations.

    Args:
        node: the node.

    Returns:
        Annotation by dataset, for parameters whose annotation has a dataclass or a pydantic model in it. An annotation that
        cannot be resolved, such as one imported for type checkers only, says nothing.
    """
    for name in node.inputs:  # a plain loop is faster, and there may be thousands of nodes
        if name.startswith(PARAMETER_PREFIX) or name == ALL_PARAMETERS:
            break
    else:
        return {}
    if _has_no_annotations(node.func):
        return {}
    from treadle.pipeline.conversion import holds_model

    found = {}
    for parameter, dataset in bound_parameters(node.func, node.call_arguments):
        if parameter is None or dataset in found or not is_parameter(dataset):
            continue
        annotation = _resolved(parameter.annotation, node.func)
        if holds_model(annotation):
            found[dataset] = annotation
    return found


def _has_no_annotations(func: Any) -> bool:
    """Return whether a function is a plain one without annotations; `inspect` takes 30 times as long, for each attempt."""
    if type(func) is not FunctionType or func.__dict__:  # of a wrapper, for example
        return False
    return getattr(func, "__annotate__", None) is None and not func.__annotations__  # Python 3.14 evaluates them when asked


def build_parameter(node: Node, dataset: str, annotation: Any, value: Any) -> Any:
    """Convert a parameter to the type of its annotation.

    Args:
        node: the node with this input.
        dataset: the dataset it comes from.
        annotation: the annotation of the function's argument.
        value: plain data, as in configuration; an instance is returned unchanged.

    Returns:
        The converted and validated value.

    Raises:
        ConfigError: the value does not match; the error has the key and the node.
    """
    from treadle.pipeline.conversion import InvalidValueError, convert

    root = dataset.removeprefix(PARAMETER_PREFIX) if dataset.startswith(PARAMETER_PREFIX) else ""
    try:
        return convert(value, annotation)
    except InvalidValueError as exc:
        key = ".".join(filter(None, (root, *map(str, exc.path))))
        what = f"The parameter {key!r}" if key else "The parameters"
        msg = (
            f"{what} cannot be used: {exc.problem}.{exc.hint} Node {node.name!r} takes {dataset!r} as {_shown(annotation)}. "
            "Correct it in the parameters files, or in --params if it was given there."
        )
        cause = exc.__cause__
        raise ConfigError(msg, key=key or None) from (masked_exception(cause) if cause is not None else None)


def typed_inputs(node: Node, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
    """Convert the typed parameters among a node's inputs.

    Args:
        node: the node.
        inputs: values by dataset.

    Returns:
        The same mapping if no parameter is typed; otherwise a new one.

    Raises:
        ConfigError: a parameter does not match its annotation.
    """
    wanted = typed_parameters(node)
    if not wanted:
        return inputs
    built = {name: build_parameter(node, name, annotation, inputs[name]) for name, annotation in wanted.items() if name in inputs}
    return {**inputs, **built}


def _resolved(annotation: Any, func: Any) -> Any:
    if not isinstance(annotation, str):
        return annotation
    from inspect import unwrap

    while isinstance(func, functools.partial):
        func = func.func
    target = unwrap(func)
    if not hasattr(target, "__globals__"):
        target = unwrap(getattr(target, "__init__" if isinstance(target, type) else "__call__", target))
    names = getattr(target, "__globals__", {})
    try:
        return eval(annotation, dict(names))  # noqa: S307 - the function's own annotation, as typing evaluates it
    except Exception:  # noqa: BLE001 - any expression is possible; one that fails is ignored
        return None


def _shown(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) else str(annotation).replace("typing.", "")
