"""Nodes and pipelines: functions connected by the datasets that they load and save.

The class Pipeline is imported on first use: every worker imports this package, and has nodes but no pipelines. State: none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.pipeline.namespace import pipeline
from treadle.pipeline.node import Node, node

if TYPE_CHECKING:
    from treadle.pipeline.pipeline_class import Pipeline

__all__ = ["Node", "Pipeline", "node", "pipeline"]


def __getattr__(name: str) -> object:
    if name != "Pipeline":
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    from treadle.pipeline.pipeline_class import Pipeline

    globals()[name] = Pipeline
    return Pipeline
