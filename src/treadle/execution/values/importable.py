"""Find out which modules, functions and classes another process can import by name.

An entry in `sys.modules` is not enough: it may be a module that was loaded from a file with `spec_from_file_location`, made with
`types.ModuleType`, or imported by `pytest --import-mode=importlib`. This module therefore asks the import system's finders. Used
by the parent and the workers. State: a cache of the answers, by module.
"""

from __future__ import annotations

import operator
import sys
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from treadle.io.loaded import loaded_module

if TYPE_CHECKING:
    from types import ModuleType

MAIN_MODULES = frozenset({"__main__", "__mp_main__"})
"""Names of the main script's module, which another process cannot import."""

_answers: WeakKeyDictionary[ModuleType, bool] = WeakKeyDictionary()


def is_found_by_name(obj: Any) -> bool:
    """Return whether another process can import a function or class by its module and name.

    Args:
        obj: a function or class: it has a `__module__` and a `__qualname__`.

    Returns:
        False for an object that is defined in the main script, in a notebook, inside a function or in a module that cannot be
        imported, and for one whose module is registered with `cloudpickle.register_pickle_by_value`.
    """
    module = sys.modules.get(obj.__module__ or "")
    if module is None or obj.__module__ in MAIN_MODULES:
        return False
    try:
        found = operator.attrgetter(getattr(obj, "__qualname__", None) or obj.__name__)(module)
    except AttributeError:
        return False
    return found is obj and is_importable(module) and not _travels_by_value(obj.__module__)


def is_module_found(name: str) -> bool:
    """Return whether another process can import a module by its name.

    Args:
        name: the full name of a module. One that this process has not imported can be imported by all processes, or by none.
    """
    module = sys.modules.get(name)
    return module is None or (name not in MAIN_MODULES and is_importable(module) and not _travels_by_value(name))


def is_importable(module: ModuleType) -> bool:
    """Return whether another process with the same `sys.path` can import a module.

    Args:
        module: a module in `sys.modules`.
    """
    name = getattr(module, "__name__", None)
    if not isinstance(name, str) or name.partition(".")[0] in sys.stdlib_module_names:
        return True
    spec = getattr(module, "__spec__", None)
    if getattr(spec, "_initializing", False):
        return False  # the module is still being imported, and its code may be calling this run: do not execute it again
    try:
        answer = _answers.get(module)
        if answer is None:
            answer = _answers[module] = _finders_find(module, name, getattr(spec, "origin", None))
    except TypeError:  # an object that replaces a module and cannot be a dictionary key
        return True
    return answer


def _finders_find(module: ModuleType, name: str, origin: str | None) -> bool:
    """Return whether the import system finds a module under its name, in the same file."""
    parent, _, _ = name.rpartition(".")
    path = None
    if parent:
        package = sys.modules.get(parent)
        if package is None or not is_importable(package):
            return False
        path = getattr(package, "__path__", None)
    for finder in sys.meta_path:
        found = finder.find_spec(name, path, None) if hasattr(finder, "find_spec") else None
        if found is not None:
            file = origin or getattr(module, "__file__", None)
            return file is None or found.origin is None or found.origin == file
    # Packages such as six create submodules when they are imported: importing the package is enough.
    return bool(parent) and path is None


def _travels_by_value(name: str) -> bool:
    cloudpickle = loaded_module("cloudpickle")  # if it is not imported, no module is registered
    if cloudpickle is None:
        return False
    registered = cloudpickle.list_registry_pickle_by_value()
    return any(name == each or name.startswith(f"{each}.") for each in registered)
