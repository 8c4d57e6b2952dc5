"""The project's pipelines by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.project import find_pipelines

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from treadle import Pipeline


def register_pipelines() -> MutableMapping[str, Pipeline]:
    """Name the pipelines that `treadle run --pipelines` knows.

    Returns:
        Every folder of `pipelines/` by its name, and `__default__`, which is all of them.
    """
    return find_pipelines()
