"""A configured project: its package, and its settings and pipelines, which are read on first use. State: that of the object."""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.project.code import CodeStamp, code_stamp
from treadle.project.pipelines import ProjectPipelines
from treadle.project.settings import read_settings

if TYPE_CHECKING:
    from treadle.project.metadata import ProjectMetadata
    from treadle.project.settings import Settings


class ConfiguredProject:
    """The project of this process; its parts are read on first use.

    Attributes:
        package_name: the project's package.
        metadata: the metadata from pyproject.toml; None in packaged mode and in workers.
        pipelines: the registered pipelines by name, each created on first use.
    """

    def __init__(self, package_name: str, metadata: ProjectMetadata | None = None, stamp: CodeStamp | None = None) -> None:
        self.package_name = package_name
        self.metadata = metadata
        self.pipelines = ProjectPipelines(package_name)
        self.stamp = code_stamp(package_name) if stamp is None else stamp
        self._settings: Settings | None = None

    @property
    def settings(self) -> Settings:
        """The project's settings.

        Raises:
            ProjectError: settings.py cannot be imported, or a setting has the wrong type.
        """
        if self._settings is None:
            self._settings = read_settings(self.package_name)
        return self._settings

    def __repr__(self) -> str:
        return f"ConfiguredProject({self.package_name!r})"
