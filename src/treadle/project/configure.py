"""Configure the project of the process.

Job: set the package that this process works for, and read its settings and pipelines on first use. State: that of `current.py`,
which holds the configured project. Neighbours: `configured.py` reads its parts, `metadata.py` pyproject.toml; sessions, commands
and the bootstrap of workers call these functions.

`bootstrap_project(path)` is project mode: read pyproject.toml, put the source folder on sys.path and PYTHONPATH, configure.
`configure_project(package)` is packaged mode, and is called once in a worker process. Configuring again is cheap and safe:
settings and pipelines are read again on next use, and code that changed on disk is imported again.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from treadle.errors import ProjectError
from treadle.project.code import CodeStamp, code_stamp, find_module, forget_modules, forget_package, is_shadowed
from treadle.project.configured import ConfiguredProject
from treadle.project.current import _process, configure_count, configured_project, is_configured
from treadle.project.metadata import read_metadata

if TYPE_CHECKING:
    from treadle.project.metadata import ProjectMetadata

__all__ = [
    "ConfiguredProject",
    "bootstrap_project",
    "configure_count",
    "configure_project",
    "configured_project",
    "is_configured",
]


def configure_project(
    package_name: str,
    preserve_logging: bool = True,  # noqa: ARG001, FBT001, FBT002 - accepted as by Kedro
) -> None:
    """Configure a package as the project of this process; the last call wins.

    After a second call for the same package, settings and pipelines are read again on next use; if a source file has changed
    since the last call, all modules of the package are imported again.

    Args:
        package_name: the project's package, importable from sys.path.
        preserve_logging: accepted for programs that were written for Kedro; it has no effect. Logging is preserved in any case:
            only `treadle.project.logging.configure_logging` changes it, which commands and notebooks call.

    Raises:
        ProjectError: the package does not exist.
    """
    _configure(package_name, None)


def bootstrap_project(path: Path | str) -> ProjectMetadata:
    """Prepare the project at a path to run in this process and its child processes.

    Read pyproject.toml, put the source folder first on sys.path and PYTHONPATH (repeated calls add it once), and configure
    the project's package.

    Args:
        path: the project's root.

    Returns:
        The metadata of the project.

    Raises:
        ProjectNotFoundError: the path is not a project.
        ProjectError: pyproject.toml is invalid, or the package does not exist.
    """
    metadata = read_metadata(path)
    _add_to_path(metadata)
    _configure(metadata.package_name, metadata)
    return metadata


def _configure(package_name: str, metadata: ProjectMetadata | None) -> None:
    if is_shadowed(package_name):
        forget_package(package_name.partition(".")[0])
    before = _process.project
    if before is not None:
        importlib.invalidate_caches()
    if not package_name or not _can_be_found(package_name):
        raise _no_package(package_name, metadata)
    stamp = code_stamp(package_name)
    if before is not None and before.package_name == package_name:
        if before.stamp != stamp:
            forget_package(package_name)
        forget_modules(f"{package_name}.settings", f"{package_name}.pipeline_registry")
        if metadata is None and before.metadata is not None and _is_within(stamp, before.metadata.source_dir):
            metadata = before.metadata
    _process.project = ConfiguredProject(package_name, metadata, stamp)
    _process.count += 1


def _can_be_found(package_name: str) -> bool:
    if find_module(package_name) is not None:
        return True
    # The package may have been created right after Python had listed its folder. Otherwise the caches stay valid: since Python
    # 3.13, invalidating them takes 6 ms, in each command and each worker.
    importlib.invalidate_caches()
    return find_module(package_name) is not None


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
    """Put the source folder first on sys.path and PYTHONPATH."""
    source = str(metadata.source_dir)
    if os.pathsep in source:
        msg = (
            f"The source folder {source} has {os.pathsep!r} in its path, which PYTHONPATH cannot express, so worker processes "
            "could not import the project. Move the project to another folder."
        )
        raise ProjectError(msg, file=str(metadata.config_file), key="source_dir")
    if sys.path[:1] != [source]:
        sys.path[:] = [source, *(entry for entry in sys.path if entry != source)]
    sys.path_importer_cache.pop(source, None)  # list the folder again: the package may have just been created
    exported = os.environ.get("PYTHONPATH", "")
    others = [entry for entry in exported.split(os.pathsep) if entry and entry != source]
    wanted = os.pathsep.join([source, *others])
    if wanted != exported:
        os.environ["PYTHONPATH"] = wanted
