"""The files of one pipeline in a project: made from a template, found again, deleted.

The template is a tree under `cli/templates/pipeline`, with words replaced in paths and contents as `scaffold.py` does it. A file
that is there is never overwritten, and what fails halfway is taken back. Keeps no state. Neighbour: `cli/pipeline.py`.
"""

from __future__ import annotations

import shutil
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
class PipelinePlaces:
    """Where the files of a project's pipelines are.

    Attributes:
        root: the project.
        pipelines: the folder of the package `<package>.pipelines`.
        conf: the folder of configuration.
    """

    root: Path
    pipelines: Path
    conf: Path


def places_of(metadata: ProjectMetadata, conf_source: str) -> PipelinePlaces:
    """Find where the files of a project's pipelines are.

    Args:
        metadata: the project.
        conf_source: the folder of configuration that its settings name.

    Returns:
        The places, which may not exist yet.
    """
    package = metadata.source_dir.joinpath(*metadata.package_name.split("."))
    return PipelinePlaces(metadata.project_path, package / "pipelines", metadata.project_path / conf_source)


def create_pipeline_files(metadata: ProjectMetadata, conf_source: str, name: str) -> tuple[Path, ...]:
    """Make the files of a new pipeline.

    Args:
        metadata: the project.
        conf_source: the folder of configuration that its settings name.
        name: the pipeline's name.

    Returns:
        What was made, relative to the project.

    Raises:
        ProjectError: the name cannot be used, a file of it exists, or the disk refuses.
    """
    reason = why_unusable_name(name)
    if reason:
        message = (
            f"{name!r} cannot be the name of a pipeline: its folder is a Python package, and {reason}. Try {_plain(name)!r}."
        )
        raise ProjectError(message, key=name)
    places = places_of(metadata, conf_source)
    present = next(iter(_files_of(places, name)), None)
    if present is not None:
        message = (
            f"The project has files of a pipeline {name!r} already: {present}. Choose another name, or delete it first with "
            f"`treadle pipeline delete {name}`."
        )
        raise ProjectError(message, file=str(places.root / present), key=name)
    made: list[Path] = []
    words = {"__package_name__": metadata.package_name, "__pipeline_name__": name}
    template = resources.files("treadle.cli").joinpath("templates", PIPELINE_TEMPLATE)
    targets = (
        (template.joinpath("src", "__package_path__", "pipelines", "__pipeline_name__"), places.pipelines / name),
        (template.joinpath("conf", "base"), places.conf / "base"),
        (template.joinpath("tests"), places.root / "tests"),
    )
    try:
        for source, target in targets:
            made += copy_tree(source, target, words)
        package = places.pipelines / "__init__.py"
        if not package.exists():
            package.write_text(f'"""The pipelines of {metadata.project_name}, a folder for each."""\n', encoding="utf-8")
            made.append(package)
    except OSError as exc:
        for path in made:
            path.unlink(missing_ok=True)
        message = f"The files of the pipeline {name!r} could not be made: {exc}. What was made of them is gone again."
        raise ProjectError(message, file=exc.filename, key=name) from exc
    return tuple(path.relative_to(places.root) for path in made)


def find_pipeline_files(metadata: ProjectMetadata, conf_source: str, name: str) -> tuple[Path, ...]:
    """Find what a pipeline consists of.

    Args:
        metadata: the project.
        conf_source: the folder of configuration that its settings name.
        name: the pipeline's name.

    Returns:
        Its folder or module, and the files of parameters, catalog and tests that carry its name, relative to the project.

    Raises:
        UnknownNameError: the project has no such pipeline; close matches are given.
    """
    places = places_of(metadata, conf_source)
    found = tuple(_files_of(places, name))
    if not found:
        known = sorted(_names(places.pipelines))
        close = close_names(name, known)
        hint = did_you_mean(close, f"There are: {', '.join(known) or 'none'}.")
        folder = places.pipelines.relative_to(places.root)
        message = f"There is no pipeline {name!r} in {folder} of the project {metadata.project_name}.{hint}"
        raise UnknownNameError(message, name=name, close=close)
    return found


def delete_files(root: Path, files: tuple[Path, ...]) -> None:
    """Delete files and folders.

    Args:
        root: the project.
        files: what to delete, relative to it.

    Raises:
        ProjectError: one cannot be deleted.
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


def _files_of(places: PipelinePlaces, name: str) -> Iterator[Path]:
    if not name.isidentifier():
        return  # such a name could lead out of the folder
    code = [places.pipelines / name, places.pipelines / f"{name}.py"]
    kinds = [f"{kind}_{name}{suffix}" for kind in ("parameters", "catalog") for suffix in (".yml", ".yaml", ".json")]
    # Environments may be nested: conf/prod/eu
    conf = [path for kind in kinds for path in sorted(places.conf.glob(f"*/**/{kind}"))]
    tests = [places.root / "tests" / f"test_{name}.py", places.root / "tests" / "pipelines" / f"test_{name}.py"]
    for path in (*code, *conf, *tests):
        if path.exists():
            yield path.relative_to(places.root)


def _names(pipelines: Path) -> Iterator[str]:
    for entry in pipelines.iterdir() if pipelines.is_dir() else ():
        if not entry.name.startswith((".", "_")) and (entry.is_dir() or entry.suffix == ".py"):
            yield entry.stem


def _plain(name: str) -> str:
    from treadle.cli.scaffold import suggest_package_name

    return suggest_package_name(name)
