"""Read a project's `settings.py` into a typed record.

Job: import `<package>.settings` if it exists, validate each setting, and apply the defaults. State: none; the configured project
caches the record. Neighbours: `configure.py` reads the settings on first use; sessions use the classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from treadle.errors import ProjectError
from treadle.named_tuple import NamedTuple
from treadle.pipeline.quantities import read_amount
from treadle.project.code import import_project_module
from treadle.suggestions import close_names, did_you_mean

if TYPE_CHECKING:
    from types import ModuleType


class Settings(NamedTuple):
    """The settings of a project; a class that is None means Treadle's own.

    Attributes:
        CONF_SOURCE: the folder (or archive) of configuration, relative to the project's root.
        HOOKS: plugin instances or modules with hook implementations.
        CONTEXT_CLASS: the class of a session's context.
        SESSION_CLASS: the class of the sessions that `treadle run` creates.
        SESSION_STORE_CLASS: the class of the session store.
        SESSION_STORE_ARGS: keyword arguments of the session store.
        CONFIG_LOADER_CLASS: the class of the config loader.
        CONFIG_LOADER_ARGS: keyword arguments of the config loader.
        DATA_CATALOG_CLASS: the class of the catalog.
        DISABLE_HOOKS_FOR_PLUGINS: names of installed distributions whose hooks are not registered.
        LOGGING_FACTORIES: dotted names of further functions and classes that a logging file may call.
        DATASET_VALIDATION: whether the validators of datasets are used, unless TREADLE_DATASET_VALIDATION says otherwise.
        RUNNER: the runner of runs that are given none: a name such as `"auto"`, or a dotted path; None for the sequential one.
        VALUE_CACHE_SIZE: the most bytes that stored values of nodes with `cache: store` use.
        RECORD_LOGS: whether the log lines of a run are a part of its record.
        file: path of the settings.py; None if the project has none.
    """

    CONF_SOURCE: str = "conf"
    HOOKS: tuple[Any, ...] = ()
    CONTEXT_CLASS: type[Any] | None = None
    SESSION_CLASS: type[Any] | None = None
    SESSION_STORE_CLASS: type[Any] | None = None
    SESSION_STORE_ARGS: Mapping[str, Any] = {}
    CONFIG_LOADER_CLASS: type[Any] | None = None
    CONFIG_LOADER_ARGS: Mapping[str, Any] = {}
    DATA_CATALOG_CLASS: type[Any] | None = None
    DISABLE_HOOKS_FOR_PLUGINS: tuple[str, ...] = ()
    LOGGING_FACTORIES: tuple[str, ...] = ()
    DATASET_VALIDATION: bool = True
    RUNNER: str | None = None
    VALUE_CACHE_SIZE: int = 10_000_000_000
    RECORD_LOGS: bool = True
    file: str | None = None


SETTING_NAMES = tuple(name for name in Settings._fields if name.isupper())
"""The names of all settings."""

_METHODS = {
    "CONTEXT_CLASS": ("catalog_with",),
    "SESSION_CLASS": ("create",),
    "SESSION_STORE_CLASS": ("save", "load", "list", "close"),
    "CONFIG_LOADER_CLASS": ("__getitem__",),
    "DATA_CATALOG_CLASS": ("from_config",),
}
"""The methods that each class must have."""


def read_settings(package_name: str) -> Settings:
    """Import and validate a package's settings module.

    Args:
        package_name: the project's package.

    Returns:
        The settings; the defaults if the package has no settings module.

    Raises:
        ProjectError: the module cannot be imported, or a setting has the wrong type.
    """
    module = import_project_module(f"{package_name}.settings")
    return Settings() if module is None else settings_from_module(module)


def settings_from_module(module: ModuleType) -> Settings:
    """Validate the settings in a settings module.

    Args:
        module: the imported module.

    Returns:
        The settings.

    Raises:
        ProjectError: a setting has the wrong type.
    """
    file = getattr(module, "__file__", None) or module.__name__
    _warn_about_misspelt_settings(module, file)
    values: dict[str, Any] = {}
    for name in SETTING_NAMES:
        default = Settings._field_defaults[name]
        value = getattr(module, name, default)
        values[name] = value if value is default else _checked(name, value, file)
    return Settings(**values, file=file)


def _checked(name: str, value: Any, file: str) -> Any:
    """Validate one setting and normalise its value."""
    if name.endswith("_CLASS"):
        if value is None or isinstance(value, type):
            lacking = [method for method in _METHODS[name] if value is not None and not hasattr(value, method)]
            if lacking:
                raise _wrong(name, value, file, f"a class that has {', '.join(lacking)}: derive it from Treadle's own")
            return value
        raise _wrong(name, value, file, "a class (not an instance or the name of the class)")
    if name.endswith("_ARGS"):
        if not isinstance(value, Mapping):
            raise _wrong(name, value, file, "a dictionary with string keys", shows_value=isinstance(value, str))
        for key in value:
            if not isinstance(key, str):
                msg = f"{name} in {file} has the key {key!r} ({type(key).__name__}); its keys must be strings."
                raise ProjectError(msg, file=file, key=name)
        return dict(value)
    if name in _CHECKS:
        return _CHECKS[name](name, value, file)
    return _elements(name, value, file)


def _conf_source(name: str, value: Any, file: str) -> str:
    if isinstance(value, (str, Path)) and str(value):
        return str(value)
    raise _wrong(name, value, file, "the path of a folder or an archive, as a string or a Path")


def _runner(name: str, value: Any, file: str) -> str:
    if isinstance(value, str) and value:
        return value
    raise _wrong(name, value, file, 'the name of a runner, such as "auto", or the dotted path of its class')


def _cache_size(name: str, value: Any, file: str) -> int:
    try:
        return read_amount(value)
    except ValueError:
        raise _wrong(name, value, file, 'a number of bytes, or a text such as "10GB"') from None


def _flag(name: str, value: Any, file: str) -> bool:
    if isinstance(value, bool):
        return value
    raise _wrong(name, value, file, "True or False")


_CHECKS: Mapping[str, Callable[[str, Any, str], Any]] = {
    "CONF_SOURCE": _conf_source,
    "RUNNER": _runner,
    "VALUE_CACHE_SIZE": _cache_size,
    "DATASET_VALIDATION": _flag,
    "RECORD_LOGS": _flag,
}
"""The settings that are neither classes, keyword arguments nor sequences."""


def _elements(name: str, value: Any, file: str) -> tuple[Any, ...]:
    if not isinstance(value, (tuple, list)):
        raise _wrong(name, value, file, "a tuple or a list; one element is written (x,) with a comma")
    for each in value:
        if name == "HOOKS" and isinstance(each, type):
            raise _wrong(name, each, file, f"a tuple of instances: write {each.__name__}() with parentheses")
        if name != "HOOKS" and not isinstance(each, str):
            raise _wrong(name, value, file, "a tuple of names (strings)")
    return tuple(value)


def _wrong(name: str, value: Any, file: str, wanted: str, *, shows_value: bool = True) -> ProjectError:
    from treadle.secrets.patterns import mask_setting

    kind = type(value).__name__
    if shows_value:
        shown = mask_setting(repr(value))
        shown = f"{shown} ({kind})" if len(shown) <= 80 else f"{shown[:77]}... ({kind})"
    else:  # arguments, which may have passwords in any form
        shown = f"of type {kind}"
    return ProjectError(f"{name} in {file} is {shown}; it must be {wanted}.", file=file, key=name)


def _warn_about_misspelt_settings(module: ModuleType, file: str) -> None:
    for name in vars(module):
        if name.isupper() and name not in SETTING_NAMES:
            hint = did_you_mean(close_names(name, SETTING_NAMES, most=1, cutoff=0.85))
            if hint:
                import logging  # a command such as `--help` does without it

                logging.getLogger(__name__).warning("%s sets %s, which is not a setting.%s", file, name, hint)
