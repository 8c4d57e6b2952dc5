"""Which modules, functions and classes another process finds by their names.

`sys.modules` does not tell: a module that was loaded from a file with `spec_from_file_location`, made with `types.ModuleType`, or
imported by `pytest --import-mode=importlib` stands there too. So the finders are asked. State: the answers, by module.
"""

from __future__ import annotations

import operator
import sys
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from types import ModuleType

MAIN_MODULES = frozenset({"__main__", "__mp_main__"})
"""Names of the main script's module: what it defines, no other process finds there."""

_answers: WeakKeyDictionary[ModuleType, bool] = WeakKeyDictionary()


def is_found_by_name(obj: Any) -> bool:
    """Say whether another process finds a function or a class by its module and name.

    Args:
        obj: has a `__module__` and a `__qualname__`.

    Returns:
        False for what belongs to the main script or a notebook, for what is local to a function, for what a module defines that
        cannot be imported, and for what was registered with `cloudpickle.register_pickle_by_value`.
    """
    module = sys.modules.get(obj.__module__ or "")
    if module is None or obj.__module__ in MAIN_MODULES:
        return False
    try:
        found = operator.attrgetter(getattr(obj, "__qualname__", None) or obj.__name__)(module)
    except AttributeError:
        return False
    return found is obj and is_importable(module) and not _travels_by_value(obj.__module__)


def is_importable(module: ModuleType) -> bool:
    """Say whether another process, with the `sys.path` of this one, can import a module.

    Args:
        module: one of `sys.modules`.
    """
    name = getattr(module, "__name__", None)
    if not isinstance(name, str) or name.partition(".")[0] in sys.stdlib_module_names:
        return True
    spec = getattr(module, "__spec__", None)
    if getattr(spec, "_initializing", False):
        return False  # to import it would do again what it is doing now: perhaps this very run
    try:
        answer = _answers.get(module)
        if answer is None:
            answer = _answers[module] = _finds(module, name, getattr(spec, "origin", None))
    except TypeError:  # an object that stands in for a module, and cannot be a key
        return True
    return answer


def _finds(module: ModuleType, name: str, origin: str | None) -> bool:
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
    # Packages such as six put modules of their own making below themselves, which come with the package.
    return bool(parent) and path is None


def _travels_by_value(name: str) -> bool:
    cloudpickle = sys.modules.get("cloudpickle")  # where it is not imported, nothing was registered with it
    if cloudpickle is None:
        return False
    registered = cloudpickle.list_registry_pickle_by_value()
    return any(name == each or name.startswith(f"{each}.") for each in registered)
