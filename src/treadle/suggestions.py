"""Names that a user probably meant, and the words "Did you mean" of every error and warning.

No state. Every module that reports an unknown name uses it, on both sides of a process boundary.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_SHOWN = 10


def close_names(name: object, known: Iterable[object], *, most: int = 3, cutoff: float = 0.6) -> tuple[str, ...]:
    """Find the known names that are most like one that is unknown.

    Upper and lower case are the same; a name without its namespace or module (`b` for `a.b`) comes first.

    Args:
        name: what the user gave.
        known: the names there are.
        most: how many to return at most.
        cutoff: how alike two names must be, from 0 to 1.

    Returns:
        The close ones, best first.
    """
    from difflib import get_close_matches

    text, pool = str(name), sorted({str(each) for each in known})
    ends = [each for each in pool if each.endswith(f".{text}")] if text else []
    by_case = {each.lower(): each for each in pool}
    alike = [by_case[lower] for lower in get_close_matches(text.lower(), by_case, n=most, cutoff=cutoff)]
    return tuple(dict.fromkeys([*ends, *alike]))[:most]


def did_you_mean(close: Iterable[str], otherwise: str = "") -> str:
    """Word the suggestion of an error message.

    Args:
        close: the names to suggest, as `close_names` returns them.
        otherwise: a sentence to show where there are none.

    Returns:
        A sentence with a space before it, to put after the sentence that reports the problem; empty where there is nothing to
        say.
    """
    shown = " or ".join(repr(each) for each in list(close)[:_SHOWN])
    sentence = f"Did you mean {shown}?" if shown else otherwise
    return sentence and f" {sentence}"
