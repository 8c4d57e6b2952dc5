"""Compile a pipeline and its catalog into a frozen plan."""

from treadle.planning.plan import Plan, PlannedDataset, PlannedNode, compile_plan

__all__ = ["Plan", "PlannedDataset", "PlannedNode", "compile_plan"]
