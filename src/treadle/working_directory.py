"""The folder of this process that relative paths start from. State: none."""

from __future__ import annotations

import os


def working_directory() -> str:
    """Return the working directory of this process; an empty string if it was deleted."""
    try:
        return os.getcwd()  # noqa: PTH109 - the text of it is wanted
    except FileNotFoundError:
        return ""
