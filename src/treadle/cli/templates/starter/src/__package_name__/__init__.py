"""__project_name__."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the project with the flags of `treadle run`; works wherever this package is installed.

    Args:
        arguments: the flags; by default, those of this process.

    Returns:
        The exit code: 0 for success.
    """
    from treadle.cli.packaged import package_main

    return package_main(__name__, arguments)
