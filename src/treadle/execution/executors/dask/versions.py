"""Compare the versions of Python and of the libraries that pickles depend on, in the driver and in a worker. State: none.

`versions` runs on both sides, `differences` and `table` in the driver.
"""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_LIBRARIES = ("treadle", "dask", "distributed", "cloudpickle", "numpy", "pandas")


def versions() -> dict[str, str]:
    """Return the versions of this process's Python and libraries; `-` for one that is not installed."""
    found = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "-"
    return found


def differences(here: Mapping[str, str], there: Mapping[str, str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Compare the versions of the driver and of a worker.

    Args:
        here: the driver's.
        there: the worker's.

    Returns:
        The names of those with which pickles break (the minor version of Python, the version of Treadle, the major version of
        a library), and the names of all that differ.
    """
    differ = tuple(name for name in here if here[name] != there.get(name, "-"))
    return tuple(name for name in differ if _breaks(name, here[name], there.get(name, "-"))), differ


def _breaks(name: str, here: str, there: str) -> bool:
    if name == "treadle":
        return True
    if name in ("numpy", "pandas") and "-" in (here, there):
        return False  # a worker without it cannot load such values, and says so when it has to
    parts = 2 if name == "python" else 1
    return name in ("python", "cloudpickle", "numpy", "pandas") and here.split(".")[:parts] != there.split(".")[:parts]


def table(here: Mapping[str, str], there: Mapping[str, str], names: tuple[str, ...]) -> str:
    """Return the versions side by side, as lines of text.

    Args:
        here: the driver's.
        there: the worker's.
        names: the rows.
    """
    rows = [("", "here", "worker"), *((name, here[name], there.get(name, "-")) for name in names)]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join(
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
