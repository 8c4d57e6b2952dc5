"""Suggest names similar to an unknown one: the "Did you mean" of every error and warning.

State: none. Every module that reports an unknown name uses it, in the parent and in workers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_SHOWN = 10


def close_names(name: object, known: Iterable[object], *, most: int = 3, cutoff: float = 0.6) -> tuple[str, ...]:
    """Find the known names that are most similar to an unknown name.

    Case is ignored. Names that end with the unknown one after a dot (`a.b` for `b`) come first.

    Args:
        name: the unknown name.
        known: the known names.
        most: the maximum number of names to return.
        cutoff: the minimum similarity, from 0 to 1.

    Returns:
        The similar names, best first.
    """
    from difflib import get_close_matches

    text, pool = str(name), sorted({str(each) for each in known})
    ends = [each for each in pool if each.endswith(f".{text}")] if text else []
    by_case = {each.lower(): each for each in pool}
    alike = [by_case[lower] for lower in get_close_matches(text.lower(), by_case, n=most, cutoff=cutoff)]
    return tuple(dict.fromkeys([*ends, *alike]))[:most]


def did_you_mean(close: Iterable[str], otherwise: str = "") -> str:
    """Return the sentence "Did you mean …?" for an error message.

    Args:
        close: the names to suggest, as `close_names` returns them.
        otherwise: the sentence to return if there are no names.

    Returns:
        The sentence with a space before it, to append to the sentence that reports the problem; empty if there is none.
    """
    shown = " or ".join(repr(each) for each in list(close)[:_SHOWN])
    sentence = f"Did you mean {shown}?" if shown else otherwise
    return sentence and f" {sentence}"
