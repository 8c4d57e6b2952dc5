"""The grammar of names: datasets, parameters, transcoding, and the labels that users type.

Pure functions without state. `node.py`, `wiring.py`, `selection.py` and `namespace.py` ask here instead of looking
into strings themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from treadle.errors import PipelineError

if TYPE_CHECKING:
    from collections.abc import Collection

PARAMETERS = "parameters"
PARAMETER_PREFIX = "params:"
TRANSCODING = "@"
SHOWN = 10
_NAMED_INPUTS = 3


def base_name(name: str) -> str:
    """Return the name of the data behind a dataset: `table` for `table@pandas`.

    Args:
        name: a dataset's name, transcoded or not.

    Returns:
        The part before the `@`.
    """
    return name.partition(TRANSCODING)[0]


def is_parameter(name: str) -> bool:
    """Return whether a dataset holds parameters: `parameters` as a whole, or one of them as `params:…`.

    Args:
        name: a dataset's name.

    Returns:
        True for `parameters` and for names that begin with `params:`.
    """
    return name == PARAMETERS or name.startswith(PARAMETER_PREFIX)


def check_dataset_name(name: Any, owner: str) -> str:
    """Return the name if it can name a dataset.

    Args:
        name: what the user gave.
        owner: who uses it, for the message, such as `Node 'clean'`.

    Returns:
        The name itself.

    Raises:
        PipelineError: it is not a string, is empty, or has a malformed transcoding.
    """
    if not isinstance(name, str):
        msg = f"{owner} names a dataset by {name!r}, a {type(name).__name__}. Dataset names are strings."
        raise PipelineError(msg)
    if not name or name == PARAMETER_PREFIX:
        msg = f"{owner} names a dataset by {name!r}, which holds no name. Write the dataset's name, or None for no dataset."
        raise PipelineError(msg)
    if TRANSCODING in name and not is_parameter(name):
        base, _, kind = name.partition(TRANSCODING)
        if not base or not kind or TRANSCODING in kind:
            msg = f"{owner} uses the dataset {name!r}. A transcoded name is a name, one '@' and a format, such as 'table@pandas'."
            raise PipelineError(msg)
    return name


def check_label(text: Any, kind: str, owner: str) -> str:
    """Return the text if it can be typed on the command line as a node's name or a tag.

    Args:
        text: what the user gave.
        kind: what it is, for the message: `name` or `tag`.
        owner: who carries it, for the message.

    Returns:
        The text itself.

    Raises:
        PipelineError: it is not a string, is empty, holds a comma or a line break, or begins or ends with a space.
    """
    if not isinstance(text, str):
        msg = f"{owner} has the {kind} {text!r}, a {type(text).__name__}. Write a string."
        raise PipelineError(msg)
    if not text or text != text.strip() or "," in text or not text.isprintable():
        msg = (
            f"{owner} has the {kind} {text!r}. A {kind} has at least one character, holds no comma (the command line separates"
            " names by commas) and no line break, and neither begins nor ends with a space."
        )
        raise PipelineError(msg)
    return text


def check_namespace(text: Any, owner: str) -> str:
    """Return the text if it can be a namespace: labels joined by full stops.

    Args:
        text: what the user gave.
        owner: who is put into it, for the message.

    Returns:
        The text itself.

    Raises:
        PipelineError: it is not a label, one of its parts is empty, or it holds an `@` or a `:`.
    """
    check_label(text, "namespace", owner)
    namespace = str(text)
    if not all(namespace.split(".")) or TRANSCODING in namespace or ":" in namespace:
        msg = (
            f"{owner} has the namespace {namespace!r}. A namespace is a name, or names joined by single full stops, without"
            " '@' or ':'."
        )
        raise PipelineError(msg)
    return namespace


def as_names(given: Any, what: str) -> tuple[str, ...]:
    """Return names in their order, given one name, some, or None; repeated ones count once.

    Args:
        given: what the user gave.
        what: the argument, for the message.

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
            msg = f"{what} was given {name!r}, a {type(name).__name__}{value}. Give a name, or a list of names."
            raise PipelineError(msg)
    return tuple(dict.fromkeys(names))


def listed(names: Collection[str]) -> str:
    """Return names for a message: quoted, in their order, at most ten of them."""
    shown = ", ".join(repr(name) for name in list(names)[:SHOWN])
    return shown if len(names) <= SHOWN else f"{shown} and {len(names) - SHOWN} more"


def made_name(func: str, inputs: tuple[str, ...], outputs: tuple[str, ...], namespace: str | None) -> str:
    """Make the short name of a node that was given none, the same in every process; `Node` has the rule.

    Args:
        func: the function's name.
        inputs: the datasets that the node takes; the first few are in the name, where it makes none.
        outputs: the datasets that it makes; the first is in the name.
        namespace: the node's; the datasets' names are told without it.
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
