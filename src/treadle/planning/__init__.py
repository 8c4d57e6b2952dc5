"""Compile a pipeline and its catalog into a frozen plan."""

from treadle.planning.inputs import check_inputs
from treadle.planning.plan import Plan, PlannedDataset, PlannedNode, compile_plan

__all__ = ["Plan", "PlannedDataset", "PlannedNode", "check_inputs", "compile_plan"]
