"""The kinds of values that flags take: lists of names, params, versions.

Each function takes text from the command line, or what a flags file holds. Keeps no state.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import click


def names(value: object) -> tuple[str, ...]:
    """Read names with commas between them.

    Args:
        value: the text, or names; commas within brackets belong to a name, as in `fit([table,model]) -> [score]`.

    Returns:
        The names.

    Raises:
        click.BadParameter: the value is neither.
    """
    if isinstance(value, str):
        return tuple(_split(value))
    if not isinstance(value, Iterable):
        message = f"{value!r} is no list of names."
        raise click.BadParameter(message)
    return tuple(_text(name) for name in value)


def counts(value: object) -> tuple[int, ...]:
    """Read whole numbers from 1 with commas between them.

    Args:
        value: the text, such as `1,2,4`, or numbers.

    Returns:
        The numbers.

    Raises:
        click.BadParameter: one of them is no such number.
    """
    found = names([str(each) for each in value] if isinstance(value, (list, tuple)) else value)
    if not found or not all(each.isdecimal() and int(each) > 0 for each in found):
        message = f"{value!r} is no list of whole numbers from 1, such as 1,2,4."
        raise click.BadParameter(message)
    return tuple(map(int, found))


def params(value: object) -> dict[str, Any]:
    """Read `name=value` with commas between them.

    Args:
        value: the text, such as `model.depth=5,city=Paris`, where dots reach into nested params, or `{2020: x}`; or a mapping.

    Returns:
        A nested mapping of typed values.

    Raises:
        ConfigError: the text is not of that form.
        click.BadParameter: the value is neither.
    """
    if isinstance(value, str):
        from treadle.config.params import parse_params

        return parse_params(value)
    if isinstance(value, Mapping):
        return dict(value)
    message = f"{value!r} is no mapping of params."
    raise click.BadParameter(message)


def load_versions(value: object) -> dict[str, str]:
    """Read `dataset:version` with commas between them.

    Args:
        value: the text, pieces of it, or a mapping from dataset to version.

    Returns:
        The version to load of each dataset.

    Raises:
        click.BadParameter: a piece is not of that form.
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
    """Join the names of a flag that was given several times.

    Args:
        groups: the names of each time.

    Returns:
        All names in order, None where there are none.
    """
    return [name for group in groups for name in group] or None


def join_params(groups: Iterable[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Merge the params of a flag that was given several times, deeply; the later wins.

    Args:
        groups: the params of each time.

    Returns:
        All params, None where there are none.
    """
    merged: dict[str, Any] = {}
    for group in groups:
        from treadle.config.params import merge_params

        merged = merge_params(merged, group)
    return merged or None


def _text(value: object) -> str:
    """Take a name from a file: what is no text there may have been written otherwise (`0644` is 420, `no` is False)."""
    if isinstance(value, str):
        return value
    message = f"{value!r} is a {type(value).__name__}, where a text belongs. Write it in quotes."
    raise click.BadParameter(message)


def _split(text: str) -> Iterator[str]:
    """Yield what stands between the commas that are outside of all brackets."""
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
