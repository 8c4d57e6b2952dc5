"""A project's `settings.py` as a typed record.

Job: import `<package>.settings` where it exists, check each name in it, and fill in the defaults. State: none; the
configured project keeps the record. Neighbours: `configure.py` asks for it on first use; the session takes the classes.
"""

from __future__ import annotations

import difflib
import inspect
import logging
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from treadle.errors import ProjectError
from treadle.project.code import import_project_module

if TYPE_CHECKING:
    from types import ModuleType


@dataclass(frozen=True, slots=True)
class Settings:
    """What a project chose; a class that is None means Treadle's own.

    Attributes:
        CONF_SOURCE: the folder (or archive) of configuration, relative to the project's root.
        HOOKS: instances (or modules) whose marked functions are called at each hook.
        CONTEXT_CLASS: the class of a session's context.
        SESSION_CLASS: the class that `treadle run` makes sessions of.
        SESSION_STORE_CLASS: the class of the store of sessions.
        SESSION_STORE_ARGS: its keyword arguments.
        CONFIG_LOADER_CLASS: the class that reads configuration.
        CONFIG_LOADER_ARGS: its keyword arguments.
        DATA_CATALOG_CLASS: the class of the catalog.
        DISABLE_HOOKS_FOR_PLUGINS: names of installed distributions whose hooks stay off.
        LOGGING_FACTORIES: dotted names of functions and classes that a logging file may call beside classes of the logging kind.
        file: the settings.py that was read, None where the project has none.
    """

    CONF_SOURCE: str = "conf"
    HOOKS: tuple[Any, ...] = ()
    CONTEXT_CLASS: type[Any] | None = None
    SESSION_CLASS: type[Any] | None = None
    SESSION_STORE_CLASS: type[Any] | None = None
    SESSION_STORE_ARGS: Mapping[str, Any] = field(default_factory=dict)
    CONFIG_LOADER_CLASS: type[Any] | None = None
    CONFIG_LOADER_ARGS: Mapping[str, Any] = field(default_factory=dict)
    DATA_CATALOG_CLASS: type[Any] | None = None
    DISABLE_HOOKS_FOR_PLUGINS: tuple[str, ...] = ()
    LOGGING_FACTORIES: tuple[str, ...] = ()
    file: str | None = None


SETTING_NAMES = tuple(each.name for each in fields(Settings) if each.name.isupper())
"""The names that settings.py may set."""

_METHODS = {
    "CONTEXT_CLASS": ("catalog_with",),
    "SESSION_CLASS": ("create",),
    "SESSION_STORE_CLASS": ("save", "load", "list", "close"),
    "CONFIG_LOADER_CLASS": ("__getitem__",),
    "DATA_CATALOG_CLASS": ("from_config",),
}
"""What is called of each class that a project may name."""


def read_settings(package_name: str) -> Settings:
    """Import a package's settings module and check it.

    Args:
        package_name: the project's package.

    Returns:
        The settings; all defaults where the package has no settings module.

    Raises:
        ProjectError: the module cannot be imported, or a name in it has a value of the wrong kind.
    """
    module = import_project_module(f"{package_name}.settings")
    return Settings() if module is None else settings_from_module(module)


def settings_from_module(module: ModuleType) -> Settings:
    """Check the names that a settings module sets.

    Args:
        module: the imported module.

    Returns:
        The settings.

    Raises:
        ProjectError: a name has a value of the wrong kind.
    """
    file = getattr(module, "__file__", None) or module.__name__
    _warn_of_near_misses(module, file)
    values: dict[str, Any] = {}
    for each in fields(Settings):
        if each.name not in SETTING_NAMES:
            continue
        default = each.default_factory() if each.default_factory is not MISSING else each.default
        value = getattr(module, each.name, default)
        values[each.name] = value if value is default else _checked(each.name, value, file)
    return Settings(**values, file=file)


def _checked(name: str, value: Any, file: str) -> Any:
    """Check one value by its name, and bring it into the record's form."""
    if name.endswith("_CLASS"):
        if value is None or inspect.isclass(value):
            lacking = [method for method in _METHODS[name] if value is not None and not hasattr(value, method)]
            if lacking:
                raise _wrong(name, value, file, f"a class that has {', '.join(lacking)}: derive it from Treadle's own")
            return value
        raise _wrong(name, value, file, "a class (not an instance, nor its name as a text)")
    if name.endswith("_ARGS"):
        if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
            return dict(value)
        raise _wrong(name, value, file, "a dictionary with texts as keys")
    if name == "CONF_SOURCE":
        if isinstance(value, (str, Path)) and str(value):
            return str(value)
        raise _wrong(name, value, file, "the path of a folder or an archive, as a text or a Path")
    return _elements(name, value, file)


def _elements(name: str, value: Any, file: str) -> tuple[Any, ...]:
    if not isinstance(value, (tuple, list)):
        raise _wrong(name, value, file, "a tuple or a list; one element is written (x,) with a comma")
    for each in value:
        if name == "HOOKS" and inspect.isclass(each):
            raise _wrong(name, each, file, f"a tuple of instances: write {each.__name__}() with parentheses")
        if name != "HOOKS" and not isinstance(each, str):
            raise _wrong(name, value, file, "a tuple of names as texts")
    return tuple(value)


def _wrong(name: str, value: Any, file: str, wanted: str) -> ProjectError:
    shown = repr(value)
    shown = shown if len(shown) <= 80 else f"{shown[:77]}..."
    return ProjectError(f"{name} in {file} is {shown} ({type(value).__name__}); it must be {wanted}.", file=file, key=name)


def _warn_of_near_misses(module: ModuleType, file: str) -> None:
    for name in vars(module):
        if name.isupper() and name not in SETTING_NAMES:
            close = difflib.get_close_matches(name, SETTING_NAMES, n=1, cutoff=0.85)
            if close:
                logging.getLogger(__name__).warning("%s sets %s, which is not a setting: did you mean %s?", file, name, close[0])
