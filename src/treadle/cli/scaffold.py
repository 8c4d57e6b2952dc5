"""Makes a project folder from one of the templates that ship inside the package.

A template is a tree of plain files under `cli/templates/<name>`. It is copied file by file, with three words replaced
in paths and contents (`__package_name__`, `__project_name__`, `__distribution_name__`) and a leading `dot_` in a name
turned into a dot, so that a template's own `.gitignore` does not act on this repository. Keeps no state.

The copy is built in a folder of its own beside the target, and moved into place when it is complete: a failure leaves
the disk as it was. Neighbours: `cli/new.py` and `cli/demo.py` call it, `cli/flights_data.py` fills the flights project.
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
"""The template of a single pipeline, which lies beside those of projects; `pipeline_files.py` copies it."""
_NEVER_COPIED = frozenset({"__pycache__", ".DS_Store"})
_LETTERS = str.maketrans({"æ": "ae", "œ": "oe", "ø": "o", "đ": "d", "ð": "d", "ł": "l", "þ": "th"})
"""Letters that are no others with accents."""
_UNQUOTABLE = frozenset("\"'\\`{}$#")


def available_templates() -> tuple[str, ...]:
    """Name the templates that `create_project` knows.

    Returns:
        Their names, sorted.
    """
    others = {*_NEVER_COPIED, PIPELINE_TEMPLATE}
    return tuple(sorted(entry.name for entry in _templates().iterdir() if entry.is_dir() and entry.name not in others))


def suggest_package_name(project_name: str) -> str:
    """Turn any name into a package name that Python can import.

    Args:
        project_name: what the user calls the project, such as `"2024 Sales!"`.

    Returns:
        A valid package name close to it, such as `"project_2024_sales"`.
    """
    name = plain_package_name(project_name)
    return f"{name}_project" if _why_unusable(name) else name


def plain_package_name(project_name: str) -> str:
    """Write any name in the letters of package names: accents are dropped, everything else becomes an underscore.

    Args:
        project_name: what the user calls the project.

    Returns:
        The name, such as `"uni"` for `"Ünï"`; it may be one that other code has.
    """
    letters = unicodedata.normalize("NFKD", project_name.casefold().translate(_LETTERS))
    without_accents = "".join(each for each in letters if not unicodedata.combining(each))
    name = re.sub(r"[^a-z0-9]+", "_", without_accents).strip("_") or "project"
    return f"project_{name}" if name[0].isdigit() else name


def check_importable(package_name: str) -> None:
    """Raise if a package of a name would hide other code, or be hidden by it.

    Args:
        package_name: the name.

    Raises:
        ProjectError: it is a keyword, a module of the standard library, or one that is installed here.
    """
    reason = _why_unusable(package_name)
    if reason is None and _is_installed(package_name):
        reason = "a package of that name is installed here, and one would hide the other"
    if reason:
        words = package_name.replace("_", " ")
        message = f"The project's package would be named {package_name!r}: {reason}. Give another name: --name '{words} project'."
        raise ProjectError(message, key="package_name")


def create_project(template: str, target: Path, *, project_name: str, package_name: str) -> Path:
    """Create a project from a template, whole or not at all.

    Args:
        template: name of a template, one of `available_templates()`.
        target: folder to make; it may exist if it is empty (a `.git` folder does not count).
        project_name: the project's name for people.
        package_name: the name of its Python package.

    Returns:
        The absolute path of the new project.

    Raises:
        ProjectError: the template is unknown, a name cannot be used, or the target is taken or cannot be written.
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
    made = [folder for folder in (target.parent, *target.parent.parents) if not folder.exists()]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".treadle-new-", dir=target.parent) as scratch:
            built = Path(scratch) / "project"
            _copy(source, built, words)
            _move_into_place(built, target)
    except OSError as exc:
        for folder in made:
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
        reason = exc.strerror or str(exc)
        message = (
            f"The project could not be created in {target}: {reason}. Nothing was left behind; name a folder you may write to."
        )
        raise ProjectError(message, file=str(target)) from exc
    return target


def copy_tree(source: Traversable, target: Path, words: Mapping[str, str]) -> list[Path]:
    """Copy a tree of a template into a folder that may have files of its own, which stay as they are.

    Args:
        source: the tree.
        target: the folder; it is made where it is missing.
        words: what to replace in names and contents.

    Returns:
        The files that were made.

    Raises:
        OSError: the disk refuses, or a file is there already; what was made of the tree is taken back.
    """
    made: list[Path] = []
    try:
        target.mkdir(parents=True, exist_ok=True)
        for entry in _entries(source):
            path = target / _replaced(entry.name.encode(), words).decode()
            if entry.is_dir():
                made += copy_tree(entry, path, words)
            else:
                with path.open("xb") as file:
                    made.append(path)
                    file.write(_replaced(entry.read_bytes(), words))
    except OSError:
        for path in made:
            path.unlink(missing_ok=True)
        raise
    return made


def why_unusable_name(name: str) -> str | None:
    """Say why a name cannot be that of a Python package within a project.

    Args:
        name: the name.

    Returns:
        The reason, None where it can be used.
    """
    if not (name.isascii() and name.isidentifier()):
        return "such a name is made of letters, digits and underscores, and does not begin with a digit"
    if keyword.iskeyword(name):
        return f"{name} is a keyword of Python"
    if name.startswith("_"):
        return "names with an underscore in front are private, so it would not be found"
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
        return "a package name is made of letters, digits and underscores, and does not begin with a digit"
    if keyword.iskeyword(package_name):
        return "it is a keyword of Python"
    if package_name in sys.stdlib_module_names or package_name in {"treadle", "test", "tests"}:
        return "an existing module has that name, and one would hide the other"
    return None


def _is_installed(package_name: str) -> bool:
    """Say whether code of that name can be imported; a folder without code, and what lies in the current folder, do not count."""
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
            f"{project_name!r} cannot be the name of a project: it goes into pyproject.toml and the README as it is, "
            f"so it is one line of text without quotes, backslashes or any of `{{}}$#. Try {plain!r}."
        )
        raise ProjectError(message, key="project_name")


def _check_target(target: Path) -> None:
    if target.is_dir():
        present = sorted(entry.name for entry in target.iterdir() if entry.name != ".git")
        if present:
            shown = ", ".join(present[:3]) + (", …" if len(present) > 3 else "")
            message = f"{target} exists and is not empty (it holds {shown}). Name a new folder, or empty this one first."
            raise ProjectError(message, file=str(target))
    elif target.exists() or target.is_symlink():
        message = f"{target} exists and is not a folder. Name a new folder for the project."
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
    """Yield what a template folder holds, without what the interpreter or the desktop left in it."""
    for entry in source.iterdir():
        if entry.name not in _NEVER_COPIED and not entry.name.endswith(".pyc"):
            yield entry


def _replaced(content: bytes, words: Mapping[str, str]) -> bytes:
    for word, value in words.items():
        content = content.replace(word.encode(), value.encode())
    return content


def _move_into_place(built: Path, target: Path) -> None:
    """Move a complete project to its target; a folder that exists is filled, not replaced: a shell may stand in it."""
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
