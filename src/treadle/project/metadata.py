"""Read the metadata of a project from `pyproject.toml`: its package, name and source folder.

Job: find a project at or above a path, and read and validate its `[tool.treadle]` table. State: a cache of parsed texts.
Neighbours: `configure.py` bootstraps a project from its metadata.
"""

from __future__ import annotations

import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

from treadle.errors import ProjectError, ProjectNotFoundError
from treadle.named_tuple import NamedTuple
from treadle.suggestions import close_names, did_you_mean

CONFIG_FILE = "pyproject.toml"
TABLE = "tool.treadle"
KEYS = ("package_name", "project_name", "source_dir")


class ProjectMetadata(NamedTuple):
    """The metadata of a project.

    Attributes:
        config_file: the project's pyproject.toml.
        package_name: import name of the project's package.
        project_name: display name of the project.
        project_path: its root, absolute.
        source_dir: the folder to put on sys.path, absolute.
    """

    config_file: Path
    package_name: str
    project_name: str
    project_path: Path
    source_dir: Path

    @property
    def treadle_version(self) -> str:
        """The version of Treadle that is installed."""
        from importlib.metadata import version

        return version("treadle")


def find_project(start: Path | str) -> Path | None:
    """Find the project at a path or in the folders above it.

    Args:
        start: the path to start from.

    Returns:
        The root of the nearest project; None if there is none.

    Raises:
        ProjectError: a pyproject.toml on the way mentions Treadle and is invalid, or cannot be read.
    """
    path = Path(start).resolve()
    for folder in (path, *path.parents):
        if _read_table(folder / CONFIG_FILE) is not None:
            return folder
    return None


def read_metadata(path: Path | str) -> ProjectMetadata:
    """Read and validate the metadata in a project's pyproject.toml.

    Args:
        path: the project's root.

    Returns:
        The metadata, with absolute paths.

    Raises:
        ProjectNotFoundError: the folder has no pyproject.toml with a `[tool.treadle]` table.
        ProjectError: the file or a key in it is invalid.
    """
    root = Path(path).expanduser().resolve()
    file = root / CONFIG_FILE
    tables = _read_table(file)
    if tables is None:
        raise _not_found(root, file)
    table, project = tables
    for key in table:
        if key not in KEYS:
            hint = did_you_mean(close_names(key, KEYS, most=1), f"The keys are: {', '.join(KEYS)}.")
            raise _wrong(file, key, f"has the unknown key {key!r}.{hint}")
    package_name = _text(file, table, "package_name")
    if package_name is None:
        raise _wrong(
            file, "package_name", "lacks the key 'package_name'. Add the name of the package that holds the project's code."
        )
    if not all(part.isidentifier() for part in package_name.split(".")):
        raise _wrong(
            file,
            "package_name",
            f"has package_name = {package_name!r}, which cannot be imported: it must be a valid Python name.",
        )
    stated_name = project.get("name")
    project_name = _text(file, table, "project_name") or (stated_name if isinstance(stated_name, str) else package_name)
    return ProjectMetadata(file, package_name, project_name, root, _source_dir(file, root, _text(file, table, "source_dir")))


def _source_dir(file: Path, root: Path, stated: str | None) -> Path:
    if stated is None:
        source = root / "src"
        return source if source.is_dir() else root
    source = (root / stated).resolve()
    if not source.is_dir():
        raise _wrong(
            file, "source_dir", f"has source_dir = {stated!r}, but {source} is not a folder. Create it or correct the key."
        )
    return source


def _text(file: Path, table: dict[str, Any], key: str) -> str | None:
    value = table.get(key)
    if value is None:
        return None
    if not isinstance(value, str) or not value.strip():
        raise _wrong(file, key, f"has {key} = {value!r}; it must be a non-empty string.")
    return value.strip()


def _read_table(file: Path) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Read the tables `[tool.treadle]` and `[project]`; None if the file or the first table is missing."""
    try:
        text = file.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as exc:
        msg = f"{file} cannot be read: {exc}. Check its permissions and that it is UTF-8."
        raise ProjectError(msg, file=str(file)) from exc
    if "treadle" not in text:
        return None
    try:
        data = _parse(text)
    except ValueError as exc:
        msg = f"{file} is not valid TOML: {exc}. Correct the file."
        raise ProjectError(msg, file=str(file)) from exc
    tools = data.get("tool", {})
    table = tools.get("treadle") if isinstance(tools, dict) else None
    if table is None:
        return None
    if not isinstance(table, dict):
        raise _wrong(file, TABLE, "must be a table of keys, such as package_name.")
    project = data.get("project", {})
    return table, project if isinstance(project, dict) else {}


@lru_cache(maxsize=4)
def _parse(text: str) -> dict[str, Any]:
    """Parse TOML. A command reads the same file to find the project, its own commands and its package, and parses it once."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    return tomllib.loads(text)


def is_kedro(file: Path) -> bool:
    """Return whether a pyproject.toml belongs to a Kedro project."""
    try:
        return "[tool.kedro]" in file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False


def _wrong(file: Path, key: str, problem: str) -> ProjectError:
    return ProjectError(f"[{TABLE}] in {file} {problem}", file=str(file), key=key)


def _not_found(root: Path, file: Path) -> ProjectNotFoundError:
    above = find_project(root.parent)
    if not root.is_dir():
        problem = f"{root} is not a folder, so no project can be read from it."
    elif file.is_file():
        problem = f"{file} has no [{TABLE}] table, so {root} is not a Treadle project."
    else:
        problem = f"{root} has no {CONFIG_FILE}, so it is not a Treadle project."
    if above is not None:
        hint = f"A folder above it is a project: {above}."
    elif is_kedro(file):
        hint = (
            "It is a Kedro project: run it on Treadle's workers with `kedro run --runner=treadle.kedro.ParallelRunner` "
            "(see docs/kedro.md)."
        )
    else:
        hint = (
            f"Change to a project's folder, pass it with `treadle --project PATH …`, create one with `treadle new PATH`, or add "
            f"[{TABLE}] with package_name to your {CONFIG_FILE}."
        )
    return ProjectNotFoundError(f"{problem} {hint}", file=str(file))
