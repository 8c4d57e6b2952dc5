"""Read a small file of the system, such as one in /proc. Runs in the parent and in workers. State: none."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import os


def read_text(path: str | os.PathLike[str]) -> str:
    """Return the content of a file, as `Path.read_text` does; `pathlib` need not be imported for it.

    Args:
        path: the file.

    Raises:
        OSError: the file does not exist or cannot be read.
    """
    with open(path, encoding="utf-8") as file:
        return file.read()
