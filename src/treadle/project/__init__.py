"""The configured project of a process: its metadata, settings, pipelines and logging.

The names below are imported on first use: every worker imports this package, and many have no project. State: none.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from treadle.project.configure import bootstrap_project, configure_project
    from treadle.project.configured import ConfiguredProject
    from treadle.project.current import configure_count, configured_project, is_configured
    from treadle.project.finding_pipelines import find_pipelines
    from treadle.project.metadata import ProjectMetadata, find_project, read_metadata
    from treadle.project.settings import Settings

_HOMES = {
    "ConfiguredProject": "treadle.project.configured",
    "ProjectMetadata": "treadle.project.metadata",
    "Settings": "treadle.project.settings",
    "bootstrap_project": "treadle.project.configure",
    "configure_count": "treadle.project.current",
    "configure_project": "treadle.project.configure",
    "configured_project": "treadle.project.current",
    "find_pipelines": "treadle.project.finding_pipelines",
    "find_project": "treadle.project.metadata",
    "is_configured": "treadle.project.current",
    "read_metadata": "treadle.project.metadata",
}

__all__ = [
    "ConfiguredProject",
    "ProjectMetadata",
    "Settings",
    "bootstrap_project",
    "configure_count",
    "configure_project",
    "configured_project",
    "find_pipelines",
    "find_project",
    "is_configured",
    "read_metadata",
]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value = globals()[name] = getattr(import_module(home), name)
    return value
