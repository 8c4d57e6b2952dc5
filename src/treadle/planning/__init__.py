"""Compile a pipeline and its catalog into a frozen plan."""

from treadle.planning.inputs import check_inputs, check_results
from treadle.planning.memory import check_memory_datasets
from treadle.planning.parameters import check_parameters, wrong_parameters
from treadle.planning.plan import Plan, PlannedDataset, PlannedNode, compile_plan
from treadle.planning.transcoding import check_transcoding

__all__ = [
    "Plan",
    "PlannedDataset",
    "PlannedNode",
    "check_inputs",
    "check_memory_datasets",
    "check_parameters",
    "check_results",
    "check_transcoding",
    "compile_plan",
    "wrong_parameters",
]
