"""Create a project folder from one of Treadle's templates.

A template is a tree of plain files in `cli/templates/<name>`. In paths and contents, three placeholders are replaced
(`__package_name__`, `__project_name__`, `__distribution_name__`). The prefix `dot_` of a file name becomes a dot: a `.gitignore`
in a template would affect this repository.

The project is built in a temporary folder beside the target, and moved when it is complete. State: none.
Neighbours: `cli/new.py` and `cli/demo.py` call this module, `cli/flights_data.py` copies the flights data.
"""

from __future__ import annotations

import importlib.util
import keyword
import re
import shutil
import sys
import tempfile
import unicodedata
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from treadle.errors import ProjectError
from treadle.suggestions import close_names, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    if sys.version_info >= (3, 11):
        from importlib.resources.abc import Traversable
    else:
        from importlib.abc import Traversable

PIPELINE_TEMPLATE = "pipeline"
"""The template of a single pipeline, in the same folder as those of projects; `pipeline_files.py` copies it."""
_NEVER_COPIED = frozenset({"__pycache__", ".DS_Store"})
_LETTERS = str.maketrans({"æ": "ae", "œ": "oe", "ø": "o", "đ": "d", "ð": "d", "ł": "l", "þ": "th"})
"""Letters that Unicode does not decompose into a base letter and an accent."""
_UNQUOTABLE = frozenset("\"'\\`{}$#")


def available_templates() -> tuple[str, ...]:
    """Return the names of the project templates.

    Returns:
        Their names, sorted.
    """
    others = {*_NEVER_COPIED, PIPELINE_TEMPLATE}
    return tuple(sorted(entry.name for entry in _templates().iterdir() if entry.is_dir() and entry.name not in others))


def suggest_package_name(project_name: str) -> str:
    """Convert any name to a package name that Python can import.

    Args:
        project_name: the project's display name, such as `"2024 Sales!"`.

    Returns:
        A similar, valid package name, such as `"project_2024_sales"`.
    """
    name = plain_package_name(project_name)
    return f"{name}_project" if _why_unusable(name) else name


def plain_package_name(project_name: str) -> str:
    """Convert any name to the characters of package names: drop accents, and replace other characters by underscores.

    Args:
        project_name: the project's display name.

    Returns:
        The name, such as `"uni"` for `"Ünï"`; another module may already have it.
    """
    letters = unicodedata.normalize("NFKD", project_name.casefold().translate(_LETTERS))
    without_accents = "".join(each for each in letters if not unicodedata.combining(each))
    name = re.sub(r"[^a-z0-9]+", "_", without_accents).strip("_") or "project"
    return f"project_{name}" if name[0].isdigit() else name


def check_importable(package_name: str) -> None:
    """Raise if a package with this name would shadow another module, or be shadowed by one.

    Args:
        package_name: the name.

    Raises:
        ProjectError: it is a keyword, or the name of a module of the standard library or of an installed package.
    """
    reason = _why_unusable(package_name)
    if reason is None and _is_installed(package_name):
        reason = "an installed package has that name, and one would shadow the other"
    if reason:
        words = package_name.replace("_", " ")
        message = (
            f"The project's package would be named {package_name!r}: {reason}. Choose another name: --name '{words} project'."
        )
        raise ProjectError(message, key="package_name")


def create_project(template: str, target: Path, *, project_name: str, package_name: str) -> Path:
    """Create a project from a template, completely or not at all.

    Args:
        template: name of a template, one of `available_templates()`.
        target: the new folder; it may exist if it is empty except for a `.git` folder.
        project_name: the project's display name.
        package_name: the name of its Python package.

    Returns:
        The absolute path of the new project.

    Raises:
        ProjectError: the template is unknown, a name is invalid, or the target is not empty or not writable.
    """
    source = _find_template(template)
    _check_names(project_name, package_name)
    target = Path(target).expanduser().absolute()
    _check_target(target)
    words = {
        "__package_name__": package_name,
        "__project_name__": project_name,
        "__distribution_name__": re.sub(r"_+", "-", package_name.strip("_")).lower() or "project",
    }
    new_folders = [folder for folder in (target.parent, *target.parent.parents) if not folder.exists()]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".treadle-new-", dir=target.parent) as scratch:
            built = Path(scratch) / "project"
            _copy(source, built, words)
            _move_into_place(built, target)
    except OSError as exc:
        for folder in new_folders:
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
        reason = exc.strerror or str(exc)
        message = f"The project could not be created in {target}: {reason}. Partial files were removed. Choose a writable folder."
        raise ProjectError(message, file=str(target)) from exc
    return target


