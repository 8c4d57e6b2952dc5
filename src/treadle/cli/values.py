"""Parse the values of flags: lists of names, params, versions.

Each function accepts a string from the command line or a value from a flags file. State: none. Neighbours: `options.py` and the
commands use these functions as click types.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import click


def names(value: object) -> tuple[str, ...]:
    """Parse comma-separated names.

    Args:
        value: a string or names; commas within brackets belong to a name, as in `fit([table,model]) -> [score]`.

    Returns:
        The names.

    Raises:
        click.BadParameter: the value is neither, or a string without any name, such as that of a variable that is not set.
    """
    if isinstance(value, str):
        found = tuple(_split(value))
        if not found:
            message = f"{value!r} has no name. Give at least one, or omit the flag."
            raise click.BadParameter(message)
        return found
    if not isinstance(value, Iterable):
        message = f"{value!r} is not a list of names."
        raise click.BadParameter(message)
    return tuple(_text(name) for name in value)


def counts(value: object) -> tuple[int, ...]:
    """Parse comma-separated positive integers.

    Args:
        value: a string such as `1,2,4`, or numbers.

    Returns:
        The numbers.

    Raises:
        click.BadParameter: one of them is not a positive integer.
    """
    if isinstance(value, str):
        found = tuple(_split(value))
    else:
        found = names([str(each) for each in value] if isinstance(value, (list, tuple)) else value)
    if not found or not all(each.isdecimal() and int(each) > 0 for each in found):
        message = f"{value!r} is not a list of positive integers, such as 1,2,4."
        raise click.BadParameter(message)
    return tuple(map(int, found))


def params(value: object) -> dict[str, Any]:
    """Parse comma-separated `name=value` pairs.

    Args:
        value: a string such as `model.depth=5,city=Paris`, where dots denote nested params, or `{2020: x}`; or a mapping.

    Returns:
        A nested mapping of typed values.

    Raises:
        ConfigError: the string does not have that form.
        click.BadParameter: the value is neither.
    """
    if isinstance(value, str):
        from treadle.config.params import parse_params

        return parse_params(value)
    if isinstance(value, Mapping):
        return dict(value)
    message = f"{value!r} is not a mapping of params."
    raise click.BadParameter(message)


def load_versions(value: object) -> dict[str, str]:
    """Parse comma-separated `dataset:version` pairs.

    Args:
        value: a string, a list of pairs, or a mapping of dataset to version.

    Returns:
        The version to load of each dataset.

    Raises:
        click.BadParameter: a pair does not have that form.
    """
    if isinstance(value, Mapping):
        return {_text(dataset): _text(version) for dataset, version in value.items()}
    versions = {}
    for pair in names(value):
        dataset, colon, version = pair.partition(":")
        if not (colon and dataset.strip() and version.strip()):
            message = f"{pair!r} is not of the form dataset:version, such as model:2026-01-31T12.00.00.000Z."
            raise click.BadParameter(message)
        versions[dataset.strip()] = version.strip()
    return versions


def join_names(groups: Iterable[tuple[str, ...]]) -> list[str] | None:
    """Join the names of a repeated flag.

    Args:
        groups: the names of each occurrence.

    Returns:
        All names in order; None if there are none.
    """
    return [name for group in groups for name in group] or None


def join_params(groups: Iterable[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Deep-merge the params of a repeated flag; later values win.

    Args:
        groups: the params of each occurrence.

    Returns:
        All params; None if there are none.
    """
    merged: dict[str, Any] = {}
    for group in groups:
        from treadle.config.params import merge_params

        merged = merge_params(merged, group)
    return merged or None


def _text(value: object) -> str:
    """Return a string from a flags file; raise for another type, as YAML may have changed it (`0644` is 420, `no` is False)."""
    if isinstance(value, str):
        return value
    message = f"{value!r} is a {type(value).__name__}, but a string is expected. Write it in quotes."
    raise click.BadParameter(message)


def _split(text: str) -> Iterator[str]:
    """Split at commas outside brackets."""
    depth, piece = 0, ""
    for character in text:
        if character == "," and depth == 0:
            if piece.strip():
                yield piece.strip()
            piece = ""
            continue
        depth += (character in "([{") - (character in ")]}")
        depth = max(depth, 0)
        piece += character
    if piece.strip():
        yield piece.strip()
