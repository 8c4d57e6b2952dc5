"""Nodes and pipelines: what is to be run, and in which order."""

from __future__ import annotations

from treadle.pipeline.namespace import pipeline
from treadle.pipeline.node import Node, node
from treadle.pipeline.pipeline import Pipeline

__all__ = ["Node", "Pipeline", "node", "pipeline"]
