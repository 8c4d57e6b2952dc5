"""The configured project of a process: its metadata, settings, pipelines and logging."""

from treadle.project.configure import (
    ConfiguredProject,
    bootstrap_project,
    configure_count,
    configure_project,
    configured_project,
    is_configured,
)
from treadle.project.find_pipelines import find_pipelines
from treadle.project.metadata import ProjectMetadata, find_project, read_metadata
from treadle.project.settings import Settings

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
