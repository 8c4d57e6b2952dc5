"""What a terminal would show of lines that are rewritten with carriage returns, such as those of a progress bar.

Runs in workers, whose streams send it, and in the parent, which prints it. State: none.
"""

from __future__ import annotations


def last_state(line: str) -> str:
    """Return the text that a terminal would show of a line that was rewritten with carriage returns.

    Args:
        line: the text, without its line ending.

    Returns:
        The text after the last carriage return, trailing ones aside; empty if that text is blank.
    """
    return line.rstrip("\r").rpartition("\r")[2].rstrip() if "\r" in line else line


def last_states(text: str) -> str:
    """Return complete lines, each in its last state, without lines that were erased, such as a progress bar's."""
    if "\r" not in text or "\r" not in text.replace("\r\n", "\n"):
        return text
    lines = []
    for line in text.replace("\r\n", "\n").removesuffix("\n").split("\n"):
        shown = last_state(line)
        if shown or "\r" not in line:
            lines.append(f"{shown}\n")
    return "".join(lines)
