"""The text of a log record: whether or not it can be formatted, and with secrets masked before a long text is cut.

A secret that is only partly in a text is not recognised, so a long text is cut twice: to a beginning and an end that are longer
than what is kept, and, after these are masked, to what is kept. What is near the first cut is never kept.

State: none. Neighbours: `log_lines.py` collects the texts while nodes wait, and masks those that it stores.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

LINE_CHARACTERS = 8_000
"""Characters of a text that are kept."""

_HALF = LINE_CHARACTERS // 2
_EDGE = 7_000
"""Characters at a cut that are not kept, because they may be a part of a secret; longer than a private key."""
_END = 16_000
"""Characters of the beginning, and of the end, that are masked; more than both together, as secrets become shorter."""


class CutText(str):
    """The beginning and the end of a long text, one directly after the other.

    Attributes:
        missing: the number of characters in between that are not in it.
    """

    __slots__ = ("missing",)
    missing: int


def text_of(record: logging.LogRecord) -> str:
    """Return the message of a record with its traceback, not masked; only the beginning and the end of a very long text.

    Args:
        record: any record, also one whose message cannot be formatted: this does not raise.
    """
    try:
        text = str(record.getMessage())
    except Exception:  # noqa: BLE001 - the handler that formats the record reports wrong arguments
        text = _unformatted(record.msg)
    if record.exc_info and record.exc_info[1] is not None:
        text = f"{text}\n{logging.Formatter().formatException(record.exc_info)}"
    elif record.exc_text:
        text = f"{text}\n{record.exc_text}"
    if len(text) <= 2 * _END:
        return text
    cut = CutText(text[:_END] + text[-_END:])
    cut.missing = len(text) - 2 * _END
    return cut


def kept_length(text: str) -> int:
    """Return about how many characters of a text `masked` will keep.

    Args:
        text: what `text_of` returned.
    """
    return min(len(text), LINE_CHARACTERS)


def masked(text: str, mask: Callable[[str], str]) -> str:
    """Return a text as it is stored: with secrets masked, and a long one without its middle.

    Args:
        text: what `text_of` returned.
        mask: masks the secrets in a text.
    """
    if isinstance(text, CutText):
        first, last = mask(text[:_END])[:-_EDGE][:_HALF], mask(text[_END:])[_EDGE:][-_HALF:]
        left_out = text.missing + len(text) - len(first) - len(last)
    else:
        whole = mask(text)
        if len(whole) <= LINE_CHARACTERS:
            return whole
        first, last = whole[:_HALF], whole[-_HALF:]
        left_out = len(whole) - LINE_CHARACTERS
    return f"{first}… ({left_out:,} more characters) …{last}"


def _unformatted(message: object) -> str:
    try:
        return str(message)
    except Exception as exc:  # noqa: BLE001 - a `__str__` may raise anything
        return f"(this line cannot be shown: the str() of its {type(message).__name__} raised {type(exc).__name__})"
