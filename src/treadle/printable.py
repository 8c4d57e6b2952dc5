"""Escape control characters in text for a terminal: in a message or a name they could move the cursor or rename the window.

State: none. The command line, `treadle.observe` and `treadle.project.logging` call it for everything they print.
"""

from __future__ import annotations

import re

# C0 without tab and new line, DEL, C1, and the Unicode characters that change the direction of text. It is compiled when it is
# first used, which `treadle --help` does not do.
_CONTROL = "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]"


def printable(text: str) -> str:
    r"""Show control characters as escapes.

    Args:
        text: any text.

    Returns:
        The text with `\x1b` for an escape character, and so on; new lines and tabs stay.
    """
    return re.sub(_CONTROL, _escaped, text)


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
