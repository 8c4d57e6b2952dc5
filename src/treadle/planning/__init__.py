"""Compile a pipeline and its catalog into a frozen plan.

The names below are imported when first used: a worker imports this package and needs few of its modules.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from treadle.planning.inputs import check_inputs, check_results
    from treadle.planning.memory import check_memory_datasets
    from treadle.planning.parameters import check_parameters, wrong_parameters
    from treadle.planning.plan import Plan, PlannedDataset, PlannedNode, compile_plan
    from treadle.planning.transcoding import check_transcoding

_HOMES = {
    "Plan": "treadle.planning.plan",
    "PlannedDataset": "treadle.planning.plan",
    "PlannedNode": "treadle.planning.plan",
    "check_inputs": "treadle.planning.inputs",
    "check_memory_datasets": "treadle.planning.memory",
    "check_parameters": "treadle.planning.parameters",
    "check_results": "treadle.planning.inputs",
    "check_transcoding": "treadle.planning.transcoding",
    "compile_plan": "treadle.planning.plan",
    "wrong_parameters": "treadle.planning.parameters",
}

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


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value = globals()[name] = getattr(import_module(home), name)
    return value
