"""The project's pipelines by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.project import find_pipelines

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from treadle import Pipeline


def register_pipelines() -> MutableMapping[str, Pipeline]:
    """Register the pipelines for `treadle run --pipelines`.

    Returns:
        The pipeline of every folder in `pipelines/` by name, and `__default__`, the sum of all of them.
    """
    return find_pipelines()
