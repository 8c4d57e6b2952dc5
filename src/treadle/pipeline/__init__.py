"""Nodes and pipelines: functions connected by the datasets that they load and save. State: none."""

from __future__ import annotations

from treadle.pipeline.namespace import pipeline
from treadle.pipeline.node import Node, node
from treadle.pipeline.pipeline import Pipeline

__all__ = ["Node", "Pipeline", "node", "pipeline"]
