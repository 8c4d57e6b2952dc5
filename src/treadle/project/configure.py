"""The configured project: the one process-wide state that Treadle keeps.

Job: say which package this process works for, and read its settings and pipelines on first use. State: `_process` below
holds the configured project and how often one was configured; nothing else in Treadle is process-wide. It is set by
replacing one reference, without a lock, so that a fork at any moment leaves the child a whole project or none.
Neighbours: `metadata.py`, `settings.py` and `pipelines.py` read the parts; the session, the commands and the workers'
set-up call what stands here.

`bootstrap_project(path)` is project mode: pyproject.toml, source folder on sys.path and PYTHONPATH, then configure.
`configure_project(package)` is packaged mode, and what a worker process calls once. Configuring again is cheap and safe:
settings and pipelines are read anew on next use, and code that changed on disk is imported anew.
"""

from __future__ import annotations

import importlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from treadle.errors import NotConfiguredError, ProjectError
from treadle.project.code import CodeStamp, code_stamp, find_module, forget_modules, forget_package, is_shadowed
from treadle.project.metadata import read_metadata
from treadle.project.pipelines import ProjectPipelines
from treadle.project.settings import read_settings

if TYPE_CHECKING:
    from treadle.project.metadata import ProjectMetadata
    from treadle.project.settings import Settings


class ConfiguredProject:
    """The project that this process works for; its parts are read on first use.

    Attributes:
        package_name: the project's package.
        metadata: what pyproject.toml says; None in packaged mode and in workers.
        pipelines: the registered pipelines by name, each made on first use.
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
            ProjectError: settings.py cannot be imported, or a setting is of the wrong kind.
        """
        if self._settings is None:
            self._settings = read_settings(self.package_name)
        return self._settings

    def __repr__(self) -> str:
        return f"ConfiguredProject({self.package_name!r})"


@dataclass(slots=True)
class _Process:
    project: ConfiguredProject | None = None
    count: int = 0


_process = _Process()


def configure_project(package_name: str) -> None:
    """Make a package the project of this process; the last call wins.

    A second call for the same package reads its settings and its pipelines anew on next use; where a source file changed
    since the last call, everything imported from the package is forgotten first.

    Args:
        package_name: the project's package, importable from sys.path.

    Raises:
        ProjectError: there is no such package.
    """
    _configure(package_name, None)


def bootstrap_project(path: Path | str) -> ProjectMetadata:
    """Make the project at a path ready to run in this process and in those it starts.

    Reads pyproject.toml, puts the source folder first on sys.path and on PYTHONPATH (once, however often this is called),
    and configures the project's package.

    Args:
        path: the project's root.

    Returns:
        What pyproject.toml says about the project.

    Raises:
        ProjectNotFoundError: there is no project at the path.
        ProjectError: pyproject.toml is wrong, or the package is not where it says.
    """
    metadata = read_metadata(path)
    _add_to_path(metadata)
    _configure(metadata.package_name, metadata)
    return metadata


def configured_project() -> ConfiguredProject:
    """Give the project of this process.

    Returns:
        The configured project.

    Raises:
        NotConfiguredError: neither `bootstrap_project` nor `configure_project` was called in this process.
    """
    if _process.project is None:
        msg = (
            "Package name not found. Make sure you have configured the project using 'bootstrap_project': call "
            "bootstrap_project(path) with the root of a project, or configure_project(package_name) for a packaged one, "
            "before a session is made. The command line does this by itself; a process that you start must do it again."
        )
        raise NotConfiguredError(msg)
    return _process.project


def is_configured() -> bool:
    """Say whether this process has a project.

    Returns:
        True after `bootstrap_project` or `configure_project`, and in a forked child of such a process.
    """
    return _process.project is not None


def configure_count() -> int:
    """Count how often a project was configured in this process (a forked child starts from its parent's count).

    Returns:
        The number of successful calls of `configure_project` and `bootstrap_project`.
    """
    return _process.count


def _configure(package_name: str, metadata: ProjectMetadata | None) -> None:
    if is_shadowed(package_name):
        forget_package(package_name.partition(".")[0])
    importlib.invalidate_caches()
    if not package_name or find_module(package_name) is None:
        raise _no_package(package_name, metadata)
    stamp = code_stamp(package_name)
    before = _process.project
    if before is not None and before.package_name == package_name:
        if before.stamp != stamp:
            forget_package(package_name)
        forget_modules(f"{package_name}.settings", f"{package_name}.pipeline_registry")
        if metadata is None and before.metadata is not None and _is_within(stamp, before.metadata.source_dir):
            metadata = before.metadata
    _process.project = ConfiguredProject(package_name, metadata, stamp)
    _process.count += 1


def _is_within(stamp: CodeStamp, folder: Path) -> bool:
    return any(Path(file).is_relative_to(folder) for file, _, _ in stamp[:1])


def _no_package(package_name: str, metadata: ProjectMetadata | None) -> ProjectError:
    if metadata is not None:
        msg = (
            f"[tool.treadle] in {metadata.config_file} names the package {package_name!r}, but there is none in "
            f"{metadata.source_dir}. Correct package_name or source_dir, or create the package."
        )
        return ProjectError(msg, file=str(metadata.config_file), key="package_name")
    msg = (
        f"There is no package {package_name!r} on sys.path, so it cannot be configured. Install it into this environment, "
        "or call bootstrap_project(path) with the root of its project, which puts its source folder on sys.path."
    )
    return ProjectError(msg, key="package_name")


def _add_to_path(metadata: ProjectMetadata) -> None:
    """Put the source folder first, where this process and its children look for modules."""
    source = str(metadata.source_dir)
    if os.pathsep in source:
        msg = (
            f"The source folder {source} has {os.pathsep!r} in its path, which PYTHONPATH cannot express, so worker processes "
            "could not import the project. Move the project to another folder."
        )
        raise ProjectError(msg, file=str(metadata.config_file), key="source_dir")
    if sys.path[:1] != [source]:
        sys.path[:] = [source, *(entry for entry in sys.path if entry != source)]
    exported = os.environ.get("PYTHONPATH", "")
    others = [entry for entry in exported.split(os.pathsep) if entry and entry != source]
    wanted = os.pathsep.join([source, *others])
    if wanted != exported:
        os.environ["PYTHONPATH"] = wanted
