"""Describe a project without running it: its pipelines, nodes, datasets and the names of its parameters."""

from treadle.inspection.inspect import inspect_project
from treadle.inspection.snapshot import ProjectSnapshot

__all__ = ["ProjectSnapshot", "inspect_project"]
