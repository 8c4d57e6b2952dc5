"""Import the project's code, and detect and unload changed code.

Job: import optional modules of a project with errors that name them, detect changed source files, and remove the package's
modules from `sys.modules`. State: none of its own; it changes `sys.modules`. Neighbours: `configure.py` calls these functions.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from importlib.machinery import PathFinder
from traceback import walk_tb
from typing import TYPE_CHECKING

from treadle.errors import ProjectError
from treadle.folders import walk_package

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from types import ModuleType

CodeStamp = tuple[tuple[str, int, int], ...]
"""Path, modification time (ns) and size of each source file of a package."""


def find_module(name: str) -> ModuleSpec | None:
    """Find a module without importing it (its parent packages are imported).

    Args:
        name: the dotted name.

    Returns:
        Its spec; None if it does not exist.

    Raises:
        ProjectError: a parent package cannot be imported.
    """
    try:
        return importlib.util.find_spec(name)
    except ModuleNotFoundError as exc:
        if exc.name is not None and (name == exc.name or name.startswith(f"{exc.name}.")):
            return None
        raise _import_failed(name.rpartition(".")[0] or name, exc) from exc
    except Exception as exc:
        raise _import_failed(name.rpartition(".")[0] or name, exc) from exc


def import_project_module(name: str) -> ModuleType | None:
    """Import an optional module of a project.

    Args:
        name: the dotted name.

    Returns:
        The module; None if it does not exist.

    Raises:
        ProjectError: the module exists, but its import failed; the cause is the original exception.
    """
    if find_module(name) is None:
        return None
    try:
        return importlib.import_module(name)
    except Exception as exc:
        raise _import_failed(name, exc) from exc


def code_stamp(package_name: str) -> CodeStamp:
    """Return the state of a package's source files on disk.

    Args:
        package_name: the package, which need not be imported.

    Returns:
        A value that changes when a source file is changed, added or removed; empty if the package has no files.
    """
    spec = find_module(package_name)
    if spec is None:
        return ()
    if not spec.submodule_search_locations:
        return _stamp_file(spec.origin) if spec.origin else ()
    return tuple(sorted(stamp for location in spec.submodule_search_locations for stamp in _stamp_folder(location)))


def forget_package(package_name: str) -> None:
    """Remove a package and its modules from `sys.modules`, so that the next import reads the files again.

    Args:
        package_name: the package.
    """
    for name in list(sys.modules):
        if name == package_name or name.startswith(f"{package_name}."):
            del sys.modules[name]
    importlib.invalidate_caches()


def forget_modules(*names: str) -> None:
    """Remove modules from `sys.modules`.

    Args:
        *names: the dotted names; modules that are not imported are ignored.
    """
    for name in names:
        sys.modules.pop(name, None)
    importlib.invalidate_caches()


def is_shadowed(package_name: str) -> bool:
    """Return whether the imported package differs from the one that sys.path finds.

    Args:
        package_name: the package.

    Returns:
        True if another project's package of the same name was imported before.
    """
    top = package_name.partition(".")[0]
    loaded = sys.modules.get(top)
    if loaded is None:
        return False
    importlib.invalidate_caches()
    found = PathFinder.find_spec(top)
    loaded_spec = loaded.__spec__
    if found is None or loaded_spec is None:
        return False
    return _places(found) != _places(loaded_spec)


def _places(spec: ModuleSpec) -> set[str]:
    places = list(spec.submodule_search_locations or ()) or [spec.origin or ""]
    return {os.path.realpath(place) for place in places}


def _stamp_folder(folder: str) -> list[tuple[str, int, int]]:
    stamps: list[tuple[str, int, int]] = []
    for root, folders, files in walk_package(folder):
        folders[:] = [name for name in folders if not name.startswith((".", "__pycache__"))]
        stamps += [stamp for name in files if name.endswith(".py") for stamp in _stamp_file(os.path.join(root, name))]  # noqa: PTH118 - os.walk yields strings
    return stamps


def _stamp_file(file: str) -> CodeStamp:
    try:
        status = os.stat(file)  # noqa: PTH116 - a run that loads no files need not import pathlib
    except FileNotFoundError:
        return ()
    return ((file, status.st_mtime_ns, status.st_size),)


def place_of(exc: BaseException, module_name: str) -> str | None:
    """Find the line of a package's code that raised an exception.

    Args:
        exc: the exception.
        module_name: a module of the package.

    Returns:
        `file, line n`: the line of a syntax error, else the last line of the package's code in the traceback; None if no
        traceback entry belongs to the package.
    """
    if isinstance(exc, SyntaxError) and exc.filename:
        return f"{exc.filename}, line {exc.lineno}"
    frames = [
        (frame.f_code.co_filename, line, str(frame.f_globals.get("__name__", ""))) for frame, line in walk_tb(exc.__traceback__)
    ]
    top = module_name.partition(".")[0]
    own = [each for each in frames if each[2].partition(".")[0] == top]
    if not own:
        return None
    file, line, _ = own[-1]
    return f"{file}, line {line}"


def _import_failed(name: str, exc: Exception) -> ProjectError:
    place = place_of(exc, name)
    where = f" ({place})" if place else ""
    file = exc.filename if isinstance(exc, SyntaxError) else _origin(name)
    why = exc.msg if isinstance(exc, SyntaxError) else exc
    msg = (
        f"The module {name} of the project cannot be imported: {type(exc).__name__}: {why}{where}. "
        "Correct the module, or install what it imports."
    )
    return ProjectError(msg, file=file, key=name)


def _origin(name: str) -> str | None:
    parent, _, _ = name.rpartition(".")
    if parent and parent not in sys.modules:
        return None
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    return spec.origin if spec is not None else None