def copy_tree(source: Traversable, target: Path, words: Mapping[str, str]) -> list[Path]:
    """Copy a tree of a template into a folder, without changing files that exist there.

    Args:
        source: the tree.
        target: the folder; it is created if it does not exist.
        words: replacements by placeholder, for names and contents.

    Returns:
        The new files.

    Raises:
        OSError: a file exists already or cannot be written; the new files have been removed.
    """
    created: list[Path] = []
    try:
        target.mkdir(parents=True, exist_ok=True)
        for entry in _entries(source):
            path = target / _replaced(entry.name.encode(), words).decode()
            if entry.is_dir():
                created += copy_tree(entry, path, words)
            else:
                with path.open("xb") as file:
                    created.append(path)
                    file.write(_replaced(entry.read_bytes(), words))
    except OSError:
        for path in created:
            path.unlink(missing_ok=True)
        raise
    return created


def why_unusable_name(name: str) -> str | None:
    """Return why a name cannot be the name of a Python package in a project.

    Args:
        name: the name.

    Returns:
        The reason; None if the name is valid.
    """
    if not (name.isascii() and name.isidentifier()):
        return "the name may only contain letters, digits and underscores, and must not begin with a digit"
    if keyword.iskeyword(name):
        return f"{name} is a Python keyword"
    if name.startswith("_"):
        return "names that begin with an underscore are private, so find_pipelines() would skip it"
    return None


def _templates() -> Traversable:
    return resources.files("treadle.cli").joinpath("templates")


def _find_template(name: str) -> Traversable:
    names = available_templates()
    if name not in names:
        hint = did_you_mean(close_names(name, names, most=1))
        message = f"There is no project template {name!r}.{hint} The templates are: {', '.join(names)}."
        raise ProjectError(message, key=name)
    return _templates().joinpath(name)


def _why_unusable(package_name: str) -> str | None:
    if not (package_name.isascii() and package_name.isidentifier()):
        return "a package name may only contain letters, digits and underscores, and must not begin with a digit"
    if keyword.iskeyword(package_name):
        return "it is a Python keyword"
    if package_name in sys.stdlib_module_names or package_name in {"treadle", "test", "tests"}:
        return "a module has that name, and one would shadow the other"
    return None


def _is_installed(package_name: str) -> bool:
    """Return whether code of that name can be imported, other than a folder without code or code in the current folder."""
    spec = importlib.util.find_spec(package_name)
    return spec is not None and spec.origin is not None and Path.cwd() not in Path(spec.origin).parents


def _check_names(project_name: str, package_name: str) -> None:
    reason = _why_unusable(package_name)
    if reason:
        message = f"{package_name!r} cannot be the name of a package: {reason}. Try {suggest_package_name(package_name)!r}."
        raise ProjectError(message, key="package_name")
    if not project_name.strip() or not project_name.isprintable() or not _UNQUOTABLE.isdisjoint(project_name):
        plain = re.sub(r"[^\w .-]+", " ", project_name).strip() or package_name.replace("_", " ").strip() or "project"
        message = (
            f"{project_name!r} cannot be the name of a project, because it is written to pyproject.toml and the README. It must "
            f"be one line of text without quotes, backslashes or any of `{{}}$#. Try {plain!r}."
        )
        raise ProjectError(message, key="project_name")


def _check_target(target: Path) -> None:
    if target.is_dir():
        present = sorted(entry.name for entry in target.iterdir() if entry.name != ".git")
        if present:
            shown = ", ".join(present[:3]) + (", …" if len(present) > 3 else "")
            message = f"{target} exists and is not empty (it contains {shown}). Choose a new folder, or empty this one first."
            raise ProjectError(message, file=str(target))
    elif target.exists() or target.is_symlink():
        message = f"{target} exists and is not a folder. Choose a new folder for the project."
        raise ProjectError(message, file=str(target))


def _copy(source: Traversable, target: Path, words: Mapping[str, str]) -> None:
    target.mkdir()
    for entry in _entries(source):
        path = target / _replaced(entry.name.encode(), words).decode()
        if entry.name.startswith("dot_"):
            path = path.with_name("." + path.name[len("dot_") :])
        if entry.is_dir():
            _copy(entry, path, words)
        else:
            path.write_bytes(_replaced(entry.read_bytes(), words))


def _entries(source: Traversable) -> Iterator[Traversable]:
    """Yield the entries of a template folder, except files that the interpreter or the desktop created there."""
    for entry in source.iterdir():
        if entry.name not in _NEVER_COPIED and not entry.name.endswith(".pyc"):
            yield entry


def _replaced(content: bytes, words: Mapping[str, str]) -> bytes:
    for word, value in words.items():
        content = content.replace(word.encode(), value.encode())
    return content


def _move_into_place(built: Path, target: Path) -> None:
    """Move a complete project to its target. An existing folder is filled, not replaced, because a shell may be open in it."""
    if not target.exists():
        built.rename(target)
        return
    moved: list[Path] = []
    try:
        for entry in sorted(built.iterdir()):
            destination = target / entry.name
            entry.rename(destination)
            moved.append(destination)
    except OSError:
        for path in moved:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        raise
