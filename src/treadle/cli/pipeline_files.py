"""Create, find and delete the files of one pipeline in a project.

New files are copied from `cli/templates/pipeline`, and `scaffold.py` replaces the placeholders in paths and contents. An existing
file is never overwritten, and after an error the new files are removed. State: none. Neighbour: `cli/pipeline.py`.
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from treadle.cli.scaffold import PIPELINE_TEMPLATE, copy_tree, why_unusable_name
from treadle.errors import ProjectError, UnknownNameError
from treadle.suggestions import close_names, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator

    from treadle.project import ProjectMetadata


@dataclass(frozen=True, slots=True)
class PipelineFolders:
    """The folders with the files of a project's pipelines.

    Attributes:
        root: the project's folder.
        pipelines: the folder of the package `<package>.pipelines`.
        conf: the configuration folder.
    """

    root: Path
    pipelines: Path
    conf: Path


def pipeline_folders(metadata: ProjectMetadata, conf_source: str) -> PipelineFolders:
    """Return the folders with the files of a project's pipelines.

    Args:
        metadata: the project.
        conf_source: the configuration folder, from the project's settings.

    Returns:
        The folders, which may not exist yet.
    """
    package = metadata.source_dir.joinpath(*metadata.package_name.split("."))
    return PipelineFolders(metadata.project_path, package / "pipelines", metadata.project_path / conf_source)


def create_pipeline_files(metadata: ProjectMetadata, conf_source: str, name: str) -> tuple[Path, ...]:
    """Create the files of a new pipeline.

    Args:
        metadata: the project.
        conf_source: the configuration folder, from the project's settings.
        name: the pipeline's name.

    Returns:
        The new files, relative to the project.

    Raises:
        ProjectError: the name is invalid, a file of the pipeline exists, or a file cannot be written.
    """
    reason = why_unusable_name(name)
    if reason is None and name in sys.stdlib_module_names:
        reason = "a module of the standard library has that name, and one would shadow the other for scripts in that folder"
    if reason:
        message = (
            f"{name!r} cannot be the name of a pipeline, because its folder is a Python package: {reason}. Try {_plain(name)!r}."
        )
        raise ProjectError(message, key=name)
    folders = pipeline_folders(metadata, conf_source)
    present = next(iter(_files_of(folders, name)), None)
    if present is not None:
        message = (
            f"The project already has files of a pipeline {name!r}: {present}. Choose another name, or first delete the pipeline "
            f"with `treadle pipeline delete {name}`."
        )
        raise ProjectError(message, file=str(folders.root / present), key=name)
    created: list[Path] = []
    words = {"__package_name__": metadata.package_name, "__pipeline_name__": name}
    template = resources.files("treadle.cli").joinpath("templates", PIPELINE_TEMPLATE)
    targets = (
        (template.joinpath("src", "__package_path__", "pipelines", "__pipeline_name__"), folders.pipelines / name),
        (template.joinpath("conf", "base"), folders.conf / "base"),
        (template.joinpath("tests"), folders.root / "tests"),
    )
    try:
        for source, target in targets:
            created += copy_tree(source, target, words)
        package = folders.pipelines / "__init__.py"
        if not package.exists():
            package.write_text(f'"""The pipelines of {metadata.project_name}, a folder for each."""\n', encoding="utf-8")
            created.append(package)
    except OSError as exc:
        for path in created:
            path.unlink(missing_ok=True)
        message = f"The files of the pipeline {name!r} could not be created: {exc}. Partial files were removed."
        raise ProjectError(message, file=exc.filename, key=name) from exc
    return tuple(path.relative_to(folders.root) for path in created)


def find_pipeline_files(metadata: ProjectMetadata, conf_source: str, name: str) -> tuple[Path, ...]:
    """Find the files of a pipeline.

    Args:
        metadata: the project.
        conf_source: the configuration folder, from the project's settings.
        name: the pipeline's name.

    Returns:
        Its folder or module, and the files of parameters, catalog and tests with its name, relative to the project.

    Raises:
        UnknownNameError: the project has no such pipeline; the error lists similar names.
    """
    folders = pipeline_folders(metadata, conf_source)
    found = tuple(_files_of(folders, name))
    if not found:
        known = sorted(_names(folders.pipelines))
        close = close_names(name, known)
        hint = did_you_mean(close, f"The pipelines are: {', '.join(known) or 'none'}.")
        folder = folders.pipelines.relative_to(folders.root)
        message = f"There is no pipeline {name!r} in {folder} of the project {metadata.project_name}.{hint}"
        raise UnknownNameError(message, name=name, close=close)
    return found


def delete_files(root: Path, files: tuple[Path, ...]) -> None:
    """Delete files and folders.

    Args:
        root: the project's folder.
        files: the files and folders to delete, relative to the project.

    Raises:
        ProjectError: a file cannot be deleted.
    """
    for file in files:
        path = root / file
        try:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        except OSError as exc:
            message = f"{path} could not be deleted: {exc.strerror or exc}. Check its permissions, and delete it by hand."
            raise ProjectError(message, file=str(path)) from exc


def _files_of(folders: PipelineFolders, name: str) -> Iterator[Path]:
    if not name.isidentifier():
        return  # a name with separators could point outside the folder
    code = [folders.pipelines / name, folders.pipelines / f"{name}.py"]
    kinds = [f"{kind}_{name}{suffix}" for kind in ("parameters", "catalog") for suffix in (".yml", ".yaml", ".json")]
    # Environments may be nested: conf/prod/eu
    conf = [path for kind in kinds for path in sorted(folders.conf.glob(f"*/**/{kind}"))]
    tests = [folders.root / "tests" / f"test_{name}.py", folders.root / "tests" / "pipelines" / f"test_{name}.py"]
    for path in (*code, *conf, *tests):
        if path.exists():
            yield path.relative_to(folders.root)


def _names(pipelines: Path) -> Iterator[str]:
    for entry in pipelines.iterdir() if pipelines.is_dir() else ():
        if not entry.name.startswith((".", "_")) and (entry.is_dir() or entry.suffix == ".py"):
            yield entry.stem


def _plain(name: str) -> str:
    from treadle.cli.scaffold import suggest_package_name

    return suggest_package_name(name)
