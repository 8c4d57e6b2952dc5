"""The syntax of names: datasets, transcoding, and labels on the command line.

State: none. `node.py`, `wiring.py`, `selection.py` and `namespace.py` use these functions instead of parsing names themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from treadle.errors import PipelineError
from treadle.parameter_names import PARAMETER_PREFIX, is_parameter

if TYPE_CHECKING:
    from collections.abc import Collection

TRANSCODING = "@"
SHOWN = 10
_NAMED_INPUTS = 3


def base_name(name: str) -> str:
    """Return the name of a dataset without its format: `table` for `table@pandas`.

    Args:
        name: a dataset's name, transcoded or not.

    Returns:
        The part before the `@`.
    """
    return name.partition(TRANSCODING)[0]


def check_dataset_name(name: Any, owner: str) -> str:
    """Check the name of a dataset, and return it.

    Args:
        name: the name to check.
        owner: the object that uses it, for the message, such as `Node 'clean'`.

    Returns:
        The name itself.

    Raises:
        PipelineError: it is not a string, is empty, or has a malformed transcoding.
    """
    if not isinstance(name, str):
        msg = f"{owner} has {name!r} of type {type(name).__name__} as the name of a dataset. Dataset names are strings."
        raise PipelineError(msg)
    if not name or name == PARAMETER_PREFIX:
        msg = f"{owner} has {name!r} as the name of a dataset, which is empty. Write the dataset's name, or None for no dataset."
        raise PipelineError(msg)
    if TRANSCODING in name and not is_parameter(name):
        base, _, kind = name.partition(TRANSCODING)
        if not base or not kind or TRANSCODING in kind:
            msg = (
                f"{owner} uses the dataset {name!r}. A transcoded name consists of a name, one '@' and a format: 'table@pandas'."
            )
            raise PipelineError(msg)
    return name


def check_label(text: Any, kind: str, owner: str) -> str:
    """Check that a text can be used on the command line as a node's name or a tag, and return it.

    Args:
        text: the text to check.
        kind: `name` or `tag`, for the message.
        owner: the object that has it, for the message.

    Returns:
        The text itself.

    Raises:
        PipelineError: it is not a string, is empty, contains a comma or a line break, or begins or ends with a space.
    """
    if not isinstance(text, str):
        msg = f"{owner} has the {kind} {text!r}, a {type(text).__name__}. Write a string."
        raise PipelineError(msg)
    if not text or text != text.strip() or "," in text or not text.isprintable():
        msg = (
            f"{owner} has the {kind} {text!r}. A {kind} has at least one character, has no comma (the command line separates"
            " names by commas) and no line break, and neither begins nor ends with a space."
        )
        raise PipelineError(msg)
    return text


def check_namespace(text: Any, owner: str) -> str:
    """Check a namespace, which consists of labels joined by dots, and return it.

    Args:
        text: the text to check.
        owner: the object in it, for the message.

    Returns:
        The text itself.

    Raises:
        PipelineError: it is not a label, a part of it is empty, or it contains an `@` or a `:`.
    """
    check_label(text, "namespace", owner)
    namespace = str(text)
    if not all(namespace.split(".")) or TRANSCODING in namespace or ":" in namespace:
        msg = (
            f"{owner} has the namespace {namespace!r}. A namespace is a name, or names joined by single dots, without '@' or ':'."
        )
        raise PipelineError(msg)
    return namespace


def as_names(given: Any, what: str) -> tuple[str, ...]:
    """Convert one name, several names or None to a tuple of unique names, in order.

    Args:
        given: one name, a collection of names, or None.
        what: the name of the argument, for the message.

    Raises:
        PipelineError: it is neither a name nor a collection of names.
    """
    if given is None:
        return ()
    if isinstance(given, str):
        return (given,)
    names: tuple[Any, ...] = tuple(given) if isinstance(given, Iterable) and not isinstance(given, (bytes, Mapping)) else (given,)
    for name in names:
        if not isinstance(name, str):
            value = "" if len(names) == 1 and names[0] is given else f", in {given!r}"
            msg = f"{what} contains {name!r}, of type {type(name).__name__}{value}. Pass a name or a list of names."
            raise PipelineError(msg)
    return tuple(dict.fromkeys(names))


def listed(names: Collection[str]) -> str:
    """Format names for a message: quoted, in order, at most ten of them."""
    shown = ", ".join(repr(name) for name in list(names)[:SHOWN])
    return shown if len(names) <= SHOWN else f"{shown} and {len(names) - SHOWN} more"


def made_name(func: str, inputs: tuple[str, ...], outputs: tuple[str, ...], namespace: str | None) -> str:
    """Create the short name of a node without a name; it is the same in every process. `Node` documents the rule.

    Args:
        func: the function's name.
        inputs: the inputs of the node; the name has the first few if there are no outputs.
        outputs: the outputs of the node; the name has the first one.
        namespace: the namespace of the node, which is removed from the names of datasets.
    """
    prefix = "" if namespace is None else f"{namespace}."
    if outputs:
        parts = [outputs[0].removeprefix(prefix)]
    else:
        parts = [name.removeprefix(prefix) for name in inputs[:_NAMED_INPUTS]]
        if len(inputs) > _NAMED_INPUTS:
            import hashlib

            parts.append(hashlib.sha256("\n".join(inputs).encode()).hexdigest()[:8])
    return "__".join([func.strip("<>"), *parts]).replace(",", "_")
